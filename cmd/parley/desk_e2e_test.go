package main

import (
	"fmt"
	"testing"
	"time"
)

const deskRoute = `[[route]]
name = "support"
mode = "desk"
sip  = "sip:support@127.0.0.1"
to   = ["web:room/support"]

[[route]]
name = "web"`

func TestADeskAnswersEachCorrespondentInTheirThread(t *testing.T) {
	b := newBridge(t, `["lobby"]`, `["lobby", "support"]`, "[[route]]\nname = \"web\"", deskRoute)
	alice, bob := b.phone("alice", "u1"), b.phone("bob", "u1")
	for _, p := range []*sippPhone{alice, bob} {
		p.register()
		p.listen()
	}
	b.send("alice", "support", "it is broken")
	b.send("bob", "support", "how much is it")
	ann := joinChat(t, b.web, "ann")
	fromAlice, fromBob := ann.sees("it is broken", nil), ann.sees("how much is it", nil)
	ann.reply(fromAlice, "have you tried again")
	ann.reply(fromBob, "ten")
	alice.uas.says(`GOT from=.*<sip:support@127\.0\.0\.1>.* body=have you tried again$`)
	bob.uas.says(`GOT from=.*<sip:support@127\.0\.0\.1>.* body=ten$`)

	ann.say("r:support", "what do they want") // outside a thread it stays at the desk
	b.crash()
	b.start() // the threads are known after a restart
	b.send("alice", "support", "yes, twice")
	ann.reply(ann.sees("yes, twice", nil), "then bring it in")
	alice.uas.says(`body=then bring it in$`)
	if n := alice.uas.count(`body=(ten|what do they want)$`) + bob.uas.count(`body=(have|then|what)`); n != 0 {
		t.Errorf("%d messages reached somebody else", n)
	}
}

// reply answers a message in its thread.
func (p *person) reply(to chatMessage, text string) {
	p.t.Helper()
	p.post("api/messages", map[string]any{"conv": to.Conv, "text": text, "reply": to.Seq,
		"nonce": fmt.Sprintf("nonce-%d", time.Now().UnixNano())}, nil)
}
