package sipedge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

// delivery is to bob from a room.
func delivery(id, text string) event.Delivery {
	return event.Delivery{
		ID: id, Kind: event.KindMessage, Target: "sip:bob@example.com", From: "sip:lobby@example.com", FromName: "Lobby",
		Sender: "web:u/eve", Attempt: 1, Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
}

type delivered struct {
	event.Receipt
	err error
}

// deliver delivers in the background. No deadline is named: with one so near a
// text goes a part at a time.
func deliver(e *started, d event.Delivery) <-chan delivered {
	c := make(chan delivered, 1)
	go func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer time.AfterFunc(patience, cancel).Stop()
		r, err := e.Deliver(ctx, d)
		c <- delivered{r, err}
	}()
	return c
}

func await(t *testing.T, c <-chan delivered) delivered {
	t.Helper()
	select {
	case d := <-c:
		return d
	case <-time.After(patience + time.Second):
		t.Fatal("Deliver does not return")
		panic("unreachable")
	}
}

func TestDeliver(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		p.online(h)
		d := delivery("o1", "Grüße, 世界\r\n.\r\n")
		d.FromName, d.Title, d.Language = `Eve "X" \`, "Lunch?", "de"
		d.Sent = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		d.Expires = d.Sent.Add(time.Hour)
		c := deliver(s, d)
		req := p.mustRead()
		line, _, _ := strings.Cut(req, "\r\n")
		if want := "MESSAGE sip:bob@" + p.local() + ";transport=" + strings.ToLower(p.network()) + " SIP/2.0"; line != want {
			t.Errorf("got %s\nwant %s", line, want)
		}
		for _, want := range []struct{ name, value string }{
			{"Contact", ""}, {"m", ""}, // M02
			{"Max-Forwards", "70"}, {"To", "<sip:bob@example.com>"}, {"CSeq", "1 MESSAGE"}, {"Subject", "Lunch?"}, {"Content-Language", "de"},
			{"Date", "Fri, 02 Jan 2026 03:04:05 GMT"}, {"Expires", "3600"}, // M10
			{"Content-Type", "text/plain;charset=utf-8"}, {"User-Agent", "Parley"},
		} {
			if got := header1(req, want.name); got != want.value {
				t.Errorf("%s is %q; want %q", want.name, got, want.value)
			}
		}
		if got, want := header1(req, "From"), `"Eve \"X\" \\" <sip:lobby@example.com>;tag=`; !strings.HasPrefix(got, want) {
			t.Errorf("From is %s; want %s…", got, want)
		}
		if !strings.Contains(header1(req, "Via"), ";rport") { // T02
			t.Errorf("Via is %s", header1(req, "Via"))
		}
		if _, body, _ := strings.Cut(req, "\r\n\r\n"); body != "Grüße, 世界\r\n.\r\n" { // M01
			t.Errorf("body %q", body)
		}
		p.reply(req, "100 Trying")
		p.reply(req, "200 OK")
		if got := await(t, c); got.err != nil || got.State != event.Delivered {
			t.Errorf("got %v, %v", got.State, got.err)
		}
		// A repetition is one to the phone, too.
		c = deliver(s, d)
		again := p.mustRead()
		for _, name := range []string{"Call-ID", "CSeq", "From", "Via"} {
			if header1(again, name) != header1(req, name) {
				t.Errorf("%s differs: %q and %q", name, header1(req, name), header1(again, name))
			}
		}
		p.reply(again, "202 Accepted") // M08
		if got := await(t, c); got.err != nil || got.State != event.Accepted {
			t.Errorf("got %v, %v", got.State, got.err)
		}
		p.register("bob", "builder", "*", "0")
	})
}

func TestVerdicts(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	p.online(h)
	for _, tc := range []struct {
		status  string
		more    string
		attempt int
		state   event.State
		reason  event.Reason // of a final failure
		after   time.Duration
	}{
		{"200 OK", "", 1, event.Delivered, "", 0},
		{"202 Accepted", "", 1, event.Accepted, "", 0},
		{"482 Merged", "", 2, event.Delivered, "", 0},
		{"482 Merged", "", 1, "", event.ReasonPermanent, 0},
		{"403 Forbidden", "", 1, "", event.ReasonRefused, 0}, // M07
		{"603 Decline", "", 1, "", event.ReasonRefused, 0},
		{"404 Not Found", "", 1, "", event.ReasonPermanent, 0},
		{"410 Gone", "", 1, "", event.ReasonPermanent, 0},
		{"413 Too Large", "", 1, "", event.ReasonPermanent, 0},
		{"415 Unsupported", "", 1, "", event.ReasonPermanent, 0},
		{"401 Unauthorized", "", 1, "", event.ReasonPermanent, 0},
		{"407 Proxy", "", 1, "", event.ReasonPermanent, 0},
		{"302 Moved", "", 1, "", event.ReasonPermanent, 0},
		{"480 Unavailable", "", 1, "", "", 0},
		{"500 Error", "", 1, "", "", 0},
		{"503 Busy", "Retry-After: 7 (soon)", 1, "", "", 7 * time.Second},
		{"503 Busy", "X: y", 1, "", "", 0},
	} {
		d := delivery("o-"+tc.status+tc.more, "x")
		d.Attempt = tc.attempt
		c := deliver(s, d)
		p.reply(p.mustRead(), tc.status, "Server: probe", tc.more+strings.Repeat("X-Empty: 1", b2i(tc.more == "")))
		got := await(t, c)
		scope, after, again := event.AsRetry(got.err)
		switch {
		case tc.state != "":
			if got.err != nil || got.State != tc.state {
				t.Errorf("%s: got %s, %v; want %s", tc.status, got.State, got.err, tc.state)
			}
		case tc.reason != "":
			if !event.IsPermanent(got.err) || event.ReasonOf(got.err) != tc.reason || !strings.Contains(got.err.Error(), tc.status[:3]) {
				t.Errorf("%s: got %v; want %s", tc.status, got.err, tc.reason)
			}
		case !again || scope != event.ScopeTarget || after != tc.after:
			t.Errorf("%s: got %v, %v after %v; want again after %v", tc.status, got.err, scope, after, tc.after)
		}
	}
}

// S24: a phone does not say who else may read what was written to its user: its
// redirection leads nowhere, and the sender is told so.
func TestNoPhoneRedirects(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p, other := dial(t, s, "tcp"), dial(t, s, "udp")
	p.online(h)
	victim, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { victim.Close() })
	for _, to := range []string{"sip:eve@" + victim.LocalAddr().String(), "sip:bob@" + other.local()} {
		c := deliver(s, delivery("o"+to, "private"))
		p.reply(p.mustRead(), "302 Moved Temporarily", "Contact: <"+to+">")
		if got := await(t, c); !event.IsPermanent(got.err) || !strings.Contains(got.err.Error(), "302 Moved Temporarily: redirections of phones are not followed") {
			t.Errorf("got %v", got.err)
		}
	}
	if got := firstTo(t, victim); got != "" {
		t.Errorf("somebody else gets %q", got)
	}
	if got := other.read(100 * time.Millisecond); got != "" {
		t.Errorf("somebody else gets %q", got)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// untilWoken tells whether an error waits for a registration.
func untilWoken(err error) bool {
	scope, after, ok := event.AsRetry(err)
	return ok && scope == event.ScopeTarget && after == event.UntilWoken
}

func TestNoPhoneWaitsForOne(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	if got := await(t, deliver(s, delivery("o1", "x"))); !untilWoken(got.err) || !errors.Is(got.err, ErrNotRegistered) {
		t.Errorf("got %v", got.err)
	}
	d := delivery("o2", "x")
	d.Target = "sip:nobody@example.com"
	if got := await(t, deliver(s, d)); !event.IsPermanent(got.err) {
		t.Errorf("got %v", got.err)
	}
}

// M14: one outstanding MESSAGE for each target.
func TestOneAtATime(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	p.online(h)
	var all []<-chan delivered
	for _, id := range []string{"a", "b", "c"} {
		all = append(all, deliver(s, delivery(id, id)))
	}
	for range all {
		req := p.mustRead()
		if more := p.read(100 * time.Millisecond); more != "" {
			t.Fatalf("a second one is under way: %s", more)
		}
		p.reply(req, "200 OK")
	}
	for _, c := range all {
		if got := await(t, c); got.err != nil {
			t.Error(got.err)
		}
	}
}

func TestFirstAnswerSettlesAndTheOthersHaveTheirTime(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	one, two := dial(t, s, "udp"), dial(t, s, "tcp")
	one.online(h)
	two.online(h)
	c := deliver(s, delivery("o1", "x"))
	late, req := one.mustRead(), two.mustRead() // M09: both have it at once
	two.reply(req, "200 OK")
	if got := await(t, c); got.err != nil || got.State != event.Delivered {
		t.Fatalf("got %v", got.err)
	}
	next := deliver(s, delivery("o2", "y"))
	if early := two.read(100 * time.Millisecond); early != "" {
		t.Errorf("sent while a phone still has the last one: %s", early)
	}
	one.reply(late, "415 No")
	two.reply(two.mustRead(), "415 No")
	for { // the first one may have been sent again
		if req := one.mustRead(); strings.HasSuffix(req, "y") {
			one.reply(req, "200 OK")
			break
		}
	}
	if got := await(t, next); got.err != nil {
		t.Errorf("got %v", got.err)
	}
}

func TestSilentPhoneIsLeftOut(t *testing.T) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		t.Fatal(err)
	}
	e.patience = 200 * time.Millisecond
	s := launch(t, e)
	p := dial(t, s, "udp")
	p.online(h)
	if got := await(t, deliver(s, delivery("o1", "x"))); !untilWoken(got.err) {
		t.Fatalf("silent: got %v", got.err)
	}
	p.mustRead()
	begun := time.Now()
	if got := await(t, deliver(s, delivery("o2", "x"))); !untilWoken(got.err) || time.Since(begun) > e.patience {
		t.Errorf("left out: got %v after %v", got.err, time.Since(begun))
	}
	// What it sends shows that it is there.
	d := p.message("sip:alice@example.com", "here")
	d.from = "<sip:bob@example.com>;tag=1"
	d.auth = login(e.guard.challenge(netip.Addr{}, false)[0], "bob", "builder", d.method, d.uri, 1)
	p.send(d.String())
	for code := ""; code != "202"; {
		code = strings.Fields(p.mustRead())[1] // after what was sent again to it
	}
	if a := <-h.registered; a != "sip:bob@example.com" {
		t.Errorf("woken: %s", a)
	}
	c := deliver(s, delivery("o3", "three"))
	for {
		if req := p.mustRead(); strings.HasSuffix(req, "three") {
			p.reply(req, "200 OK")
			break
		}
	}
	if got := await(t, c); got.err != nil {
		t.Errorf("back: got %v", got.err)
	}
}

// RFC 5626: what is for a phone never goes to whoever has its port now.
func TestClosedConnectionIsNeverDialled(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	p.online(h)
	c := deliver(s, delivery("o1", "private"))
	p.mustRead()
	port := p.local()
	p.conn.(*net.TCPConn).SetLinger(0) // leaves the port free at once
	p.conn.Close()
	if got := await(t, c); !untilWoken(got.err) {
		t.Errorf("under way when it closed: got %v", got.err)
	}
	l, err := net.Listen("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := await(t, deliver(s, delivery("o2", "private"))); !untilWoken(got.err) {
		t.Errorf("closed: got %v", got.err)
	}
	l.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond))
	if stolen, err := l.Accept(); err == nil {
		stolen.Close()
		t.Error("the port was dialled")
	}
}

// A phone on UDP stays reachable over a restart of the edge; one on TCP has to
// come back first.
func TestRestartKeepsPhonesOnUDP(t *testing.T) {
	h := newHost()
	c := config(h)
	before := run(t, c, h)
	udp, tcp := dial(t, before, "udp"), dial(t, before, "tcp")
	udp.online(h)
	tcp.online(h)
	before.stop()
	c.Listen = []Listener{{"udp", before.udp}, {"tcp", before.tcp}}
	after := run(t, c, h)
	done := deliver(after, delivery("o1", "x"))
	req := udp.mustRead() // the socket is connected: it comes from the listener
	udp.reply(req, "200 OK")
	if got := await(t, done); got.err != nil || got.State != event.Delivered {
		t.Errorf("got %v", got.err)
	}
	if n := len(after.phones.of("sip:bob@example.com").current(time.Now())); n != 1 {
		t.Errorf("%d phones; want the one on UDP", n)
	}
}

// E13 for SIP: no text gets out of its header.
func TestNothingIsInjected(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	p.online(h)
	evil := "a\r\nX-Evil: 1\r\n\r\nbody\x00\"<sip:x@y>\n\u2028\u202e"
	d := delivery("o\r\nX-Evil: 1", "x")
	d.FromName, d.Title, d.Language = evil, evil, evil
	c := deliver(s, d)
	req := p.mustRead()
	if len(header(req, "X-Evil")) > 0 || !strings.HasSuffix(req, "\r\n\r\nx") || strings.ContainsAny(req, "\x00\u2028\u202e") {
		t.Errorf("got %s", req)
	}
	if n := strings.Count(header1(req, "From"), `"`); n != 3 || !strings.Contains(header1(req, "From"), `\"`) {
		t.Errorf("From is %s", header1(req, "From"))
	}
	p.reply(req, "200 OK")
	await(t, c)
	for name, change := range map[string]func(*event.Delivery){
		"type":   func(d *event.Delivery) { d.MediaType = "text/plain\r\nX-Evil: 1" },
		"from":   func(d *event.Delivery) { d.From = "sip:a\r\nX-Evil@example.com" },
		"from %": func(d *event.Delivery) { d.From = "sip:a%0d%0aX-Evil@example.com" },
		"no SIP": func(d *event.Delivery) { d.From = "web:u/eve" },
		"target": func(d *event.Delivery) { d.Target = "sip:bob@example.com\r\nX-Evil: 1" },
	} {
		d := delivery("o", "x")
		change(&d)
		if got := await(t, deliver(s, d)); name != "target" && !event.IsPermanent(got.err) || got.err == nil {
			t.Errorf("%s: got %v", name, got.err)
		}
	}
	p.register("bob", "builder", "\"x\r\nEvil: 1\" <sip:bob@"+p.local()+">", "600")
	if res := p.register("bob", "builder", "", ""); strings.Contains(res, "Evil") {
		t.Errorf("got %s", res)
	}
}

