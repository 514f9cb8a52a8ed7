package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestTheShippedFileIsCompleteAndEqualToTheDefaults(t *testing.T) {
	c, problems := Load("../../bridge.toml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := Default()
	want.SIP.Realm = want.SIP.Domains[0]
	want.Bus.Data = filepath.Join("../..", want.Bus.Data)
	got := *c
	got.SIP.Accounts = nil
	for _, x := range []struct{ got, want any }{{got.Bus, want.Bus}, {got.SIP, want.SIP}, {got.HTTP, want.HTTP}} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("bridge.toml says\n%+v, the defaults are\n%+v", x.got, x.want)
		}
	}
	if len(c.SIP.Accounts) != 2 || len(c.Routes) != 2 || string(c.Plugins["web"].Settings) == "" {
		t.Errorf("bridge.toml has nothing to try out: %+v", c)
	}
}

// Every key that is known stands in the shipped file, if only in a comment.
func TestTheShippedFileShowsEveryKey(t *testing.T) {
	b, err := os.ReadFile("../../bridge.toml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{} // "table.key"
	table := ""
	header, key := regexp.MustCompile(`^#? ?\[+([a-z.]+)\]+`), regexp.MustCompile(`^#? ?([a-z0-9_]+) *=`)
	for line := range strings.Lines(string(b)) {
		if m := header.FindStringSubmatch(line); m != nil {
			table = m[1]
			shown[table] = true
		} else if m := key.FindStringSubmatch(line); m != nil {
			shown[join(table, m[1])] = true
		}
	}
	path := filepath.Join(t.TempDir(), "bridge.toml")
	text := "zzzz = 1\n[bus]\nzzzz = 1\n[bus.retention]\nzzzz = 1\n[bus.tls]\nzzzz = 1\n[[bus.subscriber]]\nzzzz = 1\n[sip]\nzzzz = 1\n[sip.tls]\nzzzz = 1\n[sip.ws]\nzzzz = 1\n[sip.limits]\nzzzz = 1\n[[sip.account]]\nzzzz = 1\n[[sip.trunk]]\nzzzz = 1\n[sip.trunk.pace]\nzzzz = 1\n[sip.trunk.tls]\nzzzz = 1\n[sip.trunk.numbers]\nzzzz = 1\n[[sip.trunk.numbers.in]]\nmatch = '1'\nzzzz = 1\n[[sip.registration]]\nzzzz = 1\n[http]\nzzzz = 1\n[[route]]\nzzzz = 1\n[tracing]\nzzzz = 1\n[files]\nzzzz = 1\n[kinds]\nzzzz = 1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	known := []string{"plugins.web.use", "plugins.web.command", "plugins.web.sha256"}
	_, problems := Load(path)
	for _, p := range problems {
		if _, keys, ok := strings.Cut(p.Text, "known are "); ok {
			table := regexp.MustCompile(`\[\d+\]|\.?zzzz`).ReplaceAllString(p.Path, "")
			for _, k := range strings.Split(keys, ", ") {
				known = append(known, join(table, k))
			}
		}
	}
	if len(known) < 25 {
		t.Fatalf("only %d keys are known: %q", len(known), known)
	}
	for _, path := range known {
		if !shown[path] && path != "plugins" {
			t.Errorf("bridge.toml does not show %s", path)
		}
	}
}

func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			_, problems := Load(f)
			got := strings.ReplaceAll(problems.Error(), "testdata/", "") + "\n"
			golden := strings.TrimSuffix(f, ".toml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("problems are\n%swant\n%s%v", got, want, err)
			}
		})
	}
}

func TestValues(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("bob.secret", "from a file\n")
	t.Setenv("PARLEY_TEST_SECRET", "from the environment")
	c, problems := Load(put("bridge.toml", `
bus.data = "store"
[sip]
domains = "example.com"
[[sip.account]]
user = "alice"
password = { env = "PARLEY_TEST_SECRET" }
[[sip.account]]
user = "bob"
password = { file = "bob.secret" }
[plugins.team]
use = "slack"
token = { env = "PARLEY_TEST_SECRET" }
[plugins.team.deep]
list = [ { file = "bob.secret" }, "plain" ]
[[route]]
to = "web:room/x"
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.Bus.Data != filepath.Join(dir, "store") || c.SIP.Realm != "example.com" || c.Routes[0].To[0] != "web:room/x" {
		t.Errorf("config: %+v", c)
	}
	if a := c.SIP.Accounts; a[0].Password.Reveal() != "from the environment" || a[1].Password.Reveal() != "from a file" {
		t.Errorf("passwords: %q, %q", a[0].Password.Reveal(), a[1].Password.Reveal())
	}
	if got, want := string(c.Plugins["team"].Settings), `{"deep":{"list":["from a file","plain"]},"token":"from the environment"}`; got != want {
		t.Errorf("settings are %s, want %s", got, want)
	}
}

func TestASecretIsNeverShown(t *testing.T) {
	var log strings.Builder
	a := Account{User: "alice", Password: NewSecret("hush"), HA1MD5: NewSecret("hush")}
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "account", a, "password", a.Password)
	j, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(a), fmt.Sprintf("%+v %#v %s %q %d %x %v", a, a, a.Password, a.Password, a.Password, a.Password, &a), log.String(), string(j)} {
		if strings.Contains(s, "hush") || strings.Contains(s, fmt.Sprintf("%x", "hush")) {
			t.Errorf("a secret is shown: %s", s)
		}
	}
}

func TestLines(t *testing.T) {
	at := locate(`a = 1
# comment
b.c = "x # no comment"

[t]
long = """
not = 1
[not]
"""
list = [ # comment ]
  "]",
  { x = 1 },
]
"quoted key" = 'a"'
after = 2

[[r]]
k = 1
[[r]]
k = 2
[r.sub]
z = { p = "]", q = [1,
 2] }
end = 1

[s]
a = """one \""" # still
two""""   # over: the first of the four belongs to it
b = ['''
]''', """x""", "]"]   
c = """"""
d."e f".g = 1
"h" = { i = """
j = 1
""" }
k = 1
`)
	for path, want := range map[string]int{
		"a": 1, "b": 3, "b.c": 3, "t": 5, "t.long": 6, "t.list": 10, "t.quoted key": 14, "t.after": 15,
		"r[0]": 17, "r[0].k": 18, "r[1]": 19, "r[1].k": 20, "r[1].sub": 21, "r[1].sub.z": 22, "r[1].sub.end": 24,
		"s": 26, "s.a": 27, "s.b": 29, "s.c": 31, "s.d.e f.g": 32, "s.h": 33, "s.k": 36,
	} {
		if at[path] != want {
			t.Errorf("%s is said to stand on line %d, want %d", path, at[path], want)
		}
	}
	for _, path := range []string{"t.not", "not", "s.j"} {
		if _, ok := at[path]; ok {
			t.Errorf("a line inside a string is taken for %s", path)
		}
	}
}

func TestLineOfWhatIsMissing(t *testing.T) {
	c := &Config{lines: locate("[sip]\n[[sip.account]]\nuser = \"a\"\n")}
	for path, want := range map[string]int{"sip.account[0].password": 2, "sip.account[0].user": 3, "sip.realm": 1, "http.listen": 0, "": 0} {
		if got := c.Line(path); got != want {
			t.Errorf("%s: line %d, want %d", path, got, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"../../bridge.toml", "testdata/many.toml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("a=\"\"\"\n[[x]]\ny.'z'=[{\n}]")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		_ = locate(text)
		path := filepath.Join(dir, "bridge.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, _ := Load(path); c != nil {
			_ = c.Line("a.b[0].c")
		}
	})
}
