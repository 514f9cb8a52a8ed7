package sipedge

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

var numbered = regexp.MustCompile(`^\((\d+)/(\d+)\) `)

// partOf returns the number and the text of the part that a request carries, and
// complains of one that is too large.
func partOf(t *testing.T, req string) (number, text string) {
	t.Helper()
	_, body, _ := strings.Cut(req, "\r\n\r\n")
	m := numbered.FindString(body)
	if m == "" || len(req) > maxRequest {
		t.Fatalf("a request of %d bytes: %s", len(req), req)
	}
	return strings.Trim(m, "() "), body[len(m):]
}

func long(paragraphs int) string {
	var b strings.Builder
	for i := range paragraphs {
		fmt.Fprintf(&b, "%d. Die Straße ist für den Verkehr gesperrt. 道路は通行止めです。🚧\n\n", i)
	}
	return b.String()
}

// M13 M14 S18: text that is too long for its way goes in parts, one at a time;
// together they are the text. A further attempt goes on where the last ended.
func TestM13LongTextGoesInParts(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.online(h)
	d := delivery("o1", long(40))
	c := deliver(s, d)
	text, calls := "", map[string]bool{}
	take := func(want, status string) string {
		t.Helper()
		req := p.mustRead()
		number, part := partOf(t, req)
		if number != want {
			t.Fatalf("part %s comes; want %s", number, want)
		}
		if early := p.read(50 * time.Millisecond); early != "" && early != req {
			t.Fatalf("before the answer comes %s", early)
		}
		p.reply(req, status)
		if strings.HasPrefix(status, "200") {
			text += part
			calls[header1(req, "Call-ID")] = true
		}
		return req
	}
	take("1/4", "200 OK")
	refused := take("2/4", "480 Temporarily Unavailable")
	got := await(t, c)
	if _, _, again := event.AsRetry(got.err); !again || !strings.Contains(got.err.Error(), "part 2 of 4: it answered 480") {
		t.Fatalf("got %v", got.err)
	}
	d.Attempt = 2
	c = deliver(s, d)
	if req := take("2/4", "200 OK"); header1(req, "CSeq") == header1(refused, "CSeq") || header1(req, "Call-ID") != header1(refused, "Call-ID") {
		t.Errorf("the second attempt is %s", req)
	}
	take("3/4", "200 OK")
	take("4/4", "200 OK")
	if got := await(t, c); got.err != nil || got.State != event.Delivered {
		t.Errorf("got %+v", got)
	}
	if text != string(d.Data) || len(calls) != 4 {
		t.Errorf("%d calls bring %q", len(calls), text)
	}
}

