//go:build peers

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const matrixRoutes = `[plugins.matrix]
homeserver   = %q
domain       = "hs.test"
registration = %q

[[route]]
name = "mx"
mode = "direct"
sip  = "sip:mx-{user}_{server}@127.0.0.1"
to   = "matrix:u/{user}:{server}"

[[route]]
name    = "ops"
mode    = "room"
sip     = "sip:ops@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["matrix:r/ops:hs.test"]

[[route]]
name = "help"
mode = "desk"
sip  = "sip:help@127.0.0.1"
to   = ["matrix:r/_parley_help:hs.test"]

[plugins.web]`

// ghostOf is who stands for a SIP user at Dendrite.
func ghostOf(user string) id.UserID {
	return id.UserID("@_parley_sip_" + user + "_127.0.0.1:hs.test")
}

// A matrixWorld is a bridge joined to Dendrite, with Mia there.
type matrixWorld struct {
	*bridge
	hs  *dendrite
	mia *matrixHuman
}

// writeMatrixBridge makes a bridge with these tables, which name a homeserver and
// the registration file, and the file. The homeserver has to be filled in.
func writeMatrixBridge(t *testing.T, tables, registration string) *bridge {
	t.Helper()
	b := writeBridge(t, "[plugins.web]", fmt.Sprintf(tables, "@HOMESERVER@", registration))
	if out, bad, code := b.cli("", "plugin", "matrix", "register", "--domain", "hs.test",
		"--url", fmt.Sprintf("http://%s/c/matrix", at(b.web)), "--out", registration); code != 0 {
		t.Fatalf("register: %d %s %s", code, out, bad)
	}
	return b
}

func newMatrixWorld(t *testing.T) *matrixWorld {
	t.Helper()
	registration := filepath.Join(shortDir(t), "matrix.yaml")
	b := writeMatrixBridge(t, matrixRoutes, registration)
	w := &matrixWorld{bridge: b, hs: startDendrite(t, "hs.test", registration)}
	w.mia = w.hs.human("mia", "Mia")
	b.edit("@HOMESERVER@", w.hs.url)
	b.start()
	b.says(`homeserver reached`)
	return w
}

// wants fails unless a list is as wanted.
func wants(t *testing.T, whose string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", whose, got, want)
	}
}

func TestPeerMatrixDirectBothWays(t *testing.T) {
	w := newMatrixWorld(t)
	alice, bob := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")

	w.send("alice", "mx-mia_hs.test", "hello Mia")
	room := w.mia.invited(ghostOf("alice"))
	w.mia.join(string(room))
	w.mia.sees(room, "hello Mia")
	w.mia.say(room, "hello Alice")
	if m := alice.sees("hello Alice"); !strings.Contains(m.From, "<sip:mx-mia_hs.test@127.0.0.1>") || !strings.Contains(m.From, "Mia") {
		t.Errorf("alice's phone shows it from %s", m.From)
	}

	asked := w.mia.ask(ghostOf("bob"))
	w.mia.until("waits for bob's ghost", func() bool {
		return slices.ContainsFunc(w.mia.rooms[asked], func(e *event.Event) bool {
			return e.Type.Type == event.StateMember.Type && e.GetStateKey() == string(ghostOf("bob")) && e.Content.Raw["membership"] == "join"
		})
	})
	w.mia.say(asked, "hello Bob")
	bob.sees("hello Bob")
	w.send("bob", "mx-mia_hs.test", "here I am")
	w.mia.sees(asked, "here I am")

	w.send("alice", "mx-mia_hs.test", "once more")
	w.mia.sees(room, "once more")
	wants(t, "alice's room", w.mia.said(room), string(ghostOf("alice"))+": hello Mia", "@mia:hs.test: hello Alice", string(ghostOf("alice"))+": once more")
	wants(t, "bob's room", w.mia.said(asked), "@mia:hs.test: hello Bob", string(ghostOf("bob"))+": here I am")
	wants(t, "alice's phone", alice.texts(), "hello Alice")
	wants(t, "bob's phone", bob.texts(), "hello Bob")
}

func TestPeerMatrixRoomBothWays(t *testing.T) {
	w := newMatrixWorld(t)
	alice, bob := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")
	max := w.hs.human("max", "Max")
	room := w.mia.create("ops")
	max.join("#ops:hs.test")

	w.send("alice", "ops", "from a phone")
	max.sees(room, "from a phone")
	bob.sees("from a phone")
	w.mia.say(room, "from Mia")
	for _, phone := range []*udpPhone{alice, bob} {
		if m := phone.sees("from Mia"); !strings.Contains(m.From, "<sip:ops@127.0.0.1>") || !strings.Contains(m.From, "Mia") {
			t.Errorf("a phone shows it from %s", m.From)
		}
	}
	max.say(room, "from Max")
	alice.sees("from Max")
	bob.sees("from Max")
	w.send("bob", "ops", "from the other phone")
	w.mia.sees(room, "from the other phone")
	alice.sees("from the other phone")
	wants(t, "the room", w.mia.said(room), string(ghostOf("alice"))+": from a phone", "@mia:hs.test: from Mia", "@max:hs.test: from Max",
		string(ghostOf("bob"))+": from the other phone")
	wants(t, "alice's phone", alice.texts(), "from Mia", "from Max", "from the other phone")
	wants(t, "bob's phone", bob.texts(), "from a phone", "from Mia", "from Max")
}

