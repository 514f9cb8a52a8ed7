package main

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"
)

// showsWaiting asks for the status until it has a line: nothing tells of a
// lane that was parked.
func (b *bridge) showsWaiting(line string) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		out, _, _ := b.cli("", "status", "--config", b.config)
		if regexp.MustCompile(line).MatchString(out) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("no %s in\n%s", line, out)
		}
	}
}

func TestStatusShowsConnectorsAndWhatWaits(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	b.send("alice", "lobby", "hello") // bob's phone is off
	ann.sees("hello", nil)
	b.says(`msg=delivered connector=web`)
	b.says(`msg="delivery put off"`)
	b.showsWaiting(`(?m)^sip: sip:bob@127\.0\.0\.1 waits for \d+s: `)
	out, bad, code := b.cli("", "status", "--config", b.config)
	for _, want := range []string{`(?m)^web +running +0 +0 +1 +0 +0$`, `(?m)^sip +running +[01] +[01] +0 +0 +0$`, `(?m)^PARLEY_INBOUND +1 events`, `MiB free`} {
		if code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("exit code %d %s: no %s in\n%s", code, bad, want, out)
		}
	}
	out, _, code = b.cli("", "status", "--config", b.config, "--json")
	if code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("as JSON: exit code %d\n%s", code, out)
	}
	b.crash()
	if _, bad, code := b.cli("", "status", "--config", b.config); code != exitFailed || !regexp.MustCompile(`no running host`).MatchString(bad) {
		t.Errorf("without a host: exit code %d, %s", code, bad)
	}
}
