package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// rewrite changes the configuration file: pairs of old and new text.
func (b *bridge) rewrite(edits ...string) {
	b.t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	s := string(text)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(s, edits[i]) {
			b.t.Fatalf("the file has no %q", edits[i])
		}
		s = strings.ReplaceAll(s, edits[i], edits[i+1])
	}
	if err := os.WriteFile(b.config, []byte(s), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// reload runs "parley reload" and wants an exit code.
func (b *bridge) reload(code int) string {
	b.t.Helper()
	out, bad, got := b.cli("", "reload", "--config", b.config)
	if got != code {
		b.t.Fatalf("reload: exit code %d, want %d\n%s%s", got, code, out, bad)
	}
	return out + bad
}

const secondChat = `[plugins.second]
use   = "web"
rooms = ["den"]

[[route]]
name    = "den"
mode    = "room"
sip     = "sip:den@127.0.0.1"
members = ["sip:alice@127.0.0.1"]
to      = ["web:room/den"]
via     = "second"

[[route]]
name = "web"`

func TestAReloadDropsNeitherAConnectionNorAMessage(t *testing.T) {
	b := newBridge(t, "[[route]]\nname = \"web\"", "[[route]]\nname = \"web\"\nvia  = \"web\"", `to      = ["web:room/lobby"]`, "to      = [\"web:room/lobby\"]\nvia     = \"web\"")
	bob := newUDPPhone(b, "bob") // stays registered all the time
	ann := joinChat(t, b.web, "ann")

	b.rewrite("[[route]]\nname = \"web\"", secondChat)
	if said := b.reload(0); !strings.Contains(said, "connector second added") || !strings.Contains(said, "routes changed") {
		t.Errorf("it says %s", said)
	}
	b.says(`msg=reloaded by=\w+`)
	b.send("alice", "den", "in the new room")
	b.says(`msg=delivered connector=second`)

	b.rewrite(secondChat, "[[route]]\nname = \"web\"") // taken away, with a message on its way
	if said := b.reload(0); !strings.Contains(said, "connector second removed") {
		t.Errorf("it says %s", said)
	}
	if out := b.answer("den", "x"); !strings.HasPrefix(out, "404 ") {
		t.Errorf("a route that is gone answers %q", out)
	}
	b.send("alice", "lobby", "still here")
	bob.sees("still here")
	ann.sees("still here", nil)
	if said := b.reload(0); !strings.Contains(said, "nothing to change") {
		t.Errorf("it says %s", said)
	}
}

func TestAChangedConnectorGetsWhatWaited(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	b.send("alice", "lobby", "before")
	ann.sees("before", nil)
	b.rewrite(`title      = "Parley"`, `title      = "Renamed"`)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range 10 {
			out, bad, _ := b.cli("", "send", "--server", at(b.sip), "--from", "sip:alice@127.0.0.1", "sip:lobby@127.0.0.1", fmt.Sprint("during ", i))
			if !strings.HasPrefix(out, "202 ") {
				t.Errorf("during the reload the answer is %q, %q", out, bad)
			}
		}
	}()
	if said := b.reload(0); !strings.Contains(said, "connector web changed") {
		t.Errorf("it says %s", said)
	}
	<-sent
	late := joinChat(t, b.web, "late")
	for i := range 10 {
		late.sees(fmt.Sprint("during ", i), nil)
	}
}

func TestAnAccountThatIsTakenAwayIsForgotten(t *testing.T) {
	b := newBridge(t)
	newUDPPhone(b, "bob")
	b.rewrite("[[sip.account]]\nuser     = \"bob\"", "[[sip.account]]\nuser     = \"carol\"",
		`"sip:bob@127.0.0.1"`, `"sip:carol@127.0.0.1"`)
	b.reload(0)
	if out := b.answer("bob", "x"); !strings.HasPrefix(out, "404 ") {
		t.Errorf("who is gone answers %q", out)
	}
	if out := b.answer("carol", "x"); !strings.HasPrefix(out, "202 ") {
		t.Errorf("who is new answers %q", out)
	}
}

func TestABadFileChangesNothingAndSaysWhere(t *testing.T) {
	b := newBridge(t)
	for _, tc := range []struct{ old, new, want string }{
		{"[sip]\n", "[sip\n", `bridge\.toml:\d+: not valid TOML`},
		{"[sip]\n", "[sip]\nnonsense = 1\n", `bridge\.toml:\d+: sip\.nonsense: unknown key`},
		{`"bob-secret"`, `{ file = "nowhere" }`, `bridge\.toml:\d+: sip\.account\[1\]\.password`},
		{`durability  = "fsync"`, `durability  = "interval"`, `bridge\.toml:\d+: bus\.durability: was changed, which needs a restart`},
		{`title      = "Parley"`, `title      = 7`, `bridge\.toml:\d+: plugins\.web\.title`},
	} {
		b.rewrite(tc.old, tc.new)
		said := b.reload(exitFailed)
		if !matches(tc.want, said) {
			t.Errorf("with %q it says %s", tc.new, said)
		}
		b.rewrite(tc.new, tc.old)
	}
	b.send("alice", "lobby", "as before")
	b.signal(syscall.SIGHUP)
	b.says(`msg=reloaded by=signal`)
}

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }
