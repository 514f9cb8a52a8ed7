package sipedge

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }
func (c *clock) of(w *warden)         { w.now, w.lines.now = c.now, c.now }
func newClock() *clock                { c := &clock{}; c.at.Store(time.Now().UnixNano()); return c }
func strangers(l Limits) (*fakeHost, Config) {
	h := newHost()
	c := config(h)
	c.Limits = l
	return h, c
}

// guarded starts an edge that knows nobody as exempt, with a clock of its own.
func guarded(t *testing.T, l Limits) (*fakeHost, *started, *clock) {
	t.Helper()
	h, c := strangers(l)
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	now := newClock()
	now.of(e.warden)
	return h, launch(t, e), now
}

func TestPacer(t *testing.T) {
	var p pacer[string]
	now, r := time.Now(), rate{10, time.Second}
	take := func(key string, n int) (taken int) {
		for range n {
			if p.take(key, r, now) == 0 {
				taken++
			}
		}
		return taken
	}
	if n := take("a", 20); n != 10 {
		t.Errorf("%d at once; want 10", n)
	}
	if wait := p.spent("a", r, now); wait != 100*time.Millisecond {
		t.Errorf("the next in %v", wait)
	}
	if n := take("b", 3); n != 3 {
		t.Errorf("another has %d", n)
	}
	now = now.Add(300 * time.Millisecond)
	if n := take("a", 20); n != 3 {
		t.Errorf("%d after 300 ms; want 3", n)
	}
	now = now.Add(time.Hour)
	if n := take("a", 20); n != 10 {
		t.Errorf("%d after an hour; want 10", n)
	}
	for i := range 4 * maxPaced {
		p.take(fmt.Sprint(i), r, now)
	}
	if n := p.size(); n > maxPaced {
		t.Errorf("%d keys are known", n)
	}
	for range 3 {
		now = now.Add(2 * time.Second)
		take("a", 1)
	}
	if n := p.size(); n > 2 {
		t.Errorf("%d keys are known long after", n)
	}
}

// A08: a source that sends too much is told so, and nobody else is.
func TestTooManyRequestsOfASource(t *testing.T) {
	_, s, now := guarded(t, Limits{Requests: 5})
	both(t, s, func(t *testing.T, p *probe) {
		now.pass(time.Hour)
		before := s.Stats()
		codes := map[string]int{}
		for range 8 {
			res := p.ask(p.message("sip:bob@example.com", "x").String())
			codes[code(res)]++
			if code(res) == "503" && header1(res, "Retry-After") != "1" {
				t.Errorf("got %s", res)
			}
		}
		if fmt.Sprint(codes) != "map[401:5 503:3]" || s.Stats().Source-before.Source != 3 {
			t.Errorf("answered %v, counted %+v", codes, s.Stats())
		}
		now.pass(time.Second)
		if res := p.ask(p.message("sip:bob@example.com", "x").String()); code(res) != "401" {
			t.Errorf("a second later: %s", res)
		}
	})
	if err := s.SetLimits(Limits{Requests: 1, Exempt: home}); err != nil {
		t.Fatal(err)
	}
	p := dial(t, s, "udp")
	for range 10 {
		if res := p.ask(p.message("sip:bob@example.com", "x").String()); code(res) != "401" {
			t.Errorf("exempt: got %s", res)
		}
	}
	if err := s.SetLimits(Limits{Exempt: []netip.Prefix{{}}}); err == nil {
		t.Error("no address is taken")
	}
	if err := s.SetLimits(Limits{Body: MaxBody + 1}); err == nil {
		t.Error("a body of any size is taken")
	}
}

// A08: so is an account, wherever it sends from.
func TestTooManyRequestsOfAnAccount(t *testing.T) {
	h, s, now := guarded(t, Limits{AccountRequests: 3})
	codes := map[string]int{}
	for i := range 5 {
		p := dial(t, s, []string{"udp", "tcp"}[i%2])
		codes[code(p.say(p.message("sip:bob@example.com", "x")))]++
	}
	if fmt.Sprint(codes) != "map[202:3 503:2]" || s.Stats().Account != 2 || len(h.stored()) != 3 {
		t.Errorf("answered %v, counted %+v", codes, s.Stats())
	}
	p := dial(t, s, "udp")
	p.online(h)
	now.pass(time.Second)
	if res := p.say(p.message("sip:bob@example.com", "x")); code(res) != "202" {
		t.Errorf("a second later: %s", res)
	}
}

// guess tries a password.
func (p *probe) guess(user, password string) string {
	d := p.message("sip:bob@example.com", "x")
	d.from = "<sip:" + user + "@example.com>;tag=g"
	d.auth = login(p.challenge(), user, password, d.method, d.uri, 1)
	return p.ask(d.String())
}

// A08: passwords can't be guessed at, neither of one account nor of many, and
// who guesses locks nobody else out.
func TestGuessesAreThrottled(t *testing.T) {
	h, s, now := guarded(t, Limits{Guesses: 3, Ban: -1})
	both(t, s, func(t *testing.T, p *probe) {
		now.pass(time.Hour)
		for i := range 3 {
			if res := p.guess("alice", fmt.Sprint(i)); code(res) != "401" {
				t.Fatalf("guess %d: %s", i, res)
			}
		}
		for _, password := range []string{"guess", "wonderland"} { // it is not even looked at
			if res := p.guess("alice", password); code(res) != "503" || header1(res, "Retry-After") != "20" {
				t.Errorf("%s: got %s", password, res)
			}
		}
		d := p.message("sip:alice@example.com", "x")
		d.from = "<sip:bob@example.com>;tag=b"
		d.auth = login(p.challenge(), "bob", "builder", d.method, d.uri, 1)
		if res := p.ask(d.String()); code(res) != "202" {
			t.Errorf("bob, at the same address: %s", res)
		}
		for i := range 30 { // unknown users, to the limit of a source
			p.guess(fmt.Sprint("u", i), "x")
		}
		if known, unknown := p.guess("bob", "x"), p.guess("nobody", "x"); code(known) != code(unknown) {
			t.Errorf("bob is told from nobody: %s, %s", known, unknown)
		}
		now.pass(20 * time.Second)
		if res := p.guess("alice", "wonderland"); code(res) != "202" {
			t.Errorf("some time later: %s", res)
		}
	})
	if n := s.Stats(); n.Guesses == 0 || n.Throttled == 0 || n.Banned != 0 {
		t.Errorf("counted %+v", n)
	}
	if len(h.stored()) != 4 {
		t.Errorf("%d are stored", len(h.stored()))
	}
}

// Guesses at an account from everywhere don't hurt it where its phones are.
func TestManyGuessers(t *testing.T) {
	w := testWarden()
	now := newClock()
	now.of(w)
	from := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	const bob = "bob"
	looked := 0
	for i := range 200 {
		if g := (guess{sourceOf(from(i)), bob}); w.closed(g, false).code == 0 {
			looked++
			w.wrong(g, from(i))
		}
	}
	if looked != guessesOfAccount*w.limits().Guesses {
		t.Errorf("%d guesses were looked at", looked)
	}
	if a := w.closed(guess{sourceOf(from(250)), bob}, false); a.code != 503 {
		t.Errorf("a stranger: %+v", a)
	}
	if a := w.closed(guess{sourceOf(from(250)), bob}, true); a.code != 0 {
		t.Errorf("bob at home: %+v", a)
	}
	if a := w.closed(guess{sourceOf(from(250)), "alice"}, false); a.code != 0 {
		t.Errorf("alice: %+v", a)
	}
}

// A08: who goes on guessing is banned for a time: connections are closed and
// datagrams not read.
func TestBan(t *testing.T) {
	_, s, now := guarded(t, Limits{Guesses: 1, Ban: time.Minute})
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			now.pass(time.Hour)
			p, bystander := dial(t, s, network), dial(t, s, "tcp")
			bystander.ask(bystander.message("sip:bob@example.com", "x").String())
			d := p.message("sip:bob@example.com", "x")
			for i, c := 0, p.challenge(); i < guessesOfSource; i++ {
				d.via = strings.Replace(d.via, "z9hG4bK", fmt.Sprint("z9hG4bK", i), 1)
				d.auth = login(c, fmt.Sprint("u", i), "x", d.method, d.uri, 1)
				p.send(d.String())
			}
			bystander.closed()
			dial(t, s, "tcp").closed()
			shunned, u := s.Stats().Shunned, dial(t, s, "udp")
			u.send(u.message("sip:bob@example.com", "x").String())
			soon(t, func() bool { return s.Stats().Shunned > shunned })
			if n := s.Stats().Banned; n != 1 {
				t.Errorf("%d sources are banned", n)
			}
			now.pass(time.Minute)
			last := u.message("sip:bob@example.com", "x")
			if res := u.ask(last.String()); code(res) != "401" || header1(res, "Call-ID") != last.callID { // there is no answer to the first of the two
				t.Errorf("after the ban: %s", res)
			}
			if n := s.Stats().Banned; n != 0 {
				t.Errorf("%d sources are banned", n)
			}
		})
	}
}

