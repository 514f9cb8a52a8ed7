package sipedge

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A01
func TestChallengesStrongestFirst(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	res := p.ask(p.message("sip:bob@example.com", "x").String())
	all := header(res, "WWW-Authenticate")
	if len(all) != 2 || !strings.Contains(all[0], "SHA-256") || !strings.Contains(all[1], "MD5") {
		t.Fatalf("challenges %q", all)
	}
	for _, c := range all {
		if !strings.Contains(c, `qop="auth"`) || !strings.Contains(c, `realm="example.com"`) || strings.Contains(c, "stale") {
			t.Errorf("challenge %s", c)
		}
		d := p.message("sip:bob@example.com", "x")
		d.auth = login(c, "alice", "wonderland", d.method, d.uri, 1+len(h.stored()))
		if res := p.ask(d.String()); code(res) != "202" {
			t.Errorf("login with %s: %s", c, res)
		}
	}
	d := p.message("sip:bob@example.com", "x") // as an answer to a proxy
	d.with("Proxy-Authorization: " + login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1))
	if res := p.ask(d.String()); code(res) != "202" {
		t.Errorf("Proxy-Authorization: %s", res)
	}
}

func TestWhoIsNotBelieved(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		for _, tc := range []struct {
			rule string
			auth func(challenge, uri string) string
		}{
			{"wrong password", func(c, u string) string { return login(c, "alice", "guess", "MESSAGE", u, 1) }},
			{"empty password", func(c, u string) string { return login(c, "alice", "", "MESSAGE", u, 1) }},
			{"unknown user", func(c, u string) string { return login(c, "mallory", "wonderland", "MESSAGE", u, 1) }},
			{"A02 digest of another URI", func(c, _ string) string { return login(c, "alice", "wonderland", "MESSAGE", "sip:eve@example.com", 1) }},
			{"digest of another method", func(c, u string) string { return login(c, "alice", "wonderland", "REGISTER", u, 1) }},
			{"another realm", func(c, u string) string {
				return login(strings.Replace(c, `realm="example.com"`, `realm="example.org"`, 1), "alice", "wonderland", "MESSAGE", u, 1)
			}},
			{"a nonce of one's own", func(c, u string) string {
				return login(strings.Replace(c, `nonce="`, `nonce="AAAA`, 1), "alice", "wonderland", "MESSAGE", u, 1)
			}},
			{"no count", func(c, u string) string { return login(c, "alice", "wonderland", "MESSAGE", u, 0) }},
			{"no qop", func(c, u string) string {
				return strings.Replace(login(c, "alice", "wonderland", "MESSAGE", u, 1), "qop=auth, ", "", 1)
			}},
			{"unknown algorithm", func(c, u string) string {
				return strings.Replace(login(c, "alice", "wonderland", "MESSAGE", u, 1), "algorithm=SHA-256", "algorithm=SHA-1", 1)
			}},
			{"rubbish", func(string, string) string { return `Digest username="alice` }},
			{"basic", func(string, string) string { return "Basic YWxpY2U6d29uZGVybGFuZA==" }},
		} {
			d := p.message("sip:bob@example.com", "x")
			d.auth = tc.auth(p.challenge(), d.uri)
			if res := p.ask(d.String()); code(res) != "401" {
				t.Errorf("%s: got %s", tc.rule, res)
			}
		}
	})
	if n := len(h.stored()); n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

// A02: credentials serve once.
func TestReplayIsRefused(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	c := p.challenge()
	d := p.message("sip:bob@example.com", "mine")
	d.auth = login(c, "alice", "wonderland", d.method, d.uri, 1)
	if res := p.ask(d.String()); code(res) != "202" {
		t.Fatalf("got %s", res)
	}
	evil := dial(t, s, "udp")
	forged := evil.message("sip:bob@example.com", "not mine")
	forged.auth = d.auth
	res := evil.ask(forged.String())
	if code(res) != "401" || !strings.Contains(header1(res, "WWW-Authenticate"), "stale=true") {
		t.Errorf("replay: got %s", res)
	}
	for _, nc := range []int{3, 2, 200, 100} { // counts that overtook each other on the way
		d := p.message("sip:bob@example.com", "x")
		d.auth = login(c, "alice", "wonderland", d.method, d.uri, nc)
		if res := p.ask(d.String()); code(res) != "202" {
			t.Errorf("nc %d: got %s", nc, res)
		}
	}
	if n := len(h.stored()); n != 5 {
		t.Errorf("%d stored; want 5", n)
	}
}

func TestOldNonceIsStale(t *testing.T) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		t.Fatal(err)
	}
	e.guard.nonces.now = func() time.Time { return time.Now().Add(-6 * time.Minute) }
	c := e.guard.challenge(netip.Addr{}, false)[0]
	e.guard.nonces.now = time.Now
	s := launch(t, e)
	p := dial(t, s, "udp")
	d := p.message("sip:bob@example.com", "x")
	d.auth = login(c, "alice", "wonderland", d.method, d.uri, 1)
	res := p.ask(d.String())
	if code(res) != "401" || !strings.Contains(header1(res, "WWW-Authenticate"), "stale=true") {
		t.Errorf("got %s", res)
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, tc := range []struct {
		count int
		free  bool
	}{
		{0, false}, {-1, false}, {5, true}, {5, false}, {1, true}, {1, false}, {300, true}, {44, false}, {45, true}, {45, false},
		{299, true}, {1 << 30, true}, {300, false}, {1<<30 - 255, true}, {1<<30 - 256, false}, {1 << 30, false}, {1<<30 + 1, true},
	} {
		if got := w.use(tc.count); got != tc.free {
			t.Errorf("use(%d) = %v; want %v", tc.count, got, tc.free)
		}
	}
}

func TestSpentCountsAreForgottenOnlyWithTheirNonce(t *testing.T) {
	n := newNonces([]byte("k"))
	now := time.Now()
	n.now = func() time.Time { return now }
	one := n.issue(netip.Addr{})
	if !n.spend(one, 1) || n.spend(one, 1) {
		t.Fatal("a count serves once")
	}
	now = now.Add(nonceLife)
	if n.spend(one, 1) {
		t.Error("spent again at the end of the nonce's life")
	}
	now = now.Add(time.Second)
	if n.spend(one, 2) {
		t.Error("spent after the nonce's life")
	}
	for range 10 {
		now = now.Add(nonceLife)
		n.spend(n.issue(netip.Addr{}), 1)
	}
	if len(n.used)+len(n.older) > 4 {
		t.Errorf("%d nonces are remembered", len(n.used)+len(n.older))
	}
}
