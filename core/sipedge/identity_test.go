package sipedge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// trusting is a configuration that trusts the loopback interface.
func trusting(h *fakeHost) Config {
	c := config(h)
	c.Trunks = []Trunk{{Name: "pbx", Peers: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	return c
}

// A04 A05
func TestATrunkAssertsTheSender(t *testing.T) {
	h := newHost()
	s := run(t, trusting(h), h)
	const from = `"Carol" <sip:carol@pbx.test>;tag=1`
	for _, tc := range []struct {
		name, from string
		headers    []string
		code       string
		sender     event.Address
		shown      string
	}{
		{"by From", from, nil, "202", "sip:carol@pbx.test", "Carol"},
		{"by P-Asserted-Identity", from, []string{`P-Asserted-Identity: "Boss" <sip:boss@pbx.test>`}, "202", "sip:boss@pbx.test", "Boss"},
		{"in lower case, with a space before the colon", from, []string{`p-asserted-identity : <sip:boss@pbx.test>`}, "202", "sip:boss@pbx.test", ""},
		{"with a tab before the colon", from, []string{"P-ASSERTED-IDENTITY\t: sip:boss@pbx.test"}, "202", "sip:boss@pbx.test", ""},
		{"folded", from, []string{"P-Asserted-Identity:\r\n \"Boss,\r\n\tfolded\"\r\n <sip:boss@pbx.test>"}, "202", "sip:boss@pbx.test", "Boss, folded"},
		{"two in one header", from, []string{`P-Asserted-Identity: <tel:+43123>, "B, C" <sip:boss@pbx.test>`}, "202", "sip:boss@pbx.test", "B, C"},
		{"two in two headers", from, []string{"P-Asserted-Identity: tel:+43123", "P-Asserted-Identity: <sips:boss@pbx.test:5061;x=y>"}, "202", "sip:boss@pbx.test", ""},
		{"a number only", from, []string{"P-Asserted-Identity: <tel:+43123>"}, "202", "sip:carol@pbx.test", "Carol"},
		{"nonsense", from, []string{`P-Asserted-Identity: "Boss`}, "202", "sip:carol@pbx.test", "Carol"},
		{"preferred only", from, []string{`P-Preferred-Identity: "Boss" <sip:boss@pbx.test>`}, "202", "sip:carol@pbx.test", "Carol"},
		{"an account of ours", from, []string{`P-Asserted-Identity: <sip:alice@example.com>`}, "403", "", ""},
		{"an account of ours by another name of the domain", `<sip:%61lice@LOCALHOST:5070>;tag=1`, nil, "403", "", ""},
		{"private", from, []string{`P-Asserted-Identity: <sip:boss@pbx.test>`, "Privacy: id"}, "202", event.Anonymous, "Anonymous"},
		{"private among others", from, []string{`P-Asserted-Identity: <sip:boss@pbx.test>`, "Privacy: session;ID ; critical"}, "202", event.Anonymous, "Anonymous"},
		{"private in a second header", from, []string{"Privacy: session", "privacy : user"}, "202", event.Anonymous, "Anonymous"},
		{"private headers", from, []string{"Privacy: header"}, "202", event.Anonymous, "Anonymous"},
		{"not private", from, []string{`P-Asserted-Identity: <sip:boss@pbx.test>`, "Privacy: none"}, "202", "sip:boss@pbx.test", ""},
		{"the session private", from, []string{"Privacy: session"}, "202", "sip:carol@pbx.test", "Carol"},
		{"anonymous", `"Secret" <sip:thisis@anonymous.invalid>;tag=1`, nil, "202", event.Anonymous, "Anonymous"},
		{"anonymous though asserted", `<sip:a@Anonymous.Invalid.>;tag=1`, []string{`P-Asserted-Identity: "Boss" <sip:boss@pbx.test>`}, "202", event.Anonymous, "Anonymous"},
		{"a name with controls", from, []string{"P-Asserted-Identity: \"B\u202eo\x01ss\u2066\" <sip:boss@pbx.test>"}, "400", "", ""},
		{"a name that turns the line", from, []string{"P-Asserted-Identity: \"B\u202eoss\u2066\" <sip:boss@pbx.test>"}, "202", "sip:boss@pbx.test", "Boss"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := dial(t, s, "udp")
			before := len(h.stored())
			d := p.message("sip:bob@example.com", "hello").with(tc.headers...)
			d.from = tc.from
			res := p.ask(d.String())
			all := h.stored()
			if code(res) != tc.code {
				t.Fatalf("got %s", res)
			}
			if tc.code != "202" {
				if len(all) != before {
					t.Errorf("it is stored all the same")
				}
				return
			}
			if len(all) != before+1 {
				t.Fatalf("%d are stored, want one more than %d", len(all), before)
			}
			in := all[len(all)-1]
			if in.Sender != tc.sender || in.SenderName != tc.shown {
				t.Errorf("sent by %q, %q", in.Sender, in.SenderName)
			}
			if tc.sender == event.Anonymous {
				for _, known := range []string{"boss", "carol", "Boss", "Carol", "thisis", "Secret"} {
					if strings.Contains(fmt.Sprintf("%+v", in), known) {
						t.Errorf("the event tells %q: %+v", known, in)
					}
				}
			}
		})
	}
}

// A03 A04
func TestWhatAStrangerAssertsCountsForNothing(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		const boss = "P-Asserted-Identity: <sip:boss@pbx.test>"
		if res := p.ask(p.message("sip:bob@example.com", "hello").with(boss).String()); code(res) != "401" {
			t.Errorf("without a digest: %s", res)
		}
		d := p.message("sip:bob@example.com", "hello").with(boss)
		if res := p.say(d); code(res) != "202" {
			t.Fatalf("with one: %s", res)
		}
		all := h.stored()
		if in := all[len(all)-1]; in.Sender != "sip:alice@example.com" {
			t.Errorf("sent by %q", in.Sender)
		}
		d = p.message("sip:bob@example.com", "hello")
		d.from = "<sip:bob@example.com>;tag=1"
		if res := p.say(d); code(res) != "403" {
			t.Errorf("alice as bob: %s", res)
		}
	})
}

