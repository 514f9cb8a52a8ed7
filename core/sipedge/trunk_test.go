package sipedge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/dnstest"
)

// outward is an edge with one trunk, to pbx.example.net by default.
func outward(t testing.TB, trunk Trunk, change ...func(*Config)) (*fakeHost, *started) {
	t.Helper()
	h := newHost()
	c := config(h)
	if trunk.Domains == nil {
		trunk.Domains = []string{"pbx.example.net"}
	}
	trunk.Name = "pbx"
	c.Trunks = []Trunk{trunk}
	for _, f := range change {
		f(&c)
	}
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	e.patience = 3 * time.Second
	return h, launch(t, e)
}

// impatient has servers that do not answer given up at once, as far as a test
// can tell.
func impatient(s *started) { s.patience = 300 * time.Millisecond }

// by is a delivery to 100 at the trunk.
func by(id string) event.Delivery {
	d := delivery(id, "hello")
	d.Target = "sip:100@pbx.example.net"
	return d
}

func (f *far) uri(network string) string { return "sip:" + f.addr + ";transport=" + network }

func wantState(t *testing.T, got delivered, state event.State) {
	t.Helper()
	if got.err != nil || got.State != state {
		t.Errorf("got %v, %v; want %v", got.State, got.err, state)
	}
}

// wantRetry wants a failure that may pass.
func wantRetry(t *testing.T, got delivered, text string) (after time.Duration) {
	t.Helper()
	scope, after, ok := event.AsRetry(got.err)
	if !ok || scope != event.ScopeTarget || !strings.Contains(fmt.Sprint(got.err), text) {
		t.Errorf("got %v; want a retry of the target, with %q", got.err, text)
	}
	return after
}

func wantFailed(t *testing.T, got delivered, reason event.Reason, text string) {
	t.Helper()
	if !event.IsPermanent(got.err) || event.ReasonOf(got.err) != reason || !strings.Contains(fmt.Sprint(got.err), text) {
		t.Errorf("got %v (%s); want a failure: %s, with %q", got.err, event.ReasonOf(got.err), reason, text)
	}
}

func TestTrunkGetsTheMessage(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			f := newFar(t, network, "", nil)
			_, s := outward(t, Trunk{Servers: []string{f.uri(network)}, Assert: true})
			c := deliver(s, by("o1"))
			got := f.next()
			if line, _, _ := strings.Cut(got.text, "\r\n"); line != "MESSAGE sip:100@pbx.example.net SIP/2.0" {
				t.Error(line)
			}
			for name, want := range map[string]string{
				"To": "<sip:100@pbx.example.net>", "Contact": "", "Max-Forwards": "70", "CSeq": "1 MESSAGE", // M02
				"P-Asserted-Identity": `"Lobby" <sip:lobby@example.com>`,
			} {
				if v := header1(got.text, name); v != want {
					t.Errorf("%s is %q; want %q", name, v, want)
				}
			}
			if v := header1(got.text, "Via"); !strings.HasPrefix(v, "SIP/2.0/"+strings.ToUpper(network)+" 127.0.0.1:") || !strings.Contains(v, ";rport") { // T02
				t.Error(v)
			}
			got.reply("202 Accepted")
			wantState(t, await(t, c), event.Accepted) // M08

			c = deliver(s, by("o2"))
			f.next().reply("200 OK")
			wantState(t, await(t, c), event.Delivered)
			if n := s.flows.open(); network == "tcp" && n != 1 {
				t.Errorf("%d connections for two messages", n)
			}
		})
	}
}

