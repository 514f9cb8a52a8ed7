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
