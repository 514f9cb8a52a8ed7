package sipedge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// S25
func TestRegister(t *testing.T) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Now()
	e.phones.now = func() time.Time { return noon }
	s := launch(t, e)
	both(t, s, func(t *testing.T, p *probe) {
		other := "<sip:bob@192.0.2.7:5060>"
		mine := "<sip:bob@" + p.local() + ">"
		for _, tc := range []struct {
			name             string
			contact, expires string
			more             []string
			code             string
			bindings         []string // as listed in the response
		}{
			{"nothing yet", "", "", nil, "200", nil},
			{"one", mine, "600", nil, "200", []string{mine + ";expires=600"}},
			{"another", other, "600", nil, "200", []string{mine + ";expires=600", other + ";expires=600"}},
			{"refreshed, not doubled, and the contact's own time counts", mine + ";expires=900", "600", nil, "200", []string{other + ";expires=600", mine + ";expires=900"}},
			{"at most an hour", mine, "100000", nil, "200", []string{other + ";expires=600", mine + ";expires=3600"}},
			{"too short changes nothing", mine, "59", nil, "423", nil},
			{"list", "", "", nil, "200", []string{other + ";expires=600", mine + ";expires=3600"}},
			{"two at once, one of them removed", mine + ";expires=0, <sip:bob@192.0.2.8>", "600", nil, "200", []string{other + ";expires=600", "<sip:bob@192.0.2.8>;expires=600"}},
			{"* beside another", "*, " + mine, "0", nil, "400", nil},
			{"* that does not end", "*", "600", nil, "400", nil},
			{"not a SIP URI", "<http://example.com>", "600", nil, "400", nil},
			{"* ends all", "*", "0", nil, "200", nil},
			{"an instance", mine + `;+sip.instance="<urn:uuid:0>";reg-id=1`, "600", nil, "200", []string{mine + `;expires=600;+sip.instance="<urn:uuid:0>";reg-id=1`}},
			{"the same instance elsewhere", other + `;+sip.instance="<urn:uuid:0>";reg-id=1`, "600", nil, "200", []string{other + `;expires=600;+sip.instance="<urn:uuid:0>";reg-id=1`}},
			{"another flow of it", mine + `;+sip.instance="<urn:uuid:0>";reg-id=2`, "600", nil, "200", []string{
				other + `;expires=600;+sip.instance="<urn:uuid:0>";reg-id=1`, mine + `;expires=600;+sip.instance="<urn:uuid:0>";reg-id=2`}},
			{"* again", "*", "0", nil, "200", nil},
			{"a preference", mine + ";q=0.25", "600", nil, "200", []string{mine + ";expires=600;q=0.25"}},
			{"a preference that can't be", mine + ";q=2", "600", nil, "200", []string{mine + ";expires=600"}},
			{"T10 what wakes a phone is kept", "<sip:bob@192.0.2.9;pn-provider=apns;pn-prid=00fc13adff78512;pn-param=DEF123GHIJ.org.example.app>", "600", nil, "200",
				[]string{mine + ";expires=600", "<sip:bob@192.0.2.9;pn-provider=apns;pn-prid=00fc13adff78512;pn-param=DEF123GHIJ.org.example.app>;expires=600"}},
			{"S19 sips: in clear", "<sips:bob@192.0.2.9>", "600", nil, "400", nil},
			{"im:", "<im:bob@192.0.2.9>", "600", nil, "400", nil},
			{"the end", "*", "0", nil, "200", nil},
		} {
			res := p.register("bob", "builder", tc.contact, tc.expires, tc.more...)
			got := header(res, "Contact")
			if code(res) != tc.code || tc.code == "200" && fmt.Sprint(got) != fmt.Sprint(tc.bindings) {
				t.Errorf("%s: got %s %q\nwant %s %q", tc.name, code(res), got, tc.code, tc.bindings)
			}
			if tc.code == "423" && header1(res, "Min-Expires") != "60" {
				t.Errorf("%s: %s", tc.name, res)
			}
		}
	})
}

