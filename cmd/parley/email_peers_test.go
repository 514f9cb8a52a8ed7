//go:build peers

package main

import (
	"fmt"
	"strings"
	"testing"
)

const mailRoutes = `[plugins.email]
%s

[[route]]
name = "mail"
mode = "direct"
sip  = "sip:mail-{user}_{domain}@127.0.0.1"
to   = "mailto:{user}@{domain}"

[[route]]
name    = "ops"
mode    = "room"
sip     = "sip:ops@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["mailto:alice@mail.test", "mailto:bob@mail.test"]

[[route]]
name = "help"
mode = "desk"
sip  = "sip:help@127.0.0.1"
to   = ["mailto:team@mail.test"]

[plugins.web]`

// A mailWorld is a bridge joined to a mail server.
type mailWorld struct {
	*bridge
	mail *mailServer
}

// byServer has the mail server hand over what is for a domain of the bridge.
func byServer(m *mailServer) string {
	return fmt.Sprintf(`address    = "parley@bridge.mail.test"
domain     = "bridge.mail.test"
sip_domain = "127.0.0.1"
trust      = "relay"
smtp       = { address = %q, tls = "starttls", ca = %q, user = "parley@mail.test", password = %q }
listen     = { address = %q, protocol = "lmtp" }`, at(m.submission), m.ca, mailPassword("parley"), at(m.bridge))
}

// byMailbox has the bridge read a mailbox.
func byMailbox(m *mailServer) string {
	login := fmt.Sprintf(`ca = %q, user = "parley@mail.test", password = %q`, m.ca, mailPassword("parley"))
	return fmt.Sprintf(`address = "parley@mail.test"
smtp    = { address = %q, tls = "starttls", %s }
imap    = { address = %q, tls = "implicit", %[2]s }`, at(m.submission), login, at(m.imaps))
}

func newMailWorld(t *testing.T, settings func(*mailServer) string) *mailWorld {
	t.Helper()
	m := startMail(t)
	return &mailWorld{newBridge(t, "[plugins.web]", fmt.Sprintf(mailRoutes, settings(m))), m}
}

func TestPeerMailDirectBothWays(t *testing.T) {
	w := newMailWorld(t, byServer)
	phone, carol := newUDPPhone(w.bridge, "alice"), w.mail.human("carol")
	w.send("alice", "mail-carol_mail.test", "hello Carol")
	l := carol.sees("hello Carol")
	if l.from != "alice@bridge.mail.test" {
		t.Errorf("carol sees it from %q", l.from)
	}
	carol.answer(l, "hello Alice")
	if m := phone.sees("hello Alice"); !strings.Contains(m.From, "<sip:mail-carol_mail.test@127.0.0.1>") || !strings.Contains(m.From, "Carol") {
		t.Errorf("the phone shows it from %s", m.From)
	}
	w.send("alice", "mail-carol_mail.test", "how are you?")
	second := carol.sees("how are you?")
	if root, _, _ := strings.Cut(l.GetHeader("References"), " "); root == "" || !strings.HasPrefix(second.GetHeader("References"), root) {
		t.Errorf("the second mail refers to %q, the first to %q", second.GetHeader("References"), l.GetHeader("References"))
	}
	carol.write("alice@bridge.mail.test", "", "something new")
	phone.sees("something new")
	wants(t, "the phone", phone.texts(), "hello Alice", "something new")
	wants(t, "carol's inbox", carol.texts(), "alice@bridge.mail.test: hello Carol", "alice@bridge.mail.test: how are you?")
}

