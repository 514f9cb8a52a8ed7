package main

import (
	"regexp"
	"strings"
	"testing"

	"parley.im/plugins/slack/slacktest"
)

// A graveyard is a bridge with a Slack channel that is archived, in which
// messages fail.
type graveyard struct {
	*bridge
	slack   *slacktest.Server
	channel string
}

func newGraveyard(t *testing.T) *graveyard {
	t.Helper()
	s := slacktest.New(slacktest.Options{})
	t.Cleanup(s.Close)
	channel := s.Channel("ops")
	s.Archive(channel, true)
	b := newSlackBridge(t, s, `name    = "ops"
mode    = "room"
sip     = "sip:ops@127.0.0.1"
members = ["sip:alice@127.0.0.1"]
to      = ["slack:`+s.Team+"/"+channel+`"]`)
	return &graveyard{b, s, channel}
}

// bury sends a text that fails.
func (g *graveyard) bury(text string) {
	g.t.Helper()
	g.after(func() { g.send("alice", "ops", text) }, `msg=failed connector=slack`)
}

// after does something and waits until the log has a line that tells of it.
func (g *graveyard) after(do func(), line string) {
	g.t.Helper()
	g.mu.Lock()
	n := len(g.lines)
	g.mu.Unlock()
	do()
	g.saysAfter(n, line)
}

// dead runs "parley dead" and wants an exit code.
func (g *graveyard) dead(code int, args ...string) string {
	g.t.Helper()
	out, bad, got := g.cli("", append([]string{"dead", args[0], "--config", g.config}, args[1:]...)...)
	if got != code {
		g.t.Fatalf("parley dead %v: exit code %d, want %d\n%s%s", args, got, code, out, bad)
	}
	return out + bad
}

// texts returns what the channel shows.
func (g *graveyard) texts() (list []string) {
	for _, m := range g.slack.Messages(g.channel) {
		list = append(list, m.Text)
	}
	return list
}

func TestADeadLetterIsSentAgainOnce(t *testing.T) {
	g := newGraveyard(t)
	g.bury("first \x1b[31mred")
	g.bury("second")
	list := strings.Split(strings.TrimSpace(g.dead(0, "list")), "\n")
	if len(list) != 2 || !strings.Contains(list[0], "sip:alice@127.0.0.1 → slack:") || !strings.Contains(list[0], "permanent") {
		t.Fatalf("the list is %q", list)
	}
	first, _, _ := strings.Cut(list[0], " ")
	if shown := g.dead(0, "show", first); !strings.Contains(shown, "first \uFFFD[31mred") || strings.ContainsRune(shown, '\x1b') {
		t.Errorf("it is shown as %q", shown)
	}
	if said := g.dead(exitFailed, "retry", "--connector", "slack"); !strings.Contains(said, "send again 2 dead letters; say so with --yes") {
		t.Errorf("several without --yes: %s", said)
	}

	g.slack.Archive(g.channel, false)
	if said := g.dead(0, "retry", first); !strings.Contains(said, "sent again, after later messages of its conversation") {
		t.Errorf("the first was %s", said)
	}
	g.says(`msg="dead letter retried" message=\w+ dead=` + first + `\w+ by=\w+`)
	g.says(`msg=delivered connector=slack`)
	g.dead(exitFailed, "retry", first) // it is open no more
	g.dead(0, "drop", "--target", "slack:"+g.slack.Team+"/"+g.channel)
	g.says(`msg="dead letter dropped"`)
	if left := g.dead(0, "list"); !strings.Contains(left, "no open dead letters") {
		t.Errorf("left: %s", left)
	}
	// It orders what came before it.
	g.after(func() { g.send("alice", "ops", "third") }, `msg=delivered connector=slack`)
	if got := g.texts(); len(got) != 2 || !strings.HasPrefix(got[0], "first") || got[1] != "third" {
		t.Errorf("the channel shows %q", got)
	}
}

func TestWhatFailsAgainIsANewDeadLetter(t *testing.T) {
	g := newGraveyard(t)
	g.bury("one")
	id := regexp.MustCompile(`^\w+`).FindString(g.dead(0, "list"))
	g.after(func() { g.dead(0, "retry", id) }, `msg=failed connector=slack`)
	list := g.dead(0, "list")
	if strings.Count(list, "\n") != 1 || strings.HasPrefix(list, id) {
		t.Errorf("after it failed again the list is %q, it was %s", list, id)
	}
	g.crash()
	g.start()
	if again := g.dead(0, "list"); again != list {
		t.Errorf("after a restart the list is %q, want %q", again, list)
	}
	g.dead(exitUsage, "drop")
	if said := g.dead(exitFailed, "drop", "nosuchid"); !strings.Contains(said, "no open dead letter") {
		t.Errorf("of an unknown id it says %s", said)
	}
}