func TestRegisterForSomebodyElse(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	d := p.message("sip:example.com", "").with("Contact: <sip:eve@192.0.2.1>")
	d.method, d.cseq, d.to = "REGISTER", "1 REGISTER", "<sip:bob@example.com>"
	if res := p.ask(d.String()); code(res) != "401" {
		t.Errorf("without a password: %s", res)
	}
	d.via += ";n=2"
	d.via = strings.Replace(d.via, "z9hG4bK", "z9hG4bKb", 1)
	if res := p.say(d); code(res) != "403" { // A03
		t.Errorf("as alice: %s", res)
	}
	if got := s.phones.of("sip:bob@example.com").all; len(got) != 0 {
		t.Errorf("bob has %d phones", len(got))
	}
}

// RFC 3261, section 10.3, step 7
func TestOlderRegisterIsRefused(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.n = 10
	p.online(h)
	p.n = 2
	res := p.register("bob", "builder", "<sip:bob@"+p.local()+";transport=udp>", "0")
	if code(res) != "500" {
		t.Errorf("got %s", res)
	}
	if n := len(s.phones.of("sip:bob@example.com").all); n != 1 {
		t.Errorf("%d phones left; want 1", n)
	}
}

func TestRegistrationIsStoredFirst(t *testing.T) {
	h := newHost()
	h.saveErr = errors.New("disk full")
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	if res := p.register("bob", "builder", "<sip:bob@"+p.local()+">", "600"); code(res) != "503" {
		t.Errorf("got %s", res)
	}
	if n := len(s.phones.of("sip:bob@example.com").all); n != 0 {
		t.Errorf("%d phones; want none", n)
	}
}

func TestOnlySoManyPhones(t *testing.T) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Now()
	e.phones.now = func() time.Time { return noon }
	s := launch(t, e)
	p := dial(t, s, "udp")
	var contacts []string
	for i := range maxBindings + 2 {
		contacts = append(contacts, fmt.Sprintf("<sip:bob@192.0.2.%d>;expires=%d", i+1, 100+i))
	}
	res := p.register("bob", "builder", strings.Join(contacts, ","), "600")
	if got := header(res, "Contact"); len(got) != maxBindings || got[0] != contacts[2] {
		t.Errorf("%d bindings, the first %q; want %d, the first %q", len(got), got[0], maxBindings, contacts[2])
	}
}

// T07: a phone behind proxies is reached through them, by the way that its
// REGISTER came.
func TestPath(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		res := p.register("bob", "builder", "<sip:bob@192.0.2.7>", "600", "Supported: path",
			"Path: <sip:edge.example.com;lr>, <sip:10.0.0.1;lr;ob>", "Path: <sip:[2001:db8::1];lr>")
		if got := fmt.Sprint(header(res, "Path")); code(res) != "200" || got != "[<sip:edge.example.com;lr>, <sip:10.0.0.1;lr;ob> <sip:[2001:db8::1];lr>]" {
			t.Fatalf("Path %s of %s", got, res)
		}
		done := deliver(s, delivery("o-"+p.network(), "x"))
		req := p.mustRead()
		if got := fmt.Sprint(header(req, "Route")); got != "[<sip:edge.example.com;lr> <sip:10.0.0.1;lr;ob> <sip:[2001:db8::1];lr>]" || !strings.HasPrefix(req, "MESSAGE sip:bob@192.0.2.7 ") {
			t.Errorf("Route %s of %s", got, req)
		}
		p.reply(req, "200 OK")
		if got := await(t, done); got.err != nil {
			t.Error(got.err)
		}
		for _, bad := range []string{"Path: <tel:+43>", "Path: <sip:[>", "Path: x\r\nPath: y", "Path: <sip:a>" + strings.Repeat(",<sip:a>", maxRoutes)} {
			if res := p.register("bob", "builder", "<sip:bob@192.0.2.7>", "600", bad); code(res) != "400" {
				t.Errorf("%s: got %s", bad, res)
			}
		}
		if res := p.register("bob", "builder", "<sip:bob@192.0.2.7>", "600", "Path: <sip:a;lr>"); code(res) != "200" || len(header(res, "Path")) != 0 {
			t.Errorf("who does not know Path: %s", res)
		}
		if res := p.register("bob", "builder", "*", "0"); code(res) != "200" {
			t.Errorf("got %s", res)
		}
	})
}