func TestStopEndsWhatIsUnderWay(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	p.online(h)
	c := deliver(s, delivery("o1", "x"))
	p.mustRead()
	s.stop()
	got := await(t, c)
	if _, _, again := event.AsRetry(got.err); got.err == nil || again || event.IsPermanent(got.err) {
		t.Errorf("got %v; want an unknown outcome", got.err)
	}
	if got := await(t, deliver(s, delivery("o2", "x"))); got.err == nil {
		t.Error("delivered after the end")
	}
}

// A phone repeats its answer to the same request for 32 s (RFC 3261, section
// 17.2.2), so a delivery that it answered and did not take is tried with
// another one.
func TestAnotherTryAfterAnAnswerIsAnotherRequest(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		p.online(h)
		d := delivery("turns-"+p.network(), "again")
		c := deliver(s, d)
		first := p.mustRead()
		p.reply(first, "480 Temporarily Unavailable")
		if got := await(t, c); got.err == nil {
			t.Fatal("480 is taken for success")
		}
		c = deliver(s, d)
		second := p.mustRead()
		p.reply(second, "200 OK")
		if got := await(t, c); got.err != nil {
			t.Fatal(got.err)
		}
		for _, name := range []string{"Call-ID", "From"} {
			if header1(first, name) != header1(second, name) {
				t.Errorf("%s differs: %q and %q", name, header1(first, name), header1(second, name))
			}
		}
		if header1(first, "Via") == header1(second, "Via") || header1(second, "CSeq") != "2 MESSAGE" {
			t.Errorf("the second try is the same request: %s, %s", header1(second, "Via"), header1(second, "CSeq"))
		}
		p.register("bob", "builder", "*", "0")
	})
}
