package main

import (
	"strings"
	"testing"
	"time"

	"parley.im/core/sipedge/uac"
	"parley.im/plugins/content/imdn"
)

// sends sends a body as a user and wants 202.
func (b *bridge) sends(user, to, contentType, body string) {
	b.t.Helper()
	c, err := uac.Dial(b.t.Context(), uac.Config{
		Server: at(b.sip), Network: "udp", From: "sip:" + user + "@127.0.0.1", User: user, Password: password(user),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Send(b.t.Context(), to, contentType, []byte(body))
	if err != nil || a.Code != 202 {
		b.t.Fatalf("%v %v", a, err)
	}
}

// inCPIM is a message that asks for receipts.
func inCPIM(id, asks, contentType, text string) string {
	return strings.Join([]string{
		"From: <sip:bob@127.0.0.1>", "To: <sip:ann@127.0.0.1>", "DateTime: 2026-01-02T03:04:05Z", "NS: imdn <urn:ietf:params:imdn>",
		"imdn.Message-ID: " + id, "imdn.Disposition-Notification: " + asks, "", "Content-Type: " + contentType, "", text,
	}, "\r\n")
}

func TestAPhoneGetsTheReceiptsItAskedFor(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	bob := newUDPPhone(b, "bob")

	b.sends("bob", "sip:web-ann@127.0.0.1", "message/cpim", inCPIM("m-1", "positive-delivery, negative-delivery", "text/plain", "tell me"))
	ann.sees("tell me", nil)
	bob.contains("<message-id>m-1</message-id><datetime>2026-01-02T03:04:05Z</datetime><recipient-uri>sip:web-ann@127.0.0.1</recipient-uri>" +
		"<delivery-notification><status><delivered/></status></delivery-notification>")

	b.sends("bob", "sip:web-nobody@127.0.0.1", "message/cpim", inCPIM("m-2", "positive-delivery, negative-delivery", "text/plain", "??"))
	bob.contains("<message-id>m-2</message-id><datetime>2026-01-02T03:04:05Z</datetime><recipient-uri>sip:web-nobody@127.0.0.1</recipient-uri>" +
		"<delivery-notification><status><failed/></status></delivery-notification>")

	// Who did not ask is told of a failure by a text, and of nothing else.
	b.sends("bob", "sip:web-ann@127.0.0.1", "message/cpim", inCPIM("m-3", "display", "text/plain", "don't tell me"))
	ann.sees("don't tell me", nil)
	b.sends("bob", "sip:web-nobody@127.0.0.1", "text/plain", "??")
	bob.contains("Not delivered.")

	// A room of many says that it has processed the message, once.
	b.sends("bob", "sip:lobby@127.0.0.1", "message/cpim", inCPIM("m-4", "positive-delivery, processing", "text/plain", "to all"))
	ann.sees("to all", nil)
	bob.contains("<message-id>m-4</message-id>")
	b.sends("bob", "sip:web-nobody-else@127.0.0.1", "text/plain", "??") // the notice stage is past the room's answers then
	bob.contains("nobody-else")
	all := strings.Join(bob.texts(), "\n")
	if strings.Count(all, "m-4") != 1 || !strings.Contains(all, "<processing-notification><status><processed/>") {
		t.Errorf("the room told %s", all)
	}
	if strings.Contains(all, "m-3") {
		t.Errorf("a receipt that was not asked for: %s", all)
	}
}

func TestAPhoneTellsTheChatWhenItHasShownAMessage(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	newUDPPhone(b, "bob")
	say := func(text string) (id string) {
		from := b.lineCount()
		ann.say("r:lobby", text)
		return b.saysAfter(from, `msg=delivered connector=sip message=(\S+)`)[1]
	}
	displayed := func(user, id string) {
		n := imdn.Notification{MessageID: id, DateTime: time.Now(), Kind: imdn.Displaying, Status: imdn.Displayed}
		b.sends(user, "sip:lobby@127.0.0.1", imdn.MediaType, string(n.XML()))
	}
	first, second := say("first"), say("second")
	displayed("alice", first) // it was bob's to say
	displayed("bob", second)
	ann.marked("second", "displayed")
	if m := ann.sees("first", nil); m.Mark != "delivered" {
		t.Errorf("somebody else has marked it %q", m.Mark)
	}
}