// What a server answers is what becomes of the message (M07): refused is told
// apart from unreachable.
func TestTrunkVerdicts(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}})
	for i, c := range []struct {
		status string
		check  func(t *testing.T, got delivered)
	}{
		{"404 Not Found", func(t *testing.T, got delivered) { wantFailed(t, got, event.ReasonPermanent, "404 Not Found") }},
		{"403 Forbidden", func(t *testing.T, got delivered) { wantFailed(t, got, event.ReasonRefused, "403") }},
		{"603 Decline", func(t *testing.T, got delivered) { wantFailed(t, got, event.ReasonRefused, "603 Decline") }},
		{"415 Unsupported Media Type", func(t *testing.T, got delivered) { wantFailed(t, got, event.ReasonPermanent, "415") }},
		{"480 Temporarily Unavailable", func(t *testing.T, got delivered) { wantRetry(t, got, "480") }},
		{"408 Request Timeout", func(t *testing.T, got delivered) { wantRetry(t, got, "408") }},
		{"500 Server Internal Error", func(t *testing.T, got delivered) { wantRetry(t, got, "500") }},
		{"302 Moved", func(t *testing.T, got delivered) { wantFailed(t, got, event.ReasonPermanent, "302") }},
	} {
		t.Run(c.status, func(t *testing.T) {
			d := deliver(s, by(fmt.Sprint("v", i)))
			f.next().reply(c.status)
			c.check(t, await(t, d))
		})
	}
}

// After an answer that did not settle it, the next attempt is another request
// of the same Call-ID; after none it is the same one.
func TestTrunkAttemptsAreOneCall(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}})
	c := deliver(s, by("o1"))
	first := f.next()
	first.reply("480 Temporarily Unavailable")
	await(t, c)
	c = deliver(s, by("o1"))
	second := f.next()
	second.reply("202 Accepted")
	await(t, c)
	if a, b := header1(first.text, "Call-ID"), header1(second.text, "Call-ID"); a != b {
		t.Errorf("Call-IDs %s and %s", a, b)
	}
	if a, b := header1(first.text, "CSeq"), header1(second.text, "CSeq"); a != "1 MESSAGE" || b != "2 MESSAGE" {
		t.Errorf("CSeqs %s and %s", a, b)
	}
}

var branch = regexp.MustCompile(`branch=[^;\r]+|nc=\w+|cnonce="\w+"|response="\w+"`)

// same tells whether two requests differ in nothing but their way (RFC 3263,
// section 4.3).
func same(t *testing.T, a, b heard) {
	t.Helper()
	cut := func(h heard) string { return regexp.MustCompile(`Via: .*`).ReplaceAllString(h.text, "") }
	if cut(a) != cut(b) {
		t.Errorf("they differ:\n%s\n%s", a.text, b.text)
	}
	if x, y := branch.FindString(a.text), branch.FindString(b.text); x == y {
		t.Errorf("both have the %s", x)
	}
}

// pair is two far servers that DNS names, the first with priority.
func pair(t *testing.T, network string) (one, two *far, dns *dnstest.Server, change func(*Config)) {
	one, two = newFar(t, network, "", nil), newFar(t, network, "", nil)
	dns = dnstest.New(t, fmt.Sprintf("_sip._%s.pbx SRV 10 0 %s a\n_sip._%s.pbx SRV 20 0 %s a\na A 127.0.0.1\n", network, one.port(), network, two.port()))
	return one, two, dns, func(c *Config) {
		c.DNS = []string{dns.Address}
		c.Domains = []string{"example.org", "127.0.0.1"}
		c.Trunks[0].Domains = []string{"pbx.example.com"}
	}
}

func byDNS(id string) event.Delivery {
	d := by(id)
	d.Target, d.From = "sip:100@pbx.example.com", "sip:lobby@example.org"
	return d
}

// S23 T05: of two SRV targets the first answers 503; the second gets the same
// message, and the first nothing more for as long as it asked.
func TestS23TheNextServerAfter503(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			one, two, _, change := pair(t, network)
			_, s := outward(t, Trunk{}, change)
			c := deliver(s, byDNS("o1"))
			a := one.next()
			a.reply("503 Service Unavailable", "Retry-After: 600")
			b := two.next()
			b.reply("200 OK")
			wantState(t, await(t, c), event.Delivered)
			same(t, a, b)

			c = deliver(s, byDNS("o2"))
			two.next().reply("503 Service Unavailable", "Retry-After: 300")
			got := await(t, c)
			if after := wantRetry(t, got, "503"); after < 290*time.Second || after > 300*time.Second {
				t.Errorf("again after %s; the sooner of two servers asked for 300 s", after)
			}
			wantRetry(t, await(t, deliver(s, byDNS("o3"))), "pause")
			one.quiet()
			two.quiet()
		})
	}
}

