package main

import (
	"strings"
	"testing"
)

func TestTraceShowsAMessagesLifeByAnyOfItsIDs(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	b.send("alice", "lobby", "where is it")
	ann.sees("where is it", nil)
	b.send("bob", "lobby", "another")
	ann.sees("another", nil)
	stored := b.says(`msg=stored message=(\S+) origin=sip native=(\S+) `)
	delivered := b.says(`msg=delivered connector=web message=(\S+) inbound=` + stored[1])
	for what, id := range map[string]string{
		"the event": stored[1], "its beginning": stored[1][:10], "the Call-ID": stored[2], "the Outbound": delivered[1][:12],
	} {
		out, bad, code := b.cli("", "trace", "--config", b.config, id)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || len(lines) != 4 || !strings.Contains(lines[0], " inbound ") || !strings.Contains(lines[3], " delivered ") {
			t.Errorf("by %s: exit code %d %s\n%s", what, code, bad, out)
		}
		if strings.Contains(out, "where is it") {
			t.Errorf("it shows what was said:\n%s", out)
		}
	}
	if _, bad, code := b.cli("", "trace", "--config", b.config, "nosuchmessage"); code != exitFailed || !strings.Contains(bad, "--since") {
		t.Errorf("of a message that is not there: exit code %d, %s", code, bad)
	}
	if out, _, code := b.cli("", "trace", "--config", b.config, "--json", stored[1]); code != 0 || strings.Count(out, `"specversion":"1.0"`) != 4 {
		t.Errorf("as JSON: exit code %d\n%s", code, out)
	}
}
