package sipedge

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// recorder takes the place of a transaction.
type recorder struct {
	sip.ServerTransaction
	responses []*sip.Response
	ended     []sip.FnTxTerminate
}

func (r *recorder) OnTerminate(f sip.FnTxTerminate) bool {
	r.ended = append(r.ended, f)
	return true
}

// Terminate is called when the response is not remembered, and at the end.
func (r *recorder) Terminate() {
	for _, f := range r.ended {
		f("", nil)
	}
	r.ended = nil
}

func (r *recorder) Respond(res *sip.Response) error {
	r.responses = append(r.responses, res)
	return nil
}

// FuzzRequest sends raw bytes through filter, parser and handlers: whatever
// comes, nothing panics, and what is a request gets one readable response.
func FuzzRequest(f *testing.F) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		f.Fatal(err)
	}
	nonce := e.guard.challenge(netip.Addr{}, false)[0]
	p := &probe{t: f, conn: deaf{}}
	for _, d := range []*draft{
		p.message("sip:bob@example.com", "hello"),
		p.message("sip:bob@example.com", "hello").with("Date: Fri, 02 Jan 2026 03:04:05 GMT", "Expires: 300", "Require: a", "e: gzip", "s: x"),
		{method: "REGISTER", uri: "sip:example.com", via: "SIP/2.0/UDP a", from: "<sip:alice@example.com>;tag=1", to: "sip:alice@example.com", callID: "a", cseq: "1 REGISTER", hops: "70",
			more: []string{"Contact: <sip:a@b>;expires=60;+sip.instance=\"<u>\", *", "m: <sip:c@d"}},
		{method: "OPTIONS", uri: "sip:example.com", via: "SIP/2.0/TCP [::1]:5060;received=x", from: "f;tag=", to: "*", callID: "a", cseq: "1", hops: "-1"},
		{method: "ACK", uri: "sips:[", via: "x", cseq: "99999999999 ACK"},
	} {
		f.Add([]byte(d.String()))
		d.auth = login(nonce, "alice", "wonderland", d.method, d.uri, 1)
		f.Add([]byte(d.String()))
	}
	parser := sip.NewParser(sip.WithHeadersParsers(lenientParsers()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, bad := unreadable(data, "192.0.2.1:5060"); bad || !looksLikeSIP(data) {
			return
		}
		head, body, _ := split(data)
		data = append(bytes.Clone(tidy(head)), body...)
		msg, err := parser.ParseSIP(data)
		req, ok := msg.(*sip.Request)
		if err != nil || !ok {
			return
		}
		req.SetTransport("UDP")
		req.SetSource("192.0.2.1:5060")
		var r recorder
		e.serve(req, &r)
		r.Terminate()
		raw, ok := keyOf(data, "192.0.2.1:5060")
		if key, ok2 := repetitionKey(string(req.Method), req.Source(), request{Request: req}.branch()); ok && ok2 && raw != key {
			t.Errorf("the key is %q before, and %q after the library has read it", raw, key)
		}
		if n := e.warden.kept.Load(); n != 0 {
			t.Errorf("%d transactions are in work", n)
		}
		if req.IsAck() {
			return
		}
		if len(r.responses) != 1 || r.responses[0].StatusCode < 200 || r.responses[0].StatusCode == 500 && !strings.Contains(r.responses[0].Reason, "older") {
			t.Fatalf("responses %v", r.responses)
		}
		if line, _, _ := strings.Cut(r.responses[0].String(), "\r\n"); !strings.HasPrefix(line, "SIP/2.0 ") {
			t.Errorf("status line %q", line)
		}
	})
}

// deaf stands for a socket that drafts are made for but never sent on.
type deaf struct{ net.Conn }

func (deaf) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060} }

func TestHandlerPanicIsAnswered(t *testing.T) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		t.Fatal(err)
	}
	e.host = nil // breaks Check
	p := &probe{t: t, conn: deaf{}}
	d := p.message("sip:bob@example.com", "x")
	d.auth = login(e.guard.challenge(netip.Addr{}, false)[0], "alice", "wonderland", d.method, d.uri, 1)
	msg, err := sip.ParseMessage([]byte(d.String()))
	if err != nil {
		t.Fatal(err)
	}
	req := msg.(*sip.Request)
	req.SetSource("192.0.2.1:5060")
	var r recorder
	e.serve(req, &r)
	if len(r.responses) != 1 || r.responses[0].StatusCode != 500 {
		t.Errorf("responses %v", r.responses)
	}
	if len(e.working) != 0 || len(e.inWork.all) != 0 {
		t.Error("the request is still in work")
	}
}

