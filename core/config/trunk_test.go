package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What the shipped file shows of trunks can be used as it stands, and means what
// it says.
func TestTheTrunkThatIsShown(t *testing.T) {
	dir := t.TempDir()
	pair(t, dir, "parley", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	pair(t, dir, "pbx-ca", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	shipped, err := os.ReadFile("../../bridge.toml")
	if err != nil {
		t.Fatal(err)
	}
	from, to := strings.Index(string(shipped), "# [[sip.trunk]]"), strings.Index(string(shipped), "[http]")
	text := regexp.MustCompile(`(?m)^# ?(\[|[a-z0-9]+ *=)`).ReplaceAllString(string(shipped[from:to]), "$1")
	for file, text := range map[string]string{"pbx.password": "secret\n", "700.password": "desk\n", "bridge.toml": text} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, problems := Load(filepath.Join(dir, "bridge.toml"))
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, text)
	}
	if len(c.SIP.Trunks) != 1 {
		t.Fatalf("trunks: %+v", c.SIP.Trunks)
	}
	got := c.SIP.Trunks[0]
	in, out, files := got.In, got.Out, got.TLS
	got.In, got.Out, got.TLS = nil, nil, ClientTLS{}
	want := Trunk{
		Name: "pbx", Peers: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("192.0.2.16/28")},
		Domains: []string{"pbx.example.com"}, Servers: []string{"sip:pbx.example.com;transport=tcp", "sip:192.0.2.11"},
		Realm: "pbx.example.com", User: "parley", Password: NewSecret("secret"), Digest: []string{"SHA-256", "MD5"},
		Qualify: 30 * time.Second, Pace: Pace{Outstanding: 20, Every: 10 * time.Millisecond},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the trunk is\n%#v, want\n%#v", got, want)
	}
	if files.Certificate != filepath.Join(dir, "parley.pem") || files.Pair.PrivateKey == nil || files.CAs == nil {
		t.Errorf("its TLS is %+v", files)
	}
	for _, n := range []struct {
		pattern    NumberPattern
		text, want string
	}{{in[0], "0301234", "+49301234"}, {in[0], "00301234", "00301234"}, {out[0], "+49301234", "0301234"}, {out[0], "x+4930", "x+4930"}} {
		if got := n.pattern.Match.ReplaceAllString(n.text, n.pattern.Put); got != n.want {
			t.Errorf("%s becomes %s; want %s", n.text, got, n.want)
		}
	}
	registration := Registration{Trunk: "pbx", AOR: "sip:700@pbx.example.com", To: "sip:lobby@127.0.0.1", User: "700", Password: NewSecret("desk"), Expires: 10 * time.Minute}
	if got := c.SIP.Registrations; !reflect.DeepEqual(got, []Registration{registration}) {
		t.Errorf("registrations: %+v", got)
	}
	if got := c.SIP.Aliases; !reflect.DeepEqual(got, []Alias{{"7001", "sip:web-anna@127.0.0.1"}}) {
		t.Errorf("aliases: %+v", got)
	}
}

// "0" stands for none where a limit may be left out, and nowhere else.
func TestNoneIsZeroWhereItMayBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.toml")
	load := func(text string) (*Config, Problems) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(path)
	}
	c, problems := load("[bus.retention]\nbodies = \"0\"\nsize = \"0\"\n[sip.limits]\nban = \"0\"\n[[sip.trunk]]\nname = \"pbx\"\ndomains = \"pbx.example.com\"\nqualify = \"0\"\n")
	if len(problems) > 0 || c.Bus.Retention.Bodies != 0 || c.Bus.Retention.Size != 0 || c.SIP.Limits.Ban != 0 || c.SIP.Trunks[0].Qualify != 0 {
		t.Errorf("%v: %+v", problems, c)
	}
	if _, problems := load("[bus.retention]\nage = \"0\"\n"); len(problems) != 1 {
		t.Errorf("an age of nothing: %v", problems)
	}
}
