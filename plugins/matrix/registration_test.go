package matrix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk/sdktest"
)

func TestARegistrationIsWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matrix.yaml")
	if err := Register(path, "hs.example.org", "http://127.0.0.1:8025/c/matrix/"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	first, _ := os.ReadFile(path)
	if err := Register(path, "hs.example.org", "http://127.0.0.1:8025/c/matrix"); err == nil {
		t.Error("a second time it was overwritten")
	}
	if now, _ := os.ReadFile(path); string(now) != string(first) {
		t.Error("the file changed")
	}
	for _, want := range []string{
		`@_parley_.*:hs\.example\.org`, `#_parley_.*:hs\.example\.org`, "receive_ephemeral: true", "push_ephemeral: true",
		"rate_limited: false", "url: http://127.0.0.1:8025/c/matrix\n", "sender_localpart: _parley_bot",
	} {
		if !strings.Contains(string(first), want) {
			t.Errorf("%q is missing in\n%s", want, first)
		}
	}
	r, n, err := readRegistration(path, "hs.example.org")
	if err != nil || n.prefix != "_parley_" || n.bot != "@_parley_bot:hs.example.org" || len(r.AppToken) < 40 || r.AppToken == r.ServerToken {
		t.Errorf("read back %+v, %v", n, err)
	}
	if _, _, err := readRegistration(path, "other.org"); err == nil {
		t.Error("read for another domain")
	}
}

func TestARegistrationThatWasWrittenWorks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matrix.yaml")
	if err := Register(path, "hs.org", "http://127.0.0.1:8025/c/matrix"); err != nil {
		t.Fatal(err)
	}
	hs := matrixtest.New(t, matrixtest.Options{Registration: path})
	b := start(t, hs, sdktest.NewBackend())
	b.host.log.await(t, "homeserver reaches the bridge")
	b.deliver(to("matrix:u/bob:hs.org", "direct", "d1", "hello"))
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, domain, url string }{
		{"no domain", "", "http://x/"}, {"a user as domain", "@bob:hs.org", "http://x/"}, {"no URL", "hs.org", "127.0.0.1:8025"},
	} {
		if Register(filepath.Join(t.TempDir(), "x"), tc.domain, tc.url) == nil {
			t.Errorf("%s: written", tc.name)
		}
	}
	const good = "id: p\nas_token: a\nhs_token: b\nsender_localpart: bot\nnamespaces:\n  users: [{regex: '@x_.*:hs\\.org', exclusive: true}]\n  aliases: [{regex: '#x_.*:hs\\.org', exclusive: true}]\n"
	for _, tc := range []struct{ name, from, to string }{
		{"not YAML", "id:", "\t"}, {"no token", "as_token: a", ""}, {"not exclusive", "true", "false"},
		{"everybody's users", "@x_.*", "@.*"}, {"a pattern within", "@x_", "@(x|y)_"}, {"no aliases", "#x_", "@x_"},
	} {
		path := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readRegistration(path, "hs.org"); err != nil {
			t.Fatalf("the good one: %v", err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(good, tc.from, tc.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readRegistration(path, "hs.org"); err == nil {
			t.Errorf("%s: taken", tc.name)
		}
	}
	if _, _, err := readRegistration(filepath.Join(t.TempDir(), "none"), "hs.org"); err == nil {
		t.Error("no file: taken")
	}
}
