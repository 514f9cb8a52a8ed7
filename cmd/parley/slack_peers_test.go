//go:build peers

package main

import (
	"fmt"
	"strings"
	"testing"
)

const slackRoutes = `[plugins.slack]
bot_token  = "xoxb-parley"
app_token  = "xapp-parley"
api_url    = %[1]q
sip_domain = "127.0.0.1"

[[route]]
name = "slack"
mode = "direct"
sip  = "sip:slack-{user}@127.0.0.1"
to   = "slack:%[2]s/{user}"

[[route]]
name    = "ops"
mode    = "room"
sip     = "sip:ops@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["slack:%[2]s/%[3]s"]

[[route]]
name = "help"
mode = "desk"
sip  = "sip:help@127.0.0.1"
to   = ["slack:%[2]s/%[4]s"]

[plugins.web]`

// A slackWorkspace is a bridge joined to a workspace, with sue and tom in it.
type slackWorkspace struct {
	*bridge
	*emulated
	ops, help string
}

func newSlackWorkspace(t *testing.T) *slackWorkspace {
	t.Helper()
	e := startEmulate(t)
	w := &slackWorkspace{emulated: e, ops: e.channels["ops"], help: e.channels["support"]}
	w.bridge = newBridge(t, "[plugins.web]", fmt.Sprintf(slackRoutes, e.url, e.team, w.ops, w.help))
	w.says(`the app is known`)
	w.front.until("has two connections of the bridge", func(line []byte) bool { return string(line) == `{"connected":2}` })
	return w
}

// lines are the messages of a channel as a person reads it, as "author: text".
// The app's posts have the name that they bear.
func (w *slackWorkspace) lines(person, channel string) (list []string) {
	w.emulated.t.Helper()
	for _, p := range w.history(person, channel) {
		name := p.Name
		for n, id := range w.people {
			if id == p.User && p.User != w.bot {
				name = n
			}
		}
		list = append(list, name+": "+p.Text)
	}
	return list
}

func TestPeerSlackDirectBothWays(t *testing.T) {
	w := newSlackWorkspace(t)
	alice, bob := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")
	im := w.direct("sue")
	address := "slack-" + w.people["sue"]

	w.send("alice", address, "hello Sue")
	hers := w.sees(im, "hello Sue")
	w.send("bob", address, "Bob here")
	his := w.sees(im, "Bob here")
	w.say("sue", im, "hello Bob", his.TS)
	bob.sees("hello Bob")
	w.say("sue", im, "hello Alice", hers.TS)
	if m := alice.sees("hello Alice"); !strings.Contains(m.From, "<sip:"+address+"@127.0.0.1>") || !strings.Contains(strings.ToLower(m.From), `"sue`) {
		t.Errorf("alice's phone shows it from %s", m.From)
	}
	w.send("alice", address, "how are you?")
	if p := w.sees(im, "how are you?"); p.ThreadTS != hers.TS {
		t.Errorf("alice's second message stands in the thread %q, not in %q", p.ThreadTS, hers.TS)
	}

	root := w.say("sue", im, "bob a new beginning", "")
	bob.sees("a new beginning")
	w.send("bob", address, "in the new thread")
	if p := w.sees(im, "in the new thread"); p.ThreadTS != root {
		t.Errorf("bob's answer stands in the thread %q, not in %q", p.ThreadTS, root)
	}
	w.say("sue", im, "for nobody", "")
	w.sees(im, "This reached nobody")

	wants(t, "alice's phone", alice.texts(), "hello Alice")
	wants(t, "bob's phone", bob.texts(), "hello Bob", "a new beginning")
	if n := len(w.lines("sue", im)); n != 9 {
		t.Errorf("sue's direct messages: %q", w.lines("sue", im))
	}
}