func TestPeerMailRoomBothWays(t *testing.T) {
	w := newMailWorld(t, byServer)
	phones := []*udpPhone{newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")}
	alice, bob := w.mail.human("alice"), w.mail.human("bob")
	w.send("alice", "ops", "from a phone")
	l := bob.sees("from a phone")
	alice.sees("from a phone")
	phones[1].sees("from a phone")
	bob.answer(l, "from Bob's mail")
	for _, phone := range phones {
		if m := phone.sees("from Bob's mail"); !strings.Contains(m.From, "<sip:ops@127.0.0.1>") || !strings.Contains(m.From, "Bob") {
			t.Errorf("a phone shows it from %s", m.From)
		}
	}
	if l := alice.sees("from Bob's mail"); l.name != "Bob" {
		t.Errorf("alice's mail is from %q", l.name)
	}
	wants(t, "alice's phone", phones[0].texts(), "from Bob's mail")
	wants(t, "bob's phone", phones[1].texts(), "from a phone", "from Bob's mail")
	if n := len(bob.letters()); n != 1 {
		t.Errorf("bob has %d letters", n)
	}
	if n := len(alice.letters()); n != 2 {
		t.Errorf("alice has %d letters", n)
	}
}

func TestPeerMailDeskKeepsEachCorrespondentApart(t *testing.T) {
	for name, settings := range map[string]func(*mailServer) string{"handed over by the server": byServer, "read from a mailbox": byMailbox} {
		t.Run(name, func(t *testing.T) {
			w := newMailWorld(t, settings)
			alice, bob, team := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob"), w.mail.human("team")
			w.send("alice", "help", "Alice needs help")
			hers := team.sees("Alice needs help")
			w.send("bob", "help", "Bob needs help")
			his := team.sees("Bob needs help")
			team.answer(his, "for Bob")
			bob.sees("for Bob")
			team.answer(hers, "for Alice")
			if m := alice.sees("for Alice"); !strings.Contains(m.From, "<sip:help@127.0.0.1>") {
				t.Errorf("alice's phone shows it from %s", m.From)
			}
			w.send("alice", "help", "thank you")
			if l := team.sees("thank you"); l.from != hers.from || l.from == his.from {
				t.Errorf("her second mail is from %q, the first was from %q, his from %q", l.from, hers.from, his.from)
			}
			wants(t, "alice's phone", alice.texts(), "for Alice")
			wants(t, "bob's phone", bob.texts(), "for Bob")
			if n := len(team.letters()); n != 3 {
				t.Errorf("the team has %d letters", n)
			}
		})
	}
}

func TestPeerMailFailuresAreTold(t *testing.T) {
	w := newMailWorld(t, byServer)
	carol := w.mail.human("carol")
	decline(w.bridge, "bob")

	// Refused at once, and refused later by a mail about it.
	w.send("alice", "mail-nobody_mail.test", "is anybody there?")
	w.says(`msg=failed connector=email .*550 .*User unknown`)
	w.send("alice", "mail-somebody_elsewhere.test", "far away")
	w.says(`msg=failed connector=email .*sends nothing outside`)

	// A phone declines what carol writes.
	carol.write("bob@bridge.mail.test", "To a phone", "take this")
	told := carol.finds("a mail that says it failed", func(l letter) bool { return l.GetHeader("Subject") == "Not delivered" })
	if !strings.Contains(told.text, "603") || told.GetHeader("Auto-Submitted") != "auto-replied" {
		t.Errorf("carol is told by %q (Auto-Submitted: %s)", told.text, told.GetHeader("Auto-Submitted"))
	}
	if kind := told.GetHeader("Content-Type"); !strings.HasPrefix(kind, "multipart/report;") || told.GetHeader("Return-Path") != "<>" {
		t.Errorf("it is %s from %s", kind, told.GetHeader("Return-Path"))
	}

	// The mail server tells what the bridge has refused.
	carol.write("nobody@bridge.mail.test", "To nobody", "take this too")
	bounce := carol.finds("a bounce", func(l letter) bool { return strings.HasPrefix(strings.ToLower(l.from), "mailer-daemon@") })
	if !strings.Contains(bounce.text, "550") {
		t.Errorf("carol is told by the server: %q", bounce.text)
	}
	if n := len(carol.letters()); n != 2 {
		t.Errorf("carol has %d letters: %q", n, carol.texts())
	}
}

// What is written while the bridge is away waits at the mail server.
func TestPeerMailAcrossARestart(t *testing.T) {
	w := newMailWorld(t, byServer)
	phone, carol := newUDPPhone(w.bridge, "alice"), w.mail.human("carol")
	w.send("alice", "mail-carol_mail.test", "before")
	l := carol.sees("before")
	w.crash()
	carol.answer(l, "while the bridge was away")
	w.mail.mails.says(`to=<alice\+\w+@bridge\.mail\.test>.*status=deferred`)
	w.start()
	phone.sees("while the bridge was away")
	w.send("alice", "mail-carol_mail.test", "after")
	carol.sees("after")
	wants(t, "the phone", phone.texts(), "while the bridge was away")
	wants(t, "carol's inbox", carol.texts(), "alice@bridge.mail.test: before", "alice@bridge.mail.test: after")
}