// After a 503 without a pause the next attempt is another request: the same one
// would only be answered by the repetition of the 503.
func TestTheAttemptAfterA503(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}})
	for i := range 3 {
		c := deliver(s, by("o1"))
		got := f.next()
		if v, want := header1(got.text, "CSeq"), fmt.Sprintf("%d MESSAGE", i+1); v != want {
			t.Errorf("CSeq %s; want %s", v, want)
		}
		got.reply("503 Service Unavailable")
		wantRetry(t, await(t, c), "503")
	}
}

// T05: a server that is silent, or dies in the middle, is followed by the next.
// If that one knows the message already, it was delivered.
func TestT05TheNextServerAfterSilence(t *testing.T) {
	t.Run("silent", func(t *testing.T) {
		one, two, _, change := pair(t, "udp")
		_, s := outward(t, Trunk{}, change)
		impatient(s)
		c := deliver(s, byDNS("o1"))
		a, b := one.next(), two.next()
		b.reply("482 Loop Detected")
		wantState(t, await(t, c), event.Delivered)
		same(t, a, b)
		for range 3 { // it is not asked first any more
			c = deliver(s, byDNS("o2"))
			two.next().reply("200 OK")
			await(t, c)
		}
	})
	t.Run("dies", func(t *testing.T) {
		one, two, _, change := pair(t, "tcp")
		_, s := outward(t, Trunk{}, change)
		c := deliver(s, byDNS("o1"))
		a := one.next()
		a.close()
		b := two.next()
		b.reply("482 Loop Detected")
		wantState(t, await(t, c), event.Delivered)
		same(t, a, b)
	})
	t.Run("refuses connections", func(t *testing.T) {
		_, two, dns, change := pair(t, "tcp")
		dns.Set(fmt.Sprintf("_sip._tcp.pbx SRV 10 0 1 a\n_sip._tcp.pbx SRV 20 0 %s a\na A 127.0.0.1\n", two.port()))
		_, s := outward(t, Trunk{}, change)
		c := deliver(s, byDNS("o1"))
		two.next().reply("482 Loop Detected") // by its own fault: it can't have been there before
		got := await(t, c)
		wantFailed(t, got, event.ReasonPermanent, "482")
	})
	t.Run("all are gone", func(t *testing.T) {
		_, s := outward(t, Trunk{Servers: []string{"sip:127.0.0.1:1;transport=tcp"}})
		wantRetry(t, await(t, deliver(s, by("o1"))), "unreachable")
	})
	t.Run("DNS knows none", func(t *testing.T) {
		dns := dnstest.New(t, "")
		_, s := outward(t, Trunk{}, func(c *Config) { c.DNS = []string{dns.Address} })
		wantRetry(t, await(t, deliver(s, by("o1"))), "no SIP server")
	})
}