// A phone that is set up wrong shuts out nobody in the same house.
func TestNobodyIsBannedAtHome(t *testing.T) {
	h, s, now := guarded(t, Limits{Guesses: 3})
	bob, wrong := dial(t, s, "tcp"), dial(t, s, "tcp")
	bob.online(h)
	c := wrong.challenge()
	for i := range 10 * guessesOfSource {
		d := wrong.message("sip:bob@example.com", "x")
		d.auth = login(c, fmt.Sprint("u", i%30), "x", d.method, d.uri, 1)
		wrong.ask(d.String())
	}
	if n := s.Stats(); n.Banned != 0 || n.Throttled == 0 {
		t.Errorf("counted %+v", n)
	}
	d := bob.message("sip:alice@example.com", "x")
	d.from = "<sip:bob@example.com>;tag=b"
	d.auth = login(bob.challenge(), "bob", "builder", d.method, d.uri, 1)
	if res := bob.ask(d.String()); code(res) != "202" {
		t.Errorf("bob: %s", res)
	}
	now.pass(time.Hour)
}

// A ban needs proof that the source is no invention: over UDP a nonce that was
// sent there.
func TestAForgedSourceIsNotBanned(t *testing.T) {
	_, s, _ := guarded(t, Limits{Guesses: 1, Ban: time.Minute})
	elsewhere := s.guard.challenge(netip.MustParseAddr("192.0.2.1"), false)[0]
	p := dial(t, s, "udp")
	for i := range 5 * guessesOfSource {
		d := p.message("sip:bob@example.com", "x")
		d.auth = login(elsewhere, fmt.Sprint("u", i), "x", d.method, d.uri, 1)
		p.ask(d.String())
	}
	if n := s.Stats(); n.Banned != 0 || n.Throttled < guessesOfSource {
		t.Errorf("counted %+v", n)
	}
	if res := p.guess("bob", "builder"); code(res) != "202" {
		t.Errorf("bob, who is really there: %s", res)
	}
}

// Rubbish over connections ends in a ban, too.
func TestNonsenseIsBanned(t *testing.T) {
	_, s, _ := guarded(t, Limits{})
	for range maxMalformed + 1 {
		p := dial(t, s, "tcp")
		p.send("GET / HTTP/1.1\r\n\r\n")
		p.closed()
	}
	if n := s.Stats(); n.Banned != 1 || n.Malformed != maxMalformed+1 {
		t.Errorf("counted %+v", n)
	}
}

func TestBansAreBounded(t *testing.T) {
	var b bans
	now := time.Now()
	for i := range maxBans + 100 {
		b.add(sourceOf(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), now.Add(time.Minute), now)
	}
	if n := b.size(now); n != maxBans {
		t.Errorf("%d bans", n)
	}
	if n := b.size(now.Add(time.Minute)); n != 0 || b.some.Load() {
		t.Errorf("%d bans are left", n)
	}
}

// S27: more UDP requests than may be remembered are refused and forgotten.
func TestTransactionsAreBounded(t *testing.T) {
	h, c := strangers(Limits{Transactions: 4, Exempt: home})
	s := run(t, c, h)
	p := dial(t, s, "udp")
	for i := range 20 {
		want := "401"
		if i >= 4 {
			want = "503"
		}
		if res := p.ask(p.message("sip:bob@example.com", "x").String()); code(res) != want {
			t.Errorf("request %d: %s", i, res)
		}
		// For a moment behind its answer a request counts twice: as one that ends, and as one that is remembered.
		soon(t, func() bool { return s.Stats().Transactions == min(i+1, 4) })
	}
	if n := s.Stats().Overload; n != 16 {
		t.Errorf("%d were refused", n)
	}
	tcp := dial(t, s, "tcp") // they are over with their answer
	for range 10 {
		tcp.ask(tcp.message("sip:bob@example.com", "x").String())
	}
	soon(t, func() bool { return s.Stats().Transactions == 4 })
}

// What strangers can cause as often as they like is logged now and then, and
// without what they wrote.
func TestHostileTrafficIsSampledInTheLog(t *testing.T) {
	h, c := strangers(Limits{Requests: 1, Guesses: 1000, Exempt: home})
	var text bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&text, nil))
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	now := newClock()
	now.of(e.warden)
	s := launch(t, e)
	p := dial(t, s, "tcp")
	for range 50 {
		p.guess("alice", "canary")
	}
	now.pass(logEvery)
	p.guess("alice", "canary")
	s.stop()
	got := text.String()
	if n := strings.Count(got, `msg="wrong password"`); n != 2 || !strings.Contains(got, "left_out=49") || strings.Contains(got, "canary") {
		t.Errorf("%d lines: %s", n, got)
	}
}
