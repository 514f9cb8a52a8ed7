package sipedge

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"parley.im/bus/event"
)

func pattern(match, put string) NumberPattern {
	return NumberPattern{regexp.MustCompile("^(?:" + match + ")$"), put}
}

var carrier = Trunk{
	Peers: home[:1], Domains: []string{"carrier.example.net", "192.0.2.9"},
	In:  []NumberPattern{pattern(`00([1-9]\d+)`, "+$1"), pattern(`0([1-9]\d+)`, "+49$1")},
	Out: []NumberPattern{pattern(`\+49(\d+)`, "0$1"), pattern(`\+(\d+)`, "00$1")},
}

// Numbers come in and go out as the operator wants them, and one person is one
// address.
func TestNumbersOfATrunk(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	trunk := carrier
	trunk.Servers = []string{f.uri("udp")}
	h, s := outward(t, trunk, func(c *Config) { c.Aliases = map[string]string{"7001": "sip:web-anna@example.com"} })
	p := dial(t, s, "udp")
	for i, c := range []struct{ uri, from, asserted, sender, recipient string }{
		{"sip:7001@example.com", "sip:03012345@carrier.example.net", "", "sip:+493012345@carrier.example.net", "sip:web-anna@example.com"},
		{"sip:7001@example.com", "sip:0044123@192.0.2.9", "", "sip:+44123@carrier.example.net", "sip:web-anna@example.com"},
		{"sip:bob@example.com", "sip:x@192.0.2.9", "<tel:+49-30-123.45>", "sip:+493012345@carrier.example.net", "sip:bob@example.com"},
		{"sip:bob@example.com", "sip:x@192.0.2.9", "<tel:+49301>, <sip:+49302@192.0.2.9;user=phone>", "sip:+49302@carrier.example.net", "sip:bob@example.com"},
		{"tel:+49-(30)-777", "sip:+491@192.0.2.9", "", "sip:+491@carrier.example.net", "sip:+4930777@example.com"},
		{"sip:0301@example.com;user=phone", "sip:+491@elsewhere.example", "", "sip:+491@elsewhere.example", "sip:+49301@example.com"},
	} {
		m := p.message(c.uri, "hello")
		m.from, m.to = "<"+c.from+">;tag=x", "<sip:x@example.com>"
		if c.asserted != "" {
			m.with("P-Asserted-Identity: " + c.asserted)
		}
		if res := p.ask(m.String()); code(res) != "202" {
			t.Errorf("%s: %s", c.uri, res)
			continue
		}
		all := h.stored()
		if got := all[len(all)-1]; string(got.Sender) != c.sender || string(got.Recipient) != c.recipient || len(all) != i+1 {
			t.Errorf("from %s to %s; want %s to %s", got.Sender, got.Recipient, c.sender, c.recipient)
		}
	}
	d := delivery("o1", "hello")
	d.Target, d.From = "sip:+493012345@carrier.example.net", "sip:web-anna@example.com"
	c := deliver(s, d)
	got := f.next()
	got.reply("200 OK")
	await(t, c)
	if line, _, _ := strings.Cut(got.text, "\r\n"); line != "MESSAGE sip:03012345@carrier.example.net SIP/2.0" {
		t.Error(line)
	}
	if v := header1(got.text, "From"); !strings.Contains(v, "<sip:7001@example.com>") {
		t.Error(v)
	}
}

// tel: is for those who dial numbers.
func TestTelIsForTrunks(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	if res := p.ask(p.message("tel:+4930", "x").String()); code(res) != "416" {
		t.Error(res)
	}
	_, s = outward(t, carrier)
	p = dial(t, s, "udp")
	m := p.message("tel:nobody", "x")
	m.from = "<sip:1@192.0.2.9>;tag=x"
	if res := p.ask(m.String()); code(res) != "416" {
		t.Error(res)
	}
}

func TestTelNumbers(t *testing.T) {
	for uri, want := range map[string]string{
		"tel:+1-201-555-0123": "+12015550123", "TEL:7042;phone-context=example.com": "7042", "tel:(030)12": "03012",
		"tel:": "", "tel:+": "", "tel:+1;2": "+1", "tel:abc": "", "sip:1@x": "", "tel:" + strings.Repeat("1", 33): "",
	} {
		if got, err := telNumber(uri); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
}

func TestAliasesThatCantBe(t *testing.T) {
	for text, list := range map[string]map[string]string{
		"not of this server": {"1": "sip:a@elsewhere.example"},
		"an account":         {"alice": "sip:web@example.com"},
		"alias 1":            {"1": "mailto:x@example.com"},
	} {
		c := config(newHost())
		c.Aliases = list
		if _, err := New(c, newHost()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v; want %q", err, text)
		}
	}
}

// A trunk may be known by its account instead of its address: then it says who
// sends.
func TestATrunkThatProvesItself(t *testing.T) {
	h, s := outward(t, Trunk{Account: "bob"})
	p := dial(t, s, "tcp")
	m := p.message("sip:web-anna@example.com", "hello")
	m.from = "<sip:100@pbx.example.net>;tag=x"
	m.auth = login(p.challenge(), "bob", "builder", m.method, m.uri, 1)
	if res := p.ask(m.String()); code(res) != "202" {
		t.Fatal(res)
	}
	if got := h.stored()[0].Sender; got != "sip:100@pbx.example.net" {
		t.Errorf("it is from %s", got)
	}
	m = p.message("sip:web-anna@example.com", "hello") // nobody else may
	m.from = "<sip:100@pbx.example.net>;tag=x"
	m.auth = login(p.challenge(), "alice", "wonderland", m.method, m.uri, 1)
	if res := p.ask(m.String()); code(res) != "403" {
		t.Error(res)
	}
}

// The receipts of who is behind a trunk are theirs.
func TestReceiptsByATrunk(t *testing.T) {
	h, s := outward(t, Trunk{Peers: []netip.Prefix{home[0]}})
	p := dial(t, s, "udp")
	m := p.message("sip:lobby@example.com", "")
	m.from = "<sip:100@pbx.example.net>;tag=x"
	m.with("Content-Type: message/imdn+xml")
	m.body = `<?xml version="1.0"?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>o1</message-id><datetime>2026-01-01T00:00:00Z</datetime><display-notification><status><displayed/></status></display-notification></imdn>`
	if res := p.ask(m.String()); code(res)[:1] != "2" {
		t.Fatal(res)
	}
	if got := <-h.told; got.Outbound != "o1" || got.State != event.Displayed || got.Detail != "sip:100@pbx.example.net" {
		t.Errorf("%+v", got)
	}
}