// S24: redirections are followed, a few times, never in a circle, and never back
// to us.
func TestS24Redirections(t *testing.T) {
	a, b := newFar(t, "udp", "", nil), newFar(t, "tcp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{a.uri("udp")}, Route: []string{"sip:edge.example.net;lr"}},
		func(c *Config) { c.Domains = []string{"example.com"} })
	t.Run("the best contact first", func(t *testing.T) {
		c := deliver(s, by("o1"))
		a.next().reply("302 Moved Temporarily", "Contact: <sip:x@127.0.0.1:1>;q=0.1, <sip:200@"+b.addr+";transport=tcp?Subject=x>;q=0.9")
		got := b.next()
		if line, _, _ := strings.Cut(got.text, "\r\n"); line != "MESSAGE sip:200@"+b.addr+";transport=tcp SIP/2.0" {
			t.Error(line)
		}
		if header1(got.text, "Route") != "" {
			t.Error("the trunk's Route goes along")
		}
		got.reply("200 OK")
		wantState(t, await(t, c), event.Delivered)
	})
	t.Run("within the trunk", func(t *testing.T) {
		c := deliver(s, by("o2"))
		first := a.next()
		first.reply("302 Moved Temporarily", "Contact: <sip:300@pbx.example.net>")
		second := a.next()
		if line, _, _ := strings.Cut(second.text, "\r\n"); line != "MESSAGE sip:300@pbx.example.net SIP/2.0" || header1(second.text, "Route") != "<sip:edge.example.net;lr>" {
			t.Error(second.text)
		}
		second.reply("302 Moved Temporarily", "Contact: <sip:100@pbx.example.net>") // where it came from
		wantFailed(t, await(t, c), event.ReasonPermanent, "302")
	})
	t.Run("without end", func(t *testing.T) {
		c := deliver(s, by("o3"))
		for i := range maxRedirects + 1 {
			a.next().reply("302 Moved Temporarily", fmt.Sprintf("Contact: <sip:%d@pbx.example.net>", 400+i))
		}
		wantFailed(t, await(t, c), event.ReasonPermanent, "302")
	})
	t.Run("to us, and to what is no SIP", func(t *testing.T) {
		c := deliver(s, by("o4"))
		a.next().reply("302 Moved Temporarily", "Contact: <sip:alice@example.com>, <tel:+123>, <mailto:x@example.net>, *")
		wantFailed(t, await(t, c), event.ReasonPermanent, "302")
	})
}

// Where a redirection leads is nobody we trust, even on a connection of ours.
func TestWhoIsRedirectedToIsAStranger(t *testing.T) {
	a, b := newFar(t, "udp", "", nil), newFar(t, "tcp", "", nil)
	h, s := outward(t, Trunk{Servers: []string{a.uri("udp")}, Assert: true}, func(c *Config) { c.Domains = []string{"example.com"} })
	c := deliver(s, by("o1"))
	a.next().reply("302 Moved Temporarily", "Contact: <sip:200@"+b.addr+";transport=tcp>")
	got := b.next()
	if header1(got.text, "P-Asserted-Identity") != "" {
		t.Error("it is told who sends")
	}
	got.reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
	p := &probe{t: t, conn: fakeConn{addr: b.addr}}
	m := p.message("sip:bob@example.com", "trust me")
	m.from = "<sip:boss@pbx.example.net>;tag=x"
	got.write(m.String())
	if res := <-b.answered; code(res) != "401" || len(h.stored()) != 0 {
		t.Errorf("it is answered %s", res)
	}
}

// Waiting for the pace of a trunk is waiting to be sent: nothing goes out later
// that was given up.
func TestPaceIsGivenUpWithTheDelivery(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}, Outstanding: 1})
	c := deliver(s, by("o1"))
	first := f.next()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	other := by("o2")
	other.Target = "sip:200@pbx.example.net"
	gone := make(chan delivered, 1)
	go func() {
		r, err := s.Deliver(ctx, other)
		gone <- delivered{r, err}
	}()
	wantRetry(t, await(t, gone), "pace of the trunk")
	first.reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
	c = deliver(s, by("o3"))
	if got := f.next(); !strings.Contains(got.text, "sip:100@") {
		t.Error(got.text)
	} else {
		got.reply("200 OK")
	}
	await(t, c)
	f.quiet()
}

// M14: one request at a time to one address; others go on.
func TestM14OneAtATimeByATrunk(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}})
	var all []<-chan delivered
	for i := range 20 {
		all = append(all, deliver(s, by(fmt.Sprint("o", i))))
	}
	other := by("other")
	other.Target = "sip:200@pbx.example.net"
	all = append(all, deliver(s, other))
	one, two := f.next(), f.next()
	if strings.Contains(one.text, "sip:200@") {
		one, two = two, one
	}
	if !strings.Contains(one.text, "sip:100@") || !strings.Contains(two.text, "sip:200@") {
		t.Fatal("two requests for one address")
	}
	two.reply("200 OK")
	seen := map[string]bool{}
	for i := range 20 {
		id := header1(one.text, "Call-ID")
		if seen[id] {
			t.Fatalf("%s comes again", id)
		}
		seen[id] = true
		f.quiet()
		one.reply("200 OK")
		if i < 19 {
			one = f.next()
		}
	}
	for _, c := range all {
		wantState(t, await(t, c), event.Delivered)
	}
}