func TestPeerMatrixDeskKeepsEachCorrespondentInAThread(t *testing.T) {
	w := newMatrixWorld(t)
	alice, bob := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")
	w.send("alice", "help", "Alice needs help")
	w.says(`msg=delivered connector=matrix`)
	room := w.mia.join("#_parley_help:hs.test") // the bridge has made it
	hers := w.mia.sees(room, "Alice needs help")
	w.send("bob", "help", "Bob needs help")
	his := w.mia.sees(room, "Bob needs help")
	w.mia.answer(room, his.ID, "for Bob")
	bob.sees("for Bob")
	w.mia.answer(room, hers.ID, "for Alice")
	alice.sees("for Alice")
	w.send("alice", "help", "thank you")
	if e := w.mia.sees(room, "thank you"); thread(e) != string(hers.ID) {
		t.Errorf("alice's second message stands in the thread of %q, not of %q", thread(e), hers.ID)
	}
	wants(t, "alice's phone", alice.texts(), "for Alice")
	wants(t, "bob's phone", bob.texts(), "for Bob")
	wants(t, "the room", w.mia.said(room), string(ghostOf("alice"))+": Alice needs help", string(ghostOf("bob"))+": Bob needs help",
		"@mia:hs.test: for Bob", "@mia:hs.test: for Alice", string(ghostOf("alice"))+": thank you")
}

func TestPeerMatrixFailuresAreTold(t *testing.T) {
	w := newMatrixWorld(t)
	decline(w.bridge, "bob")

	room := w.mia.ask(ghostOf("bob"))
	about := w.mia.say(room, "take this")
	var notice *event.Event
	w.mia.until("waits for a notice", func() bool {
		for _, e := range w.mia.rooms[room] {
			if strings.HasPrefix(body(e), "Not delivered") {
				notice = e
			}
		}
		return notice != nil
	})
	related, _ := notice.Content.Raw["m.relates_to"].(map[string]any)
	reply, _ := related["m.in_reply_to"].(map[string]any)
	if notice.Content.Raw["msgtype"] != "m.notice" || reply["event_id"] != string(about) || notice.Sender != ghostOf("bob") {
		t.Errorf("the notice is %v by %s", notice.Content.Raw, notice.Sender)
	}

	nobody := id.UserID("@_parley_sip_nobody_127.0.0.1:hs.test")
	declined := w.mia.ask(nobody)
	w.mia.until("waits for a refusal", func() bool {
		return slices.ContainsFunc(w.mia.rooms[declined], func(e *event.Event) bool {
			return e.Type.Type == event.StateMember.Type && e.GetStateKey() == string(nobody) && e.Content.Raw["membership"] == "leave"
		})
	})

	ops := w.mia.create("ops")
	if _, err := w.mia.client.SendStateEvent(t.Context(), ops, event.StateEncryption, "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}); err != nil {
		t.Fatal(err)
	}
	w.send("alice", "ops", "into an encrypted room")
	w.says(`msg=failed connector=matrix .*reason=permanent .*the room is encrypted`)
	if n := w.count(`msg=failed connector=matrix`); n != 1 {
		t.Errorf("%d messages failed on Matrix", n)
	}
}

// A bridge that was away costs no message and doubles none.
func TestPeerMatrixAcrossRestarts(t *testing.T) {
	w := newMatrixWorld(t)
	alice := newUDPPhone(w.bridge, "alice")
	room := w.mia.create("ops")
	w.send("alice", "ops", "before")
	w.mia.sees(room, "before")
	w.crash()
	w.mia.say(room, "while the bridge was away")
	w.start()
	alice.sees("while the bridge was away")
	w.send("alice", "ops", "after")
	w.mia.sees(room, "after")
	wants(t, "the room", w.mia.said(room), string(ghostOf("alice"))+": before", "@mia:hs.test: while the bridge was away", string(ghostOf("alice"))+": after")
	wants(t, "alice's phone", alice.texts(), "while the bridge was away")
}

// Messages wait for a homeserver that was killed, in order, and come once.
func TestPeerMatrixWaitsForTheHomeserver(t *testing.T) {
	w := newMatrixWorld(t)
	alice := newUDPPhone(w.bridge, "alice")
	room := w.mia.create("ops")
	w.send("alice", "ops", "before")
	w.mia.sees(room, "before")
	stop(w.hs.proc) // in order: killed, Dendrite forgets how far its own queue was, and may then take no message for ever
	var want []string
	for n := range 3 {
		text := fmt.Sprintf("while it was away %d", n)
		w.send("alice", "ops", text)
		want = append(want, string(ghostOf("alice"))+": "+text)
	}
	w.says(`homeserver away; messages wait`)
	w.hs.run(t)
	w.mia.sees(room, "while it was away 2")
	w.mia.say(room, "it is back")
	alice.sees("it is back")
	wants(t, "the room", w.mia.said(room), append(append([]string{string(ghostOf("alice")) + ": before"}, want...), "@mia:hs.test: it is back")...)
	wants(t, "alice's phone", alice.texts(), "it is back")
}