// A05
func TestAnAccountMayBeAnonymousToOthers(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		hidden := p.message("sip:bob@example.com", "one").with("Privacy: id")
		nobody := p.message("sip:bob@example.com", "two")
		nobody.from = `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=9`
		for _, d := range []*draft{hidden, nobody} {
			if res := p.say(d); code(res) != "202" {
				t.Fatalf("got %s", res)
			}
			all := h.stored()
			in := all[len(all)-1]
			if in.Sender != event.Anonymous || in.SenderName != "Anonymous" || strings.Contains(fmt.Sprintf("%+v", in), "alice") {
				t.Errorf("sent by %q, %q: %+v", in.Sender, in.SenderName, in)
			}
			if res := p.say(d); code(res) != "202" || len(h.stored()) != len(all) {
				t.Errorf("a repetition: %s, %d stored after %d", code(res), len(h.stored()), len(all))
			}
		}
	})
}

func TestTrunksAreKnownByTheirAddress(t *testing.T) {
	h := newHost()
	c := config(h)
	for _, p := range []string{"192.0.2.16/28", "2001:db8::/32"} {
		c.Trunks = append(c.Trunks, Trunk{Name: "t" + p[:1], Peers: []netip.Prefix{netip.MustParsePrefix(p)}})
	}
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"192.0.2.17:5060": "t1", "[::ffff:192.0.2.31]:9": "t1", "192.0.2.32:5060": "", "[2001:db8::1]:5060": "t2", "[2001:db9::1]:5060": "", "": "", "pbx.test:5060": "",
	} {
		got := ""
		if found := e.trunk(addressOf(source)); found != nil {
			got = found.Name
		}
		if got != want {
			t.Errorf("%s is %q, want %q", source, got, want)
		}
	}
	if err := e.SetTrunks([]Trunk{{Name: "x", Peers: make([]netip.Prefix, 1)}}); err == nil {
		t.Error("no address is taken")
	}
	if e.trunk(netip.MustParseAddr("192.0.2.17")) == nil {
		t.Error("an error changed the trunks")
	}
}

func FuzzAsserted(f *testing.F) {
	for _, s := range []string{`"B, \"C" <sip:a@b>, <tel:+1>`, `sip:a@b;x="y,z"`, `<`, `"`, `\`, "<sips:x@[::1]:5061>", ",,,", "sip:\x00@"} {
		f.Add(s)
	}
	e, err := New(config(newHost()), nil)
	if err != nil {
		f.Fatal(err)
	}
	behind, err := e.domains.newTrunk(carrier)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := request{Request: sip.NewRequest(sip.MESSAGE, sip.Uri{Scheme: "sip", Host: "x"})}
		r.AppendHeader(sip.NewHeader("P-Asserted-Identity", value))
		r.AppendHeader(sip.NewHeader("Privacy", value))
		r.private()
		name, uri, ok := r.asserted()
		scheme, _, _ := strings.Cut(strings.ToLower(uri), ":")
		if ok && !slices.Contains([]string{"sip", "sips", "tel"}, scheme) {
			t.Errorf("%q is no URI of a sender", uri)
		}
		if a, err := e.from(behind, uri); err == nil && (a.Check() != nil || a.Scheme() != "sip") {
			t.Errorf("%q is from %q", uri, a)
		}
		if shown := nameFrom(name); !utf8.ValidString(shown) || len(shown) > maxName {
			t.Errorf("name %q", shown)
		}
	})
}