// M13 S18: over UDP no request is larger than 1300 bytes; larger ones go by TCP,
// and only where the way behind is known to take them.
func TestM13LargeRequestsByATrunk(t *testing.T) {
	u := newFar(t, "udp", "127.0.0.77:0", nil) // where nobody else has the port in TCP
	tcp := newFar(t, "tcp", u.addr, nil)
	long := by("o1")
	long.Sender = "sip:eve@example.com" // from a phone: it goes as it came
	long.MediaType, long.Data = "application/x-drawing", []byte(strings.Repeat("Straße ", 700))
	for _, network := range []string{"udp", "tcp"} {
		_, s := outward(t, Trunk{Servers: []string{u.uri(network)}})
		wantFailed(t, await(t, deliver(s, long)), event.ReasonPermanent, "only plain text can be divided")
		u.quiet()
		tcp.quiet()
		s.SetSafePaths([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
		c := deliver(s, long)
		got := tcp.next()
		if !strings.HasSuffix(got.text, string(long.Data)) || !strings.HasPrefix(header1(got.text, "Via"), "SIP/2.0/TCP") {
			t.Error(got.text)
		}
		got.reply("200 OK")
		wantState(t, await(t, c), event.Delivered)
		s.stop()
	}
}

// A05: who wants to be unknown stays so towards a trunk that is told of others.
func TestA05AnonymousToATrunk(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}, Assert: true})
	d := by("o1")
	d.From, d.FromName = event.Anonymous, "Anonymous"
	c := deliver(s, d)
	got := f.next()
	got.reply("200 OK")
	await(t, c)
	if header1(got.text, "P-Asserted-Identity") != "" || header1(got.text, "Privacy") != "id" || !strings.Contains(header1(got.text, "From"), "anonymous.invalid") {
		t.Error(got.text)
	}
}

// A server that is asked by OPTIONS and does not answer is down: messages wait,
// and go on as soon as it answers again.
func TestQualify(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	h, s := outward(t, Trunk{Servers: []string{f.uri("udp")}, Qualify: 50 * time.Millisecond})
	first := f.next()
	if line, _, _ := strings.Cut(first.text, "\r\n"); line != "OPTIONS sip:127.0.0.1 SIP/2.0" {
		t.Error(line)
	}
	first.reply("503 Service Unavailable", "Retry-After: 60")
	up := func(want bool) func() bool {
		return func() bool { all := s.Trunks()[0].Servers; return len(all) == 1 && all[0].Up == want }
	}
	soon(t, up(false))
	wantRetry(t, await(t, deliver(s, by("o1"))), "pause")
	f.answers("405 Method Not Allowed", "Allow: MESSAGE") // it works, whatever it thinks of OPTIONS
	select {
	case a := <-h.registered:
		if a != "sip:100@pbx.example.net" {
			t.Errorf("%s is woken", a)
		}
	case <-time.After(patience):
		t.Fatal("nobody is woken")
	}
	soon(t, up(true))
}

// The pace of a trunk holds for all that goes to it.
func TestTrunkPace(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}, Outstanding: 2})
	var all []<-chan delivered
	for i := range 6 {
		d := by(fmt.Sprint("o", i))
		d.Target = event.Address(fmt.Sprintf("sip:%d@pbx.example.net", i))
		all = append(all, deliver(s, d))
	}
	for range 3 {
		a, b := f.next(), f.next()
		f.quiet()
		a.reply("200 OK")
		b.reply("200 OK")
	}
	for _, c := range all {
		wantState(t, await(t, c), event.Delivered)
	}
}