// M13: a trunk gets them so, too; what one of them is only accepted, the whole
// is.
func TestM13LongTextByATrunk(t *testing.T) {
	f := newFar(t, "tcp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("tcp")}})
	d := by("o1")
	d.Data = []byte(long(30))
	text := ""
	take := func(status string) {
		got := f.next()
		if _, part := partOf(t, got.text); status[0] == '2' {
			text += part
		}
		got.reply(status)
	}
	c := deliver(s, d)
	take("202 Accepted")
	take("480 Temporarily Unavailable")
	wantRetry(t, await(t, c), "part 2 of 3: it answered 480")
	d.Attempt = 2
	c = deliver(s, d)
	take("200 OK")
	take("200 OK")
	wantState(t, await(t, c), event.Accepted) // also what was accepted in an earlier attempt counts
	if text != string(d.Data) {
		t.Errorf("together they are %q", text)
	}
}

// M13: a part that is refused for good ends the message.
func TestM13ARefusedPart(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.online(h)
	c := deliver(s, delivery("o1", long(40)))
	p.reply(p.mustRead(), "603 Decline")
	if got := await(t, c); event.ReasonOf(got.err) != event.ReasonRefused || len(s.parts.all) != 0 {
		t.Errorf("got %v; remembered: %v", got.err, s.parts.all)
	}
}

// M13: what can't be divided, or is too much, fails with the reason.
func TestM13WhatStaysWhole(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.online(h)
	for _, tc := range []struct{ media, text, want string }{
		{"application/x-drawing", long(40), "its type is not taken here: application/x-drawing"},
		{"text/plain", long(600), "more than 32 parts of a text are not sent"},
	} {
		d := delivery("o1", tc.text)
		d.MediaType = tc.media
		if got := await(t, deliver(s, d)); !event.IsPermanent(got.err) || !strings.Contains(got.err.Error(), tc.want) {
			t.Errorf("%s: got %v", tc.media, got.err)
		}
	}
	if got := p.read(100 * time.Millisecond); got != "" {
		t.Errorf("sent: %s", got)
	}
}

// M13: a phone's own TCP connection takes it whole, up to what SIP takes at all.
func TestM13WholeOverTCP(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	p.online(h)
	c := deliver(s, delivery("o2", strings.Repeat("x", MaxBody)))
	req := p.mustRead()
	if !strings.HasSuffix(req, "\r\n\r\n"+strings.Repeat("x", MaxBody)) {
		t.Errorf("%d bytes come", len(req))
	}
	p.reply(req, "200 OK")
	if got := await(t, c); got.err != nil {
		t.Errorf("TCP: got %v", got.err)
	}
	if got := await(t, deliver(s, delivery("o3", strings.Repeat("x", MaxBody+1)))); !event.IsPermanent(got.err) {
		t.Errorf("too large for all: got %v", got.err)
	}
}

// attempt delivers until stop is called.
func attempt(s *started, d event.Delivery) (c <-chan delivered, stop func()) {
	ctx, stop := context.WithCancel(context.Background())
	results := make(chan delivered, 1)
	go func() {
		r, err := s.Deliver(ctx, d)
		results <- delivered{r, err}
	}()
	return results, stop
}

// When an attempt is given up while a text goes in parts, the part under way
// is the last. The next attempt sends the others, and one after that nothing.
func TestPartsGoOnInTheNextAttempt(t *testing.T) {
	f := newFar(t, "tcp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("tcp")}})
	d := by("o1")
	d.Data = []byte(long(40))
	c, stop := attempt(s, d)
	first := f.next()
	stop()
	if got := await(t, c); got.err == nil || event.IsPermanent(got.err) {
		t.Fatalf("given up: %v", got.err)
	}
	d.Attempt = 2
	again := deliver(s, d) // waits for its turn
	first.reply("200 OK")
	text := ""
	for _, want := range []string{"1/4", "2/4", "3/4", "4/4"} {
		got := first
		if want != "1/4" {
			got = f.next()
			got.reply("200 OK")
		}
		number, part := partOf(t, got.text)
		if text += part; number != want {
			t.Errorf("part %s comes; want %s", number, want)
		}
	}
	wantState(t, await(t, again), event.Delivered)
	if text != string(d.Data) {
		t.Errorf("together they are %q", text)
	}
	d.Attempt = 3 // nobody heard of the second
	wantState(t, await(t, deliver(s, d)), event.Delivered)
	f.quiet()
}

// What is known of a text that has arrived is known in the form in which it did.
func TestATextThatHasArrivedIsNotSentInAnotherForm(t *testing.T) {
	p, _ := newDevice(t, "text/plain", "text/html")
	d := saying("o1", "text/markdown", longMarkdown())
	_, _, first := p.parts(deliver(p.s, d))
	p.register("bob", "builder", "<sip:bob@"+p.local()+";transport=udp>", "600", "Accept: text/html, message/cpim")
	again := await(t, deliver(p.s, d))
	if again.err != nil || again.State != first.State || fmt.Sprint(again.Losses) != fmt.Sprint(first.Losses) {
		t.Errorf("%+v, %v; first %+v, %v", again.Receipt, again.err, first.Receipt, first.err)
	}
}

// An attempt whose end is too near for the answer to one more part does not
// begin it, so that its outcome is known.
func TestPartsLeaveTimeForTheirAnswers(t *testing.T) {
	p, _ := newDevice(t)
	d := delivery("o1", long(40))
	for _, want := range []string{"1/4", "2/4", "3/4", "4/4"} {
		ctx, cancel := context.WithTimeout(t.Context(), answerWait/2)
		c := make(chan error, 1)
		go func() {
			_, err := p.s.Deliver(ctx, d)
			c <- err
		}()
		req := p.mustRead()
		if number, _ := partOf(t, req); number != want {
			t.Errorf("part %s comes; want %s", number, want)
		}
		p.reply(req, "200 OK")
		err := <-c
		cancel()
		scope, after, again := event.AsRetry(err)
		if more := want != "4/4"; again != more || more && (scope != event.ScopeTarget || after != nextParts) {
			t.Errorf("after part %s: %v", want, err)
		}
	}
}

// When one phone has taken a message, the others get all of it, although the
// attempt is over.
func TestPartsForAnotherPhoneGoOn(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	whole, inParts := dial(t, s, "tcp"), dial(t, s, "udp")
	whole.online(h)
	inParts.online(h)
	c, stop := attempt(s, delivery("o1", long(40)))
	whole.reply(whole.mustRead(), "200 OK")
	if got := await(t, c); got.err != nil {
		t.Fatal(got.err)
	}
	stop()
	for _, want := range []string{"1/4", "2/4", "3/4", "4/4"} {
		req := inParts.mustRead()
		if number, _ := partOf(t, req); number != want {
			t.Errorf("part %s comes; want %s", number, want)
		}
		inParts.reply(req, "200 OK")
	}
}

// A phone that goes away amid a text gets the rest when it is back, wherever it
// is then.
func TestPartsGoOnWhereThePhoneIsBack(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	before, after := dial(t, s, "udp"), dial(t, s, "udp")
	come := func(p *probe) {
		if res := p.register("bob", "builder", "<sip:bob@"+p.local()+`>;+sip.instance="<urn:uuid:0>"`, "600"); code(res) != "200" {
			t.Fatal(res)
		}
	}
	come(before)
	d := delivery("o1", long(40))
	c := deliver(s, d)
	text := ""
	get := func(p *probe, want, status string) {
		t.Helper()
		req := p.mustRead()
		number, part := partOf(t, req)
		if number != want {
			t.Fatalf("part %s comes; want %s", number, want)
		}
		if status == "200 OK" {
			text += part
		}
		p.reply(req, status)
	}
	get(before, "1/4", "200 OK")
	get(before, "2/4", "408 Request Timeout") // what a proxy says that does not find it
	if got := await(t, c); !untilWoken(got.err) {
		t.Fatalf("away: %v", got.err)
	}
	if got := await(t, deliver(s, d)); !untilWoken(got.err) {
		t.Fatalf("still away: %v", got.err)
	}
	come(after)
	d.Attempt = 2
	c = deliver(s, d)
	for _, want := range []string{"2/4", "3/4", "4/4"} {
		get(after, want, "200 OK")
	}
	if got := await(t, c); got.err != nil || text != string(d.Data) {
		t.Errorf("%v, together %q", got.err, text)
	}
}

// A part in a refused form is the last one in it.
func TestAPartInARefusedForm(t *testing.T) {
	f := newFar(t, "tcp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("tcp")}})
	d := by("o1")
	d.Data = []byte(long(30))
	c := deliver(s, d)
	got := f.next()
	if number, _ := partOf(t, got.text); number != "1/3" {
		t.Errorf("part %s comes", number)
	}
	got.reply("415 No", "Accept: text/html")
	if r := await(t, c); !event.IsPermanent(r.err) || !strings.Contains(r.err.Error(), "part 1 of 3: it does not take this type") {
		t.Errorf("%v", r.err)
	}
	f.quiet()
	if len(s.parts.all) != 0 {
		t.Errorf("remembered: %v", s.parts.all)
	}
}

// The number of a part makes its request longer, also when its text fills all
// the room that there is: no part comes twice for that.
func TestPartsThatFillTheirRoom(t *testing.T) {
	p, _ := newDevice(t)
	paragraph := strings.Repeat("y", 600) + "\n\n"
	d := delivery("o1", paragraph+strings.Repeat("x", 8000)) // the first part leaves room, the others none
	text, numbers, r := p.parts(deliver(p.s, d))
	if text != string(d.Data) || r.err != nil || len(numbers) < 10 {
		t.Errorf("%v, %d bytes of %d", r.err, len(text), len(d.Data))
	}
	for i, n := range numbers {
		if want := fmt.Sprintf("%d/%d", i+1, len(numbers)); n != want {
			t.Errorf("part %s comes; want %s", n, want)
		}
	}
}

// When a way becomes narrower amid a text, what is left of it is divided anew.
func TestPartsWhenAWayBecomesNarrower(t *testing.T) {
	var e Edge
	e.log = slog.New(slog.DiscardHandler)
	room, came := 500, ""
	send := func(d event.Delivery, part string) (event.Receipt, error) {
		if len(d.Data)+len(part) > room {
			return event.Receipt{}, event.Permanent(tooLarge{"too large", room - len(part)})
		}
		_, words, _ := strings.Cut(string(d.Data), ") ")
		came += words
		room = 300
		return event.Receipt{State: event.Delivered}, nil
	}
	d := delivery("o1", long(40))
	r, err := e.inParts(text{d, "phone", func() bool { return false }, send})
	if err != nil || r.State != event.Delivered || came != string(d.Data) {
		t.Errorf("%v %v: %d bytes of %d arrive", r, err, len(came), len(d.Data))
	}
}

// Only so much progress is remembered: what is under way rather than what has
// arrived, the latest rather than the oldest.
func TestProgressIsBounded(t *testing.T) {
	var p progress
	at := time.Now()
	for i := range maxProgress {
		at = at.Add(time.Millisecond)
		p.set(fmt.Sprint(i), arrived{room: 1, done: i%2 == 1, at: at})
	}
	p.set("0", arrived{room: 1, parts: 2, at: at.Add(time.Millisecond)}) // no other makes room for one that is there
	p.set("new", arrived{room: 1, at: at})
	if len(p.all) != maxProgress || p.of("1").room != 0 || p.of("0").parts != 2 || p.of("2").room == 0 || p.of("3").room == 0 || p.of("new").room == 0 {
		t.Errorf("%d remembered", len(p.all))
	}
	p.set("newer", arrived{room: 1, at: at.Add(2 * keepProgress)})
	if len(p.all) != maxProgress/2+2 {
		t.Errorf("%d remembered: what has arrived long ago, too", len(p.all))
	}
	for i := range maxProgress {
		p.set(fmt.Sprint("under way ", i), arrived{room: 1, at: at.Add(3 * keepProgress)})
	}
	if len(p.all) != maxProgress || p.of("2").room != 0 || p.of("under way 0").room == 0 {
		t.Errorf("%d remembered", len(p.all))
	}
}