// T06: a phone with two connections gets a message once, over the newer one, and
// over the other when that is gone.
func TestTwoFlowsOfOnePhone(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	first, second := dial(t, s, "tcp"), dial(t, s, "tcp")
	const instance = `;+sip.instance="<urn:uuid:0>";reg-id=`
	for i, p := range []*probe{first, second} {
		res := p.register("bob", "builder", "<sip:bob@"+p.local()+";transport=tcp>"+instance+fmt.Sprint(i+1), "600", "Supported: outbound, path")
		if code(res) != "200" || header1(res, "Require") != "outbound" || header1(res, "Flow-Timer") != "120" || len(header(res, "Contact")) != i+1 {
			t.Fatalf("got %s", res)
		}
	}
	done := deliver(s, delivery("o1", "x"))
	second.reply(second.mustRead(), "200 OK")
	if got := await(t, done); got.err != nil {
		t.Error(got.err)
	}
	second.conn.Close()
	soon(t, func() bool { return len(s.phones.of("sip:bob@example.com").current(time.Now())) == 1 })
	done = deliver(s, delivery("o2", "y"))
	req := first.mustRead()
	if !strings.HasSuffix(req, "\r\n\r\ny") {
		t.Errorf("the first connection has got %s", req)
	}
	first.reply(req, "200 OK")
	if got := await(t, done); got.err != nil {
		t.Error(got.err)
	}
}

// T06: over UDP nothing keeps a flow alive that we answer, and a proxy that can't
// tell flows apart can't have several.
func TestNoOutbound(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		contact := "<sip:bob@" + p.local() + `>;+sip.instance="<urn:uuid:0>";reg-id=1`
		for _, tc := range []struct {
			name  string
			more  []string
			code  string
			tells bool
		}{
			{"direct", []string{"Supported: outbound"}, "200", p.network() == "TCP"},
			{"not asked for", nil, "200", false},
			{"required", []string{"Require: path, outbound"}, "200", p.network() == "TCP"},
			{"a proxy that knows nothing of it", []string{"k: outbound", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1"}, "439", false},
			{"a proxy before that does", []string{"Supported: outbound", "v: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", "Path: <sip:a;lr;ob>,<sip:b;lr>"}, "439", false},
			{"one that does", []string{"Supported: outbound", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", "Path: <sip:a;lr>,<sip:b;lr;ob>"}, "200", p.network() == "TCP"},
			{"required what nobody knows", []string{"Require: gruu"}, "420", false},
		} {
			res := p.register("bob", "builder", contact, "600", tc.more...)
			if code(res) != tc.code || (header1(res, "Require") == "outbound") != tc.tells {
				t.Errorf("%s: got %s", tc.name, res)
			}
		}
	})
}

// T10 T07: what a phone has registered is kept over a restart.
func TestBindingsAreKept(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	contact := "<sip:bob@" + p.local() + `;pn-prid=abc>;q=0.5;+sip.instance="<urn:uuid:0>";reg-id=1`
	if res := p.register("bob", "builder", contact, "600", "Path: <sip:edge;lr>"); code(res) != "200" {
		t.Fatalf("got %s", res)
	}
	before := *s.phones.of("sip:bob@example.com").current(time.Now())[0]
	s.stop()
	s = run(t, config(h), h)
	after := s.phones.of("sip:bob@example.com").current(time.Now())
	if len(after) != 1 || after[0].listed(time.Now()) != before.listed(time.Now()) || fmt.Sprint(after[0].Routes) != "[sip:edge;lr]" {
		t.Errorf("there are %+v; want %+v", after, before)
	}
}
