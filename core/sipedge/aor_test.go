package sipedge

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// S21
func TestAOR(t *testing.T) {
	h := newHost()
	e, err := New(Config{Domains: []string{"Example.com:5060", "127.0.0.1", "[::1]"}}, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ uri, want string }{
		{"sip:alice@example.com", "sip:alice@example.com"},
		{"SIPS:alice@EXAMPLE.com:5061;transport=tcp?subject=x", "sip:alice@example.com"},
		{"sip:alice:secret@127.0.0.1:5060", "sip:alice@example.com"},
		{"sip:alice@[::1]:5060;lr", "sip:alice@example.com"},
		{"sip:alice@[0:0:0:0:0:0:0:1]", "sip:alice@example.com"},
		{"sip:Alice@example.com.", "sip:Alice@example.com"},
		{"sip:%61lice@example.com", "sip:alice@example.com"},
		{"sip:al%2eice@example.com", "sip:al.ice@example.com"},
		{"sip:a%3bb@example.com", "sip:a%3Bb@example.com"},
		{"sip:a;b=c@example.com", "sip:a;b=c@example.com"},
		{"sip:a%20b@example.com", "sip:a%20b@example.com"},
		{"sip:gr%c3%bc%C3%9fe@example.com", "sip:gr%C3%BC%C3%9Fe@example.com"},
		{"sip:grüße@example.com", "sip:gr%C3%BC%C3%9Fe@example.com"},
		{"sip:bob@other.example.org:7000", "sip:bob@other.example.org"},
		{"sip:bob@[2001:DB8::1]", "sip:bob@[2001:db8::1]"},
		{"sip:example.com", ""}, {"sip:@example.com", ""}, {"", ""}, {"sip:", ""}, {"alice@example.com", ""},
		{"tel:+431", ""}, {"im:a@example.com", "sip:a@example.com"}, {"sip:a@", ""}, {"sip:a@example.com..", ""}, {"sip:a@.example.com", ""}, {"sip:a@a..b", ""}, {"sip:a@exa mple.com", ""}, {"sip:a b@example.com", ""},
		{"sip:a%0d%0aX@example.com", ""}, {"sip:a%00@example.com", ""}, {"sip:a%4@example.com", ""}, {"sip:a%zz@example.com", ""},
		{"sip:a\r\nb@example.com", ""}, {"sip:a@example.com:0", ""}, {"sip:a@example.com:99999", ""}, {"sip:a@[::1", ""},
		{"sip:" + strings.Repeat("a", 600) + "@example.com", ""},
	} {
		got, err := e.AOR(tc.uri)
		if string(got) != tc.want && (tc.want != "" || err == nil) || (err != nil) != (tc.want == "") {
			t.Errorf("AOR(%q) = %q, %v; want %q", tc.uri, got, err, tc.want)
		}
	}
}

func FuzzAOR(f *testing.F) {
	for _, s := range []string{"sip:alice@example.com", "sips:%61:x@[::1]:5;a?b", "sip:a%0d@b", "sip:@", "SIP:a;b@127.0.0.1", "sip:ü@x"} {
		f.Add(s)
	}
	d, err := newDomains([]string{"example.com", "127.0.0.1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		a, err := d.aor(uri)
		if err != nil {
			return
		}
		if err := a.Check(); err != nil {
			t.Errorf("%q: %v", uri, err)
		}
		if strings.ContainsAny(string(a), " \r\n<>\"") || !printable(string(a)) {
			t.Errorf("%q gives %q", uri, a)
		}
		if again, err := d.aor(string(a)); again != a || err != nil { // canonical is canonical
			t.Errorf("%q gives %q, which gives %q, %v", uri, a, again, err)
		}
	})
}

func TestNames(t *testing.T) {
	for _, tc := range []struct{ raw, name, quoted string }{
		{"Ann", "Ann", "Ann"},
		{`A \"B\" \\ C`, `A "B" \ C`, `A \"B\" \\ C`},
		{"a\r\nX-Evil: 1", "a X-Evil: 1", "a X-Evil: 1"},
		{"\u202egnp.exe", "gnp.exe", "gnp.exe"},
		{"a\x00b\x1b[31mc", "ab[31mc", "ab[31mc"},
		{"Zoë \xff 王", "Zoë \ufffd 王", "Zoë \ufffd 王"},
		{"  a \t b  ", "a b", "a b"},
		{`end\`, `end\`, `end\\`},
	} {
		if got := nameFrom(tc.raw); got != tc.name {
			t.Errorf("nameFrom(%q) = %q; want %q", tc.raw, got, tc.name)
		}
		if got := quoted(tc.name); got != tc.quoted {
			t.Errorf("quoted(%q) = %q; want %q", tc.name, got, tc.quoted)
		}
	}
	if got := plain(strings.Repeat("ü", 100), 21); got != strings.Repeat("ü", 10) {
		t.Errorf("cut to %q", got)
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Ann", `a\"b`, "a\r\nb", "\u202e", "\xff", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name := nameFrom(raw)
		if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n\x00\u202e\u2028") {
			t.Errorf("%q gives %q", raw, name)
		}
		if back := nameFrom(quoted(name)); back != name { // escaping loses nothing
			t.Errorf("%q quoted and back is %q", name, back)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	d, err := newDomains([]string{"example.com"})
	if err != nil {
		f.Fatal(err)
	}
	g, err := newGuard(Config{Domains: []string{"example.com"}, Accounts: []Account{{User: "alice", Password: "secret"}}}, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(login(g.challenge(netip.Addr{}, false)[0], "alice", "guess", "MESSAGE", "sip:b@example.com", 1))
	f.Add(`Digest username="alice", realm="example.com", nonce="", uri="", response="", qop=auth, nc=00000001, cnonce="x"`)
	f.Add(`Digest nc=ffffffff`)
	f.Add(`digest ="`)
	f.Fuzz(func(t *testing.T, v string) {
		for _, c := range g.credentials([]string{v}) {
			if c, ok := g.right(c, "MESSAGE", "sip:b@example.com"); ok {
				t.Errorf("%q is taken for %s", v, c.aor)
			}
		}
		g.nonces.fresh(v)
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Config
		ok   bool
	}{
		{"least", Config{Domains: []string{"example.com"}}, true},
		{"no domain", Config{}, false},
		{"bad domain", Config{Domains: []string{"exa mple"}}, false},
		{"bad network", Config{Domains: []string{"a"}, Listen: []Listener{{"sctp", ":5060"}}}, false},
		{"bad address", Config{Domains: []string{"a"}, Listen: []Listener{{"udp", "5060"}}}, false},
		{"bad user", Config{Domains: []string{"a"}, Accounts: []Account{{User: "a b", Password: "x"}}}, false},
		{"two that are equal", Config{Domains: []string{"a"}, Accounts: []Account{{User: "ann", Password: "x"}, {User: "%61nn", Password: "y"}}}, false},
		{"realm with CRLF", Config{Domains: []string{"a"}, Realm: "a\r\nb"}, false},
	} {
		if _, err := New(tc.c, newHost()); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
