package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
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
	text, err := os.ReadFile("../../bridge.toml")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{c: Default()}
	top := &table{r: r, values: map[string]any{}}
	r.read(top)
	for _, key := range top.asked {
		if !strings.Contains(string(text), "["+key) {
			t.Errorf("bridge.toml does not show [%s]", key)
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
	a := Account{"alice", NewSecret("hush")}
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "account", a, "password", a.Password)
	j, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(a), fmt.Sprintf("%+v %#v %s %q", a, a, a.Password, a.Password), log.String(), string(j)} {
		if strings.Contains(s, "hush") {
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
`)
	for path, want := range map[string]int{
		"a": 1, "b": 3, "b.c": 3, "t": 5, "t.long": 6, "t.list": 10, "t.quoted key": 14, "t.after": 15,
		"r[0]": 17, "r[0].k": 18, "r[1]": 19, "r[1].k": 20, "r[1].sub": 21, "r[1].sub.z": 22, "r[1].sub.end": 24,
	} {
		if at[path] != want {
			t.Errorf("%s is said to stand on line %d, want %d", path, at[path], want)
		}
	}
	if _, ok := at["t.not"]; ok {
		t.Error("a line inside a string is taken for a key")
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
