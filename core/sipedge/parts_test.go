package sipedge

import (
	"fmt"
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
	if len(s.parts.all) != 0 {
		t.Errorf("remembered: %v", s.parts.all)
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
		{"text/plain", "e" + strings.Repeat("\u0301", 2000), "more than 32 parts"}, // one character
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