func TestLooksLikeSIP(t *testing.T) {
	for _, tc := range []struct {
		line string
		want bool
	}{
		{"MESSAGE sip:a@b SIP/2.0\r\n", true},
		{"message sip:a@b sip/7.0\r\n", true},
		{"SIP/2.0 200 OK\r\n", true},
		{"MESSAGE sip:a@b SIP/2.0  \r\n", true},
		{"MESSAGE sip:a@b SIP/2.0", false},
		{"GET / HTTP/1.1\r\n", false},
		{"SIP/\r\n", false},
		{"\r\n\r\n", false},
		{"", false},
	} {
		if got := looksLikeSIP([]byte(tc.line)); got != tc.want {
			t.Errorf("%q: %v", tc.line, got)
		}
	}
}

// TestSourcesAreForgotten: a flood of sources, junk or not, leaves no memory
// behind, and the socket goes on.
func TestSourcesAreForgotten(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.online(h)
	pool := s.ua.TransportLayer().Pool("udp")
	before := pool.Size()
	for range 50 {
		c := dial(t, s, "udp")
		c.send("junk")
		c.send("GET sip: HTTP/1.1\r\n\r\n")
	}
	if res := p.ask(p.message("sip:bob@example.com", "x").String()); code(res) != "401" {
		t.Fatalf("got %s", res)
	}
	if got := pool.Size(); got != before {
		t.Errorf("%d entries after junk; want %d", got, before)
	}
}

// A round of the socket that has seen too many sources ends and another
// begins; nobody notices.
func TestRoundsOfTheSocket(t *testing.T) {
	h := newHost()
	c := config(h)
	c.Listen = c.Listen[:1]
	c.Limits.Sources = 3
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	s := launch(t, e)
	p := dial(t, s, "udp")
	p.online(h)
	for i := range 20 {
		c := dial(t, s, "udp")
		if res := c.ask(c.message("sip:bob@example.com", "x").String()); code(res) != "401" {
			t.Fatalf("%d: got %s", i, res)
		}
	}
	if n := s.ua.TransportLayer().Pool("udp").Size(); n > 8 {
		t.Errorf("%d sources are remembered", n)
	}
	done := deliver(s, delivery("o1", "x"))
	req := p.mustRead()
	p.reply(req, "200 OK")
	if got := await(t, done); got.err != nil {
		t.Error(got.err)
	}
}

// RFC 4475 and beyond: each is answered or dropped, and the edge lives on.
func TestTorture(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	base := dial(t, s, "udp").message("sip:bob@example.com", "x").String()
	for _, network := range []string{"udp", "tcp"} {
		for i, msg := range []string{
			strings.Replace(base, "Content-Length: 1", "Content-Length: -1", 1),
			strings.Replace(base, "Content-Length: 1", "Content-Length: 2147483648", 1),
			strings.Replace(base, "Content-Length: 1", "Content-Length: 99999999999999999999", 1),
			strings.Replace(base, "Content-Length: 1", "Content-Length: 60000", 1),
			strings.Replace(base, "Max-Forwards: 70", strings.Repeat("X: y\r\n", 3000)+"Max-Forwards: 70", 1),
			strings.Replace(base, "CSeq: 1 ", "CSeq: 36893488147419103232 ", 1),
			strings.Replace(base, "Via: SIP/2.0/UDP", "Via: SIP/2.0/", 1),
			strings.Replace(base, "sip:bob@example.com", "sip:bob@[::", 1),
			"MESSAGE sip:bob@example.com SIP/2.0\r\n\r\n",
			"MESSAGE  SIP/2.0\r\n\r\n",
			strings.ReplaceAll(base, "\r\n", "\n"),
			string(bytes.Repeat([]byte{0xff}, 5000)),
		} {
			p := dial(t, s, network)
			p.send(msg)
			p.read(20 * time.Millisecond)
			if res := dial(t, s, network).ask(strings.Replace(base, "z9hG4bK", fmt.Sprint("z9hG4bK", network, i), 1)); code(res) != "401" {
				t.Fatalf("after %.60q: got %s", msg, res)
			}
		}
	}
}
