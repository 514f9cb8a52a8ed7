//go:build peers

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"maunium.net/go/mautrix/id"
)

// A village is a town whose networks are none of ours: a softphone, Chromium's
// protocol for the chat page, Dendrite, Slack's own SDK at an emulator, and
// Postfix with Dovecot; all in one room of the bridge.
type village struct {
	*bridge
	t     *testing.T
	alice *baresip
	bob   *udpPhone // shows what comes, each once
	ann   *person

	dendrite *dendrite
	mia      *matrixHuman
	room     id.RoomID

	slack *emulated

	mail *mailServer
	tim  *mailHuman
}

const villageConfig = `[plugins.matrix]
homeserver   = %q
domain       = "hs.test"
registration = "matrix.yaml"

[plugins.slack]
bot_token = "xoxb-parley"
app_token = "xapp-parley"
api_url   = %q

[plugins.email]
address = "parley@bridge.mail.test"
smtp    = { address = "127.0.0.1:%d", tls = "starttls", ca = %q, user = "parley@mail.test", password = %q }
listen  = { address = "127.0.0.1:%d", protocol = "lmtp" }

[plugins.web]`

const villageRoom = `[[route]]
name    = "town"
mode    = "room"
sip     = "sip:town@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["web:room/lobby", "matrix:r/town:hs.test", %q, "mailto:team@mail.test"]

[[route]]
name = "web"`

func newVillage(t *testing.T) *village {
	t.Helper()
	v := &village{t: t, slack: startEmulate(t), mail: startMail(t)}
	v.bridge = writeBridge(t, "[plugins.web]", fmt.Sprintf(villageConfig, "@HOMESERVER@", v.slack.url,
		v.mail.submission, v.mail.ca, mailPassword("parley"), v.mail.bridge),
		"[[route]]\nname = \"web\"", fmt.Sprintf(villageRoom, "slack:"+v.slack.team+"/"+v.slack.channels["ops"]),
		"[[route]]\nname    = \"lobby\"\nmode    = \"room\"\nsip     = \"sip:lobby@127.0.0.1\"\nmembers = [\"sip:alice@127.0.0.1\", \"sip:bob@127.0.0.1\"]\nto      = [\"web:room/lobby\"]\n", "")
	registration := filepath.Join(v.dir, "matrix.yaml")
	if out, bad, code := v.cli("", "plugin", "matrix", "register", "--domain", "hs.test",
		"--url", fmt.Sprintf("http://%s/c/matrix", at(v.web)), "--out", registration); code != 0 {
		t.Fatalf("register: %d %s %s", code, out, bad)
	}
	v.dendrite = startDendrite(t, "hs.test", registration)
	v.mia = v.dendrite.human("mia", "Mia")
	v.room = v.mia.create("town")
	text, err := os.ReadFile(v.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, v.dir, "bridge.toml", strings.ReplaceAll(string(text), "@HOMESERVER@", v.dendrite.url))
	v.start()
	v.alice = startBaresip(t, "alice", password("alice"), "udp", v.sip, "sip:town@127.0.0.1")
	v.bob = newUDPPhone(v.bridge, "bob")
	v.ann = joinChat(t, v.web, "ann")
	v.tim = v.mail.human("team")
	return v
}

// seen waits until a network shows a text.
func (v *village) seen(network, text string) {
	v.t.Helper()
	switch network {
	case "sip":
		v.bob.sees(text)
	case "web":
		v.ann.sees(text, nil)
	case "matrix":
		v.mia.sees(v.room, text)
	case "slack":
		v.slack.sees(v.slack.channels["ops"], text)
	case "mail":
		v.tim.sees(text)
	}
}

// views are what each network shows of what others said, in order.
func (v *village) views() map[string][]spoken {
	views := map[string][]spoken{}
	for _, m := range v.slack.history("sue", v.slack.channels["ops"]) {
		if m.User != v.slack.people["sue"] {
			views["slack"] = append(views["slack"], spoken{m.Name, m.Text})
		}
	}
	v.bob.mu.Lock()
	for _, m := range v.bob.shown {
		name, _, _ := strings.Cut(strings.TrimPrefix(m.From, `"`), `"`)
		views["sip"] = append(views["sip"], spoken{name, m.Text})
	}
	v.bob.mu.Unlock()
	v.ann.mu.Lock()
	for _, key := range v.ann.order {
		if m := v.ann.messages[key]; m.Name != "ann" {
			views["web"] = append(views["web"], spoken{cmp.Or(m.Name, m.From), m.Text})
		}
	}
	v.ann.mu.Unlock()
	for _, line := range v.mia.said(v.room) {
		author, text, _ := strings.Cut(line, ":hs.test: ")
		if author != "@mia" {
			views["matrix"] = append(views["matrix"], spoken{author, text})
		}
	}
	for _, l := range v.tim.letters() {
		views["mail"] = append(views["mail"], spoken{l.name, l.text})
	}
	return views
}

func TestPeersOfFiveNetworksInOneRoomSeeEachMessageOnceAndInOrder(t *testing.T) {
	v := newVillage(t)
	type said struct {
		network, text string
		say           func(text string)
		author        map[string]string // as each network names it; "" for the others
	}
	answer := ""
	round := func(n int) []said {
		return []said{
			{"phone", fmt.Sprintf("from a phone %d", n), v.alice.send,
				map[string]string{"": "sip:alice@127.0.0.1", "mail": "alice@127.0.0.1", "matrix": "@_parley_sip_alice_127.0.0.1"}},
			{"web", fmt.Sprintf("from the web %d", n), func(s string) { v.ann.say("r:lobby", s) },
				map[string]string{"": "ann", "matrix": "@_parley_web_u=2fann"}},
			{"matrix", fmt.Sprintf("from matrix %d", n), func(s string) { v.mia.say(v.room, s) },
				map[string]string{"": "Mia"}},
			{"slack", fmt.Sprintf("from slack %d", n), func(s string) { v.slack.say("sue", v.slack.channels["ops"], s, "") },
				map[string]string{"": "sue", "matrix": "@_parley_slack_…"}},
			{"mail", fmt.Sprintf("from mail %d", n), func(s string) { v.tim.answer(v.tim.sees(answer), s) },
				map[string]string{"": "Team", "matrix": "@_parley_mailto_team_mail.test"}},
		}
	}
	want := map[string][]spoken{}
	say := func(s said, frozen ...string) {
		s.say(s.text)
		for _, n := range all(s.network) {
			want[n] = append(want[n], spoken{cmp.Or(s.author[n], s.author[""]), s.text})
			if !slices.Contains(frozen, n) {
				v.seen(n, s.text)
			}
		}
		if s.network != "mail" {
			answer = s.text
		}
	}
	for n := range 2 {
		for _, s := range round(n) {
			say(s)
		}
	}

	v.dendrite.signal(syscall.SIGSTOP) // the others go on, and it catches up
	for _, s := range round(2) {
		if s.network != "matrix" {
			say(s, "matrix")
		}
	}
	v.dendrite.signal(syscall.SIGCONT)
	v.seen("matrix", "from mail 2")

	got := v.views()
	for _, n := range all() {
		same := slices.EqualFunc(got[n], want[n], func(g, w spoken) bool {
			prefix, open := strings.CutSuffix(w.author, "…") // an id that Slack has made
			return g.text == w.text && (g.author == w.author || open && strings.HasPrefix(g.author, prefix))
		})
		if !same {
			t.Errorf("%s shows\n%v\nwant\n%v", n, got[n], want[n])
		}
	}
	v.alice.receives("sip:town@127.0.0.1", "from mail 2")
}