func TestTrunksThatCantBe(t *testing.T) {
	for text, trunk := range map[string]Trunk{
		"our own":     {Domains: []string{"EXAMPLE.com"}},
		"no SIP URI":  {Domains: []string{"x.net"}, Servers: []string{"x.net"}},
		"no address":  {Peers: []netip.Prefix{{}}},
		"not a host":  {Domains: []string{"a b"}},
		"the domain ": {Name: "second", Domains: []string{"pbx.example.net"}},
	} {
		c := config(newHost())
		c.Trunks = []Trunk{{Name: "pbx", Domains: []string{"pbx.example.net"}}, trunk}
		if _, err := New(c, newHost()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v; want %q", err, text)
		}
	}
}

// What is known of a trunk's servers outlives a change of the others.
func TestTrunksAreKeptOverAReload(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	kept := Trunk{Name: "pbx", Domains: []string{"pbx.example.net"}, Servers: []string{f.uri("udp")}}
	_, s := outward(t, kept)
	c := deliver(s, by("o1"))
	f.next().reply("503 Service Unavailable", "Retry-After: 600")
	wantRetry(t, await(t, c), "503")
	if err := s.SetTrunks([]Trunk{{Name: "other", Domains: []string{"other.example.net"}}, kept}); err != nil {
		t.Fatal(err)
	}
	wantRetry(t, await(t, deliver(s, by("o2"))), "pause")
	kept.Qualify = time.Hour
	if err := s.SetTrunks([]Trunk{kept}); err != nil {
		t.Fatal(err)
	}
	c = deliver(s, by("o3"))
	f.next().reply("200 OK") // OPTIONS, or the message
	f.next().reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
	if err := s.SetTrunks(nil); err != nil {
		t.Fatal(err)
	}
	if got := await(t, deliver(s, by("o4"))); !event.IsPermanent(got.err) || errors.Is(got.err, errGone) {
		t.Errorf("without a trunk: %v", got.err)
	}
}

// Our accounts may dial who is behind a trunk; who is behind another, and
// strangers, may not.
func TestWhoMayDialATrunk(t *testing.T) {
	h, s := outward(t, Trunk{}, func(c *Config) {
		c.Trunks = append(c.Trunks, Trunk{Name: "other", Account: "bob"})
	})
	p := dial(t, s, "tcp")
	if res := p.say(p.message("sip:100@pbx.example.net", "hello")); code(res) != "202" {
		t.Fatal(res)
	}
	if got := h.stored()[0]; got.Recipient != "sip:100@pbx.example.net" || got.Sender != "sip:alice@example.com" {
		t.Errorf("from %s to %s", got.Sender, got.Recipient)
	}
	if res := p.say(p.message("sip:100@elsewhere.example", "hello")); code(res) != "404" {
		t.Error(res)
	}
	m := p.message("sip:100@pbx.example.net", "hello")
	m.from = "<sip:1@other.example>;tag=x"
	m.auth = login(p.challenge(), "bob", "builder", m.method, m.uri, 1)
	if res := p.ask(m.String()); code(res) != "404" {
		t.Error(res)
	}
}

// A trunk may be known by its TLS certificate.
func TestATrunkWithACertificate(t *testing.T) {
	cert, pool := certificate(t, "edge")
	for name, want := range map[string]string{"pbx.example.net": "202", "other.example.net": "401"} {
		theirs, ca := certFor(t, "", []string{name}, nil)
		h, s := outward(t, Trunk{Certificates: []string{"pbx.example.net"}}, func(c *Config) {
			c.Listen, c.TLS = []Listener{{"tls", "127.0.0.1:0"}}, TLS{Certificate: cert, ClientCAs: ca}
		})
		conn, err := tls.Dial("tcp", s.tcp, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{theirs}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		p := &probe{t: t, conn: conn, r: bufio.NewReader(conn)}
		m := p.message("sip:bob@example.com", "hello")
		m.from = "<sip:100@pbx.example.net>;tag=x"
		if res := p.ask(m.String()); code(res) != want {
			t.Errorf("%s: %s", name, res)
		}
		if all := h.stored(); want == "202" && (len(all) != 1 || all[0].Sender != "sip:100@pbx.example.net") {
			t.Errorf("%+v", all)
		}
	}
}
