package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley.im/core/config"
	"parley.im/core/httpd"
)

// command runs one command line within the test.
func command(t *testing.T, input string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(t.Context(), args, strings.NewReader(input), &o, &e)
	return code, o.String(), e.String()
}

func TestCommandLines(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tc := range []struct {
		line string
		code int
		says string // on stdout when it went well, else on stderr
	}{
		{"", exitUsage, "parley needs a command: account, bench, bus, check, "},
		{"--help", exitOK, "Parley bridges"},
		{"version", exitOK, "parley "},
		{"version now", exitUsage, `(see "parley version --help")`},
		{"vershun", exitUsage, `unknown command "vershun"`},
		{"run --colour", exitUsage, "unknown flag: --colour"},
		{"run --config nowhere.toml", exitFailed, "nowhere.toml"},
		{"run --log-level loud", exitUsage, "debug, info, warn or error"},
		{"run --log-format xml", exitUsage, "text or json"},
		{"check --config nowhere.toml", exitFailed, "nowhere.toml"},
		{"content", exitUsage, "parley content needs a command: preview"},
		{"content preview nowhere.eml --to slack", exitFailed, "nowhere.eml"},
		{"content preview nowhere.eml", exitUsage, `no such network; there is sip, email, matrix, slack, web`},
		{"content preview nowhere.eml --to telex", exitUsage, `--to "telex"`},
		{"route", exitUsage, "parley route needs a command: explain"},
		{"route explain", exitUsage, "accepts 2 arg(s)"},
		{"route explain alice sip:lobby@127.0.0.1", exitFailed, "alice"},
		{"plugin serve", exitUsage, "accepts 1 arg(s)"},
		{"plugin serve telex", exitUsage, `no bundled connector is called "telex"; there is `},
		{"tail --type noise", exitUsage, "it is one of"},
		{"tail --config nowhere.toml", exitFailed, "nowhere.toml"},
		{"send", exitUsage, "requires at least 1 arg"},
		{"send sip:lobby@127.0.0.1 hello", exitUsage, "--from"},
		{"send --from mailto:a@b sip:lobby@127.0.0.1 hello", exitUsage, "no SIP address"},
		{"send --from sip:alice@127.0.0.1 lobby hello", exitUsage, "recipient"},
		{"send --from sip:alice@127.0.0.1 sip:lobby@127.0.0.1 --transport carrier hello", exitUsage, "udp or tcp"},
		{"send --from sip:alice@127.0.0.1 sip:lobby@127.0.0.1 --server nowhere hello", exitUsage, "host:port"},
		{"send --from sip:alice@127.0.0.1 sip:lobby@127.0.0.1 --password-file none hello", exitFailed, "password file"},
		{"completion bash", exitOK, "bash completion"},
	} {
		code, out, errs := command(t, "", strings.Fields(tc.line)...)
		said, silent := errs, out
		if tc.code == exitOK {
			said, silent = out, errs
		}
		if code != tc.code || !strings.Contains(said, tc.says) || silent != "" {
			t.Errorf("parley %s: got code %d, stdout %q, stderr %q; want code %d and %q", tc.line, code, out, errs, tc.code, tc.says)
		}
	}
}

func TestEveryCommandHasHelpAndTheirLeavesExamples(t *testing.T) {
	root, _ := newRoot()
	for _, c := range root.Commands() {
		for _, c := range append(c.Commands(), c) {
			if c.Short == "" || c.Example == "" && !c.HasSubCommands() {
				if c.Name() != "version" && !c.Hidden {
					t.Errorf("%q: no help or no example", c.CommandPath())
				}
			}
		}
	}
}

func TestURIsOfTheCommandLine(t *testing.T) {
	for _, tc := range []struct {
		uri  string
		want sipURI
		ok   bool
	}{
		{"sip:alice@example.com", sipURI{"alice", "example.com", ""}, true},
		{"SIPS:alice@example.com:5061;transport=tcp?x=y", sipURI{"alice", "example.com", "5061"}, true},
		{"sip:al%20ice@[::1]:5070", sipURI{"al ice", "::1", "5070"}, true},
		{"sip:alice@[::1]", sipURI{"alice", "::1", ""}, true},
		{"sip:alice:secret@example.com", sipURI{"alice", "example.com", ""}, true},
		{"sip:a@b@example.com", sipURI{"a@b", "example.com", ""}, true},
		{"sip:example.com", sipURI{}, false},
		{"sip:@example.com", sipURI{}, false},
		{"sip:alice@", sipURI{}, false},
		{"sip:alice@[::1", sipURI{}, false},
		{"sip:al%zzice@example.com", sipURI{}, false},
		{"sip:ali ce@example.com", sipURI{}, false},
		{"tel:+123", sipURI{}, false},
		{"", sipURI{}, false},
	} {
		got, err := parseURI(tc.uri)
		if (err == nil) != tc.ok || tc.ok && got != tc.want {
			t.Errorf("%q: got %+v, %v; want %+v, %v", tc.uri, got, err, tc.want, tc.ok)
		}
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{"sip:alice@example.com", "sips:a:b@[::1]:5;x?y", "sip:@", "sip:a@[", "sip:%@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseURI(s); err == nil && u.host == "" {
			t.Errorf("%q has no host and passes", s)
		}
	})
}

