package sipedge

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
)

// A01 A02: what looks like a proof and is none.
func TestHostileDigests(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	good := dial(t, s, "tcp")
	swapped := func(old, other string) func(string) string {
		return func(auth string) string { return strings.Replace(auth, old, other, 1) }
	}
	both(t, s, func(t *testing.T, p *probe) {
		for _, tc := range []struct {
			name, want string
			auth       func(right string) string
		}{
			{"another case", "401", swapped(`username="alice"`, `username="Alice"`)},
			{"a user with NUL", "401", swapped(`username="alice"`, "username=\"alice%00\"")},
			{"a user that is escaped", "401", swapped(`username="alice"`, `username="ali\\ce"`)},
			{"no user", "401", swapped(`username="alice", `, "")},
			{"an empty user", "401", swapped(`username="alice"`, `username=""`)},
			{"a second user", "202 401", swapped(`username="alice"`, `username="bob", username="alice"`)},
			{"no realm", "401", swapped(`realm="example.com", `, "")},
			{"an empty nonce", "401", func(a string) string { return param.ReplaceAllStringFunc(a, emptyNonce) }},
			{"a nonce without end", "401", swapped(`nonce="`, `nonce="`+strings.Repeat("n", 20000))},
			{"a count of nine digits", "401", swapped("nc=00000001", "nc=100000001")},
			{"a count below zero", "401", swapped("nc=00000001", "nc=-0000001")},
			{"a count that is no number", "401", swapped("nc=00000001", "nc=one")},
			{"the count of another", "401", swapped("nc=00000001", "nc=00000002")},
			{"auth-int", "401", swapped("qop=auth,", "qop=auth-int,")},
			{"a session", "401", swapped("algorithm=SHA-256", "algorithm=SHA-256-sess")},
			{"a hashed user", "401", swapped("algorithm=", "userhash=true, algorithm=")},
			{"another algorithm than the digest's", "401", swapped("algorithm=SHA-256", "algorithm=MD5")},
			{"no cnonce", "401", swapped(`cnonce="c0ffee", `, "")},
			{"half a response", "401", func(a string) string { return a[:len(a)-30] + `"` }},
			{"an empty response", "401", func(a string) string { return a[:strings.Index(a, `response="`)] + `response=""` }},
			{"no response", "401", func(a string) string { return a[:strings.Index(a, `, response="`)] }},
			{"a quote that does not end", "401", func(a string) string { return a[:len(a)-1] }},
			{"only the word", "401", func(string) string { return "Digest" }},
			{"commas", "401", func(string) string { return "Digest " + strings.Repeat(",", 20000) }},
			{"three at once", "400", func(a string) string { return a + "\r\nAuthorization: " + a + "\r\nProxy-Authorization: " + a }},
			{"a right one behind a wrong one", "202 401", func(a string) string {
				return strings.Replace(a, `response="`, `response="0`, 1) + "\r\nAuthorization: " + a
			}},
			{"one of another realm before", "202", func(a string) string {
				return strings.Replace(a, `realm="example.com"`, `realm="example.org"`, 1) + "\r\nAuthorization: " + a
			}},
			{"the scheme in capitals", "202", swapped("Digest ", "DIGEST ")},
			{"the right one", "202", func(a string) string { return a }},
		} {
			before := len(h.stored())
			d := p.message("sip:bob@example.com", "x")
			d.callID += p.network()
			d.auth = tc.auth(login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1))
			res := p.ask(d.String())
			judge(t, tc.name, unlike(res, tc.want))
			if all := h.stored()[before:]; (len(all) == 1) != (code(res) == "202") || len(all) == 1 && all[0].Sender != "sip:alice@example.com" {
				t.Errorf("%s: answered %s and stored %+v", tc.name, code(res), all)
			}
			good.served(t)
		}
	})
	forgotten(t, s)
}

func emptyNonce(kv string) string {
	if strings.HasPrefix(kv, "nonce=") {
		return `nonce="`
	}
	return kv
}