func TestPeerSlackRoomBothWays(t *testing.T) {
	w := newSlackWorkspace(t)
	alice, bob := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")
	w.send("alice", "ops", "from a phone")
	w.sees(w.ops, "from a phone")
	bob.sees("from a phone")
	w.say("sue", w.ops, "from Sue", "")
	for _, phone := range []*udpPhone{alice, bob} {
		if m := phone.sees("from Sue"); !strings.Contains(m.From, "<sip:ops@127.0.0.1>") || !strings.Contains(strings.ToLower(m.From), `"sue`) {
			t.Errorf("a phone shows it from %s", m.From)
		}
	}
	w.say("tom", w.ops, "a &lt;b&gt; &amp; c", "")
	alice.sees("a <b> & c")
	bob.sees("a <b> & c")
	w.send("bob", "ops", "<!channel> & *all*")
	w.sees(w.ops, "&lt;!channel&gt; &amp; *\u200ball*")
	alice.sees("<!channel> & *all*")

	w.front.do(map[string]any{"do": "disconnect"}) // Slack renews its connections
	w.says(`slack: events come in by Socket Mode`)
	w.say("sue", w.ops, "after a renewal", "")
	alice.sees("after a renewal")
	bob.sees("after a renewal")
	wants(t, "alice's phone", alice.texts(), "from Sue", "a <b> & c", "<!channel> & *all*", "after a renewal")
	wants(t, "bob's phone", bob.texts(), "from a phone", "from Sue", "a <b> & c", "after a renewal")
	wants(t, "the channel", w.lines("sue", w.ops), "sip:alice@127.0.0.1: from a phone", "sue: from Sue", "tom: a &lt;b&gt; &amp; c",
		"sip:bob@127.0.0.1: &lt;!channel&gt; &amp; *\u200ball*", "sue: after a renewal")
}

func TestPeerSlackDeskKeepsEachCorrespondentInAThread(t *testing.T) {
	w := newSlackWorkspace(t)
	alice, bob := newUDPPhone(w.bridge, "alice"), newUDPPhone(w.bridge, "bob")
	w.send("alice", "help", "Alice needs help")
	hers := w.sees(w.help, "Alice needs help")
	w.send("bob", "help", "Bob needs help")
	his := w.sees(w.help, "Bob needs help")
	w.say("sue", w.help, "for Bob", his.TS)
	bob.sees("for Bob")
	w.say("tom", w.help, "for Alice", hers.TS)
	if m := alice.sees("for Alice"); !strings.Contains(m.From, "<sip:help@127.0.0.1>") {
		t.Errorf("alice's phone shows it from %s", m.From)
	}
	w.say("tom", w.help, "among colleagues", "")
	w.send("alice", "help", "thank you")
	if p := w.sees(w.help, "thank you"); p.ThreadTS != hers.TS {
		t.Errorf("alice's second message stands in the thread %q, not in %q", p.ThreadTS, hers.TS)
	}
	wants(t, "alice's phone", alice.texts(), "for Alice")
	wants(t, "bob's phone", bob.texts(), "for Bob")
	if n := len(w.lines("sue", w.help)); n != 6 {
		t.Errorf("the channel: %q", w.lines("sue", w.help))
	}
}

func TestPeerSlackFailuresAreTold(t *testing.T) {
	w := newSlackWorkspace(t)
	decline(w.bridge, "bob")
	im := w.direct("sue")
	root := w.say("sue", im, "bob take this", "")
	if p := w.sees(im, "Not delivered"); p.ThreadTS != root || !strings.Contains(p.Text, "603") {
		t.Errorf("sue is told %q in the thread %q, not in %q", p.Text, p.ThreadTS, root)
	}
	w.send("alice", "slack-U0NOBODY", "is anybody there?")
	w.says(`msg=failed connector=slack .*reason=permanent .*user_not_found`)
	w.must(w.sdk.call("xoxp-sue", "conversations.archive", map[string]any{"channel": w.ops}, nil))
	w.send("alice", "ops", "into an archived channel")
	w.says(`msg=failed connector=slack .*reason=permanent .*is_archived`)
}

// The answer to a post is lost, and the bridge is killed: nothing is posted
// twice, and nothing that was said meanwhile is lost.
func TestPeerSlackLostAnswersAndARestart(t *testing.T) {
	w := newSlackWorkspace(t)
	alice := newUDPPhone(w.bridge, "alice")
	w.front.do(map[string]any{"do": "lose", "times": 1})
	w.front.until("will lose an answer", func(line []byte) bool { return string(line) == `{"done":"lose"}` })
	w.send("alice", "ops", "posted once")
	w.says(`msg=delivered connector=slack`)
	w.crash()
	w.say("sue", w.ops, "while the bridge was away", "")
	w.start()
	alice.sees("while the bridge was away")
	w.send("alice", "ops", "after")
	w.sees(w.ops, "after")
	wants(t, "the channel", w.lines("sue", w.ops), "sip:alice@127.0.0.1: posted once", "sue: while the bridge was away", "sip:alice@127.0.0.1: after")
	wants(t, "alice's phone", alice.texts(), "while the bridge was away")
}