func TestTheTextComesFromArgumentsOrInput(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		in   string
		want string
		ok   bool
	}{
		{"words", []string{"good", "morning"}, "unread", "good morning", true},
		{"input as it is", nil, "one\ntwo\n", "one\ntwo\n", true},
		{"input at the limit", nil, strings.Repeat("x", maxBody), strings.Repeat("x", maxBody), true},
		{"input above it", nil, strings.Repeat("x", maxBody+1), "", false},
	} {
		got, err := textOf(tc.args, strings.NewReader(tc.in))
		if (err == nil) != tc.ok || string(got) != tc.want {
			t.Errorf("%s: got %.40q, %v", tc.name, got, err)
		}
	}
}

func TestWhereThePasswordComesFrom(t *testing.T) {
	c, problems := config.Load("../../bridge.toml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	account := c.SIP.Accounts[0]
	known := sipURI{user: account.User, host: c.SIP.Domains[0]}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		s      sending
		env    string
		from   sipURI
		server string
		want   string
	}{
		{"a file", sending{passwordFile: file, password: "flag"}, "env", known, "192.0.2.7", "from file"},
		{"a flag", sending{password: "flag"}, "env", known, "192.0.2.7", "flag"},
		{"the environment", sending{}, "env", known, "192.0.2.7", "env"},
		{"the bridge on this machine", sending{}, "", known, "127.0.0.1", account.Password.Reveal()},
		{"never for another machine", sending{}, "", known, "192.0.2.7", ""},
		{"nor for a name that may be another machine", sending{}, "", known, "localhost.example", ""},
		{"nor for another user", sending{}, "", sipURI{user: "nobody", host: known.host}, "127.0.0.1", ""},
		{"nor for another domain", sending{}, "", sipURI{user: known.user, host: "example.com"}, "127.0.0.1", ""},
		{"no bridge here", sending{config: "nowhere.toml"}, "", known, "127.0.0.1", ""},
	} {
		t.Setenv("PARLEY_PASSWORD", tc.env)
		if tc.s.config == "" {
			tc.s.config = "../../bridge.toml"
		}
		got, err := tc.s.findPassword(tc.from, tc.server)
		if err != nil || got != tc.want {
			t.Errorf("%s: got %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestATailLineShowsHostileTextQuoted(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.Local)
	for _, tc := range []struct {
		name string
		e    tailed
		want string
	}{
		{"inbound", tailed{Time: at, Type: "im.parley.message.inbound.v1", ID: "abcdefghijkl", Source: "/parley/sip", Kind: "message", Sender: "sip:alice@example.com", Recipient: "sip:lobby@example.com"},
			"03:02:01.000 inbound   abcdefghij sip:alice@example.com → sip:lobby@example.com by=sip"},
		{"outbound", tailed{Time: at, Type: "im.parley.message.outbound.v1", ID: "o", Inbound: "abc", Source: "/parley/web", Kind: "message", Route: "lobby", Sender: "sip:alice@a", From: "sip:lobby@a", Target: "web:room/lobby"},
			"03:02:01.000 outbound  o sip:lobby@a → web:room/lobby by=web route=lobby inbound=abc"},
		{"failed", tailed{Time: at, Type: "im.parley.message.failed.v1", ID: "s", Outbound: "o", Inbound: "abc", Source: "/parley/web", Kind: "message", From: "sip:lobby@a", Target: "web:room/lobby", Reason: "permanent", Detail: "no such\x1b[2Jroom"},
			`03:02:01.000 failed    s sip:lobby@a → web:room/lobby by=web outbound=o inbound=abc reason=permanent detail="no such\x1b[2Jroom"`},
		{"turned writing", tailed{Type: "im.parley.message.inbound.v1", ID: "x\n", Sender: "sip:\u202eecila@a", Recipient: "sip:b\u00a0c@a"},
			`-            inbound   "x\n" "sip:\u202eecila@a" → "sip:b\u00a0c@a"`},
	} {
		if got := tc.e.String(); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
	if got := httpd.ShortType("im.parley.typing.v1"); got != "typing" {
		t.Errorf("got %q", got)
	}
}

func FuzzQuoting(f *testing.F) {
	for _, s := range []string{"", "alice", "\x1b[31m", "a\u202eb", "grüße", "\xff", strings.Repeat("ü", 100), "a\"b", "\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, shown := range []string{plain(s), quote(s)} {
			for _, r := range shown {
				if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == '\ufffd' && !strings.Contains(s, "\ufffd") {
					t.Errorf("%q is shown as %q", s, shown)
				}
			}
			if len(shown) > 10*maxShown {
				t.Errorf("%d bytes are shown of %d", len(shown), len(s))
			}
		}
	})
}