// A03 S25: nobody registers what can't be called, more than their share, or for
// another.
func TestHostileRegistrations(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	good := dial(t, s, "tcp")
	good.online(h)
	both(t, s, func(t *testing.T, p *probe) {
		for _, tc := range []struct {
			name, contact, expires, want string
			more                         []string
		}{
			{"line ends in a Contact", "<sip:alice%0d%0aEvil@192.0.2.1>", "600", "400", nil},
			{"line ends in its host", "<sip:alice@192.0.2.1%0d%0aEvil>", "600", "400", nil},
			{"a Contact folded", "<sip:alice@192.0.2.1>\r\n ;x=y", "600", "200", nil},
			{"no host", "<sip:alice@>", "600", "400", nil},
			{"nothing", "<sip:>", "600", "400", nil},
			{"no address", "<sip:alice@[::1>", "600", "400", nil},
			{"no port", "<sip:alice@192.0.2.1:99999>", "600", "400", nil},
			{"a quote that does not end", `"alice <sip:alice@192.0.2.1>`, "600", "400", nil},
			{"a bracket that does not end", "<sip:alice@192.0.2.1", "600", "400", nil},
			{"a Contact without end", "<sip:alice@192.0.2.1;x=" + strings.Repeat("y", 20000) + ">", "600", "400", nil},
			{"a Contact of UTF-8", "<sip:alice@192.0.2.1;x=\u202e>", "600", "400", nil},
			{"another scheme", "<javascript:alert(1)>", "600", "400", nil},
			{"a file", "<file:///etc/passwd>", "600", "400", nil},
			{"a time below zero", "<sip:alice@192.0.2.1>;expires=-1", "600", "200 400", nil},
			{"a time beyond 32 bits", "<sip:alice@192.0.2.1>;expires=4294967296", "600", "200", nil},
			{"a time that is no number", "<sip:alice@192.0.2.1>;expires=soon", "never", "200", nil},
			{"two times", "<sip:alice@192.0.2.1>", "600", "400", []string{"Expires: 0"}},
			{"* beside another by its short name", "*", "0", "400", []string{"m: <sip:alice@192.0.2.1>"}},
			{"* twice", "*", "0", "400", []string{"Contact: *"}},
			{"more phones than anybody has", strings.TrimSuffix(strings.Repeat("<sip:alice@192.0.2.%d>,", 300), ","), "600", "200 400 403 413 513", nil},
			{"a phone's name with quotes", `<sip:alice@192.0.2.1>;+sip.instance="<urn:x>\",\"Evil"`, "600", "200 400", nil},
			{"a flow's number that is none", `<sip:alice@192.0.2.1>;+sip.instance="<urn:x>";reg-id=-1`, "600", "200 400", nil},
			{"a way through us", "<sip:alice@" + s.udp + ">", "600", "200", nil},
			{"what is required and unknown", "<sip:alice@192.0.2.1>", "600", "420", []string{"Require: gruu"}},
			{"the end of bob", "*", "0", "403", []string{"P-Asserted-Identity: <sip:bob@example.com>"}},
		} {
			contact := tc.contact
			for i := 0; strings.Contains(contact, "%d"+">"); i++ {
				contact = strings.Replace(contact, "%d", fmt.Sprint(i%255), 1)
			}
			user, to := "alice", ""
			if tc.want == "403" {
				to = "<sip:bob@example.com>"
			}
			res := p.registerAs(user, "wonderland", to, contact, tc.expires, tc.more...)
			judge(t, tc.name, unlike(res, tc.want))
			if n := len(s.phones.of("sip:alice@example.com").current(time.Now())); n > maxBindings {
				t.Errorf("%s: alice has %d phones", tc.name, n)
			}
			for _, c := range header(res, "Contact") {
				if !strings.HasPrefix(c, "<sip:") || strings.ContainsFunc(c, unicode.IsControl) {
					t.Errorf("%s: lists %q", tc.name, c)
				}
			}
			good.served(t)
		}
	})
	done := deliver(s, delivery("o1", "still here"))
	good.reply(good.mustRead(), "200 OK")
	if got := await(t, done); got.err != nil {
		t.Errorf("bob is not reached: %v", got.err)
	}
	forgotten(t, s)
}

// registerAs is register with a To of another, if one is given.
func (p *probe) registerAs(user, password, to, contact, expires string, more ...string) string {
	p.t.Helper()
	d := p.message("sip:example.com", "").with("Contact: "+contact, "Expires: "+expires).with(more...)
	d.method, d.cseq, d.callID = "REGISTER", fmt.Sprintf("%d REGISTER", p.n), "hostile-"+p.local()
	d.from, d.to = "<sip:"+user+"@example.com>;tag=h", "<sip:"+user+"@example.com>"
	if to != "" {
		d.to = to
	}
	d.auth = login(p.challenge(), user, password, "REGISTER", d.uri, 1)
	return p.ask(d.String())
}
