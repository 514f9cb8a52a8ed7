package sipedge

import (
	"bufio"
	"bytes"
	"fmt"
	"github.com/emiago/sipgo/sip"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// streamed runs a test over TCP and TLS.
func streamed(t *testing.T, limits Limits, test func(t *testing.T, s *started, p *probe)) {
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			h := newHost()
			c, trust := everywhere(t, h, "127.0.0.1")
			c.Limits = limits
			c.Limits.Exempt = home
			s := run(t, c, h)
			test(t, s, phone(t, s, network, trust))
		})
	}
}

// S17
func TestSplitAnywhere(t *testing.T) {
	streamed(t, Limits{}, func(t *testing.T, _ *started, p *probe) {
		for _, b := range []byte("\r\n" + p.message("sip:bob@example.com", "byte by byte").String()) {
			p.send(string(b))
		}
		if res := p.mustRead(); code(res) != "401" {
			t.Errorf("got %s", res)
		}
		var three strings.Builder
		for range 3 {
			three.WriteString(p.message("sip:bob@example.com", "one of three").String())
		}
		p.send(three.String())
		for range 3 {
			if res := p.mustRead(); code(res) != "401" {
				t.Errorf("got %s", res)
			}
		}
	})
}

// S17: where nobody can tell the end of a message it is answered, and the
// connection is over.
func TestLyingContentLength(t *testing.T) {
	for _, tc := range []struct{ name, instead, want string }{
		{"missing", "", "400"},
		{"negative", "Content-Length: -1\r\n", "400"},
		{"no number", "Content-Length: five\r\n", "400"},
		{"empty", "Content-Length:\r\n", "400"},
		{"doubled", "Content-Length: 5\r\nl: 5\r\n", "400"},
		{"folded, and doubled", "Content-Length:\r\n 5\r\nContent-Length : 7\r\n", "400"},
		{"larger than is taken", "Content-Length: 300000\r\n", "413"},
		{"beyond all numbers", "Content-Length: 99999999999999999999\r\n", "413"},
		{"header too large", "X: " + strings.Repeat("x", 70000) + "\r\nContent-Length: 5\r\n", "513"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			streamed(t, Limits{}, func(t *testing.T, s *started, p *probe) {
				p.send(strings.Replace(p.message("sip:bob@example.com", "hello").String(), "Content-Length: 5\r\n", tc.instead, 1))
				res := p.mustRead()
				if code(res) != tc.want || header1(res, "CSeq") != "1 MESSAGE" || !strings.Contains(header1(res, "To"), ";tag=") {
					t.Errorf("got %s", res)
				}
				p.closed()
				p.conn.Close()
				soon(t, func() bool { return s.Stats() == Stats{Malformed: 1} })
			})
		})
	}
}

// A folded length, under its short name, is one.
func TestContentLengthInOtherWords(t *testing.T) {
	streamed(t, Limits{}, func(t *testing.T, _ *started, p *probe) {
		for _, l := range []string{"l: 5", "CONTENT-LENGTH \t:  5 ", "Content-Length:\r\n\t5", "L:005"} {
			p.send(strings.Replace(p.message("sip:bob@example.com", "hello").String(), "Content-Length: 5", l, 1))
			if res := p.mustRead(); code(res) != "401" {
				t.Errorf("%q: got %s", l, res)
			}
		}
	})
}

// T06
func TestPing(t *testing.T) {
	streamed(t, Limits{}, func(t *testing.T, _ *started, p *probe) {
		pong := func() {
			t.Helper()
			var b [2]byte
			p.conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.ReadFull(p.r, b[:]); err != nil || string(b[:]) != "\r\n" {
				t.Fatalf("got %q %v", b, err)
			}
		}
		p.send("\r\n\r\n")
		pong()
		for _, c := range "\r\n\r\n" {
			p.send(string(c))
		}
		pong()
		p.send("\r\n\r\n" + p.message("sip:bob@example.com", "x").String())
		pong()
		if res := p.mustRead(); code(res) != "401" {
			t.Errorf("got %s", res)
		}
		p.send("\r\n\r\n")
		pong()
	})
}

// Whoever begins and does not end, or says nothing, is not waited for.
func TestSlowPeersAreCutOff(t *testing.T) {
	short := 100 * time.Millisecond
	for _, tc := range []struct {
		name   string
		limits Limits
		words  func(p *probe)
		want   Stats
	}{
		{"nothing at all", Limits{Header: short}, func(*probe) {}, Stats{Idle: 1}},
		{"half a header", Limits{Header: short}, func(p *probe) { p.send("MESSAGE sip:bob@example.com SIP/2.0\r\nVia:") }, Stats{Slow: 1}},
		{"half a body", Limits{Header: short}, func(p *probe) { d := p.message("sip:bob@example.com", "x").String(); p.send(d[:len(d)-1]) }, Stats{Slow: 1}},
		{"nothing more", Limits{Idle: short}, func(p *probe) { p.challenge() }, Stats{Idle: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			streamed(t, tc.limits, func(t *testing.T, s *started, p *probe) {
				if c, ok := p.conn.(as); ok && c.network == "tls" {
					c.Conn.(interface{ Handshake() error }).Handshake()
				}
				tc.words(p)
				p.closed()
				soon(t, func() bool { return s.Stats() == tc.want })
			})
		})
	}
}

// The same of a WebSocket.
func TestSlowWebSocketsAreCutOff(t *testing.T) {
	short := 100 * time.Millisecond
	for _, tc := range []struct {
		name   string
		limits Limits
		words  string
		want   Stats
	}{
		{"nothing at all", Limits{Header: short}, "", Stats{Idle: 1}},
		{"nothing more", Limits{Idle: short}, "\r\n", Stats{Idle: 1}},
		{"half a message", Limits{Header: short}, strings.Repeat("half", 5000), Stats{Slow: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost()
			c, _ := everywhere(t, h, "127.0.0.1")
			c.Limits = tc.limits
			c.Limits.Exempt = home
			s := run(t, c, h)
			w, _, err := dialWS(t, "ws://"+s.at(t, "ws"), nil, nil, "sip")
			if err != nil {
				t.Fatal(err)
			}
			if tc.words != "" {
				m, err := w.Writer(t.Context(), websocket.MessageText)
				if err != nil {
					t.Fatal(err)
				}
				m.Write([]byte(tc.words)) // a frame that is not the last
				if tc.want.Slow == 0 {
					m.Close()
				}
			}
			if _, _, err := w.Read(t.Context()); err == nil {
				t.Error("something comes")
			}
			soon(t, func() bool { return s.Stats() == tc.want })
		})
	}
}

// A peer that does not read what we write is cut off.
func TestStuckPeerIsCutOff(t *testing.T) {
	streamed(t, Limits{Write: 100 * time.Millisecond}, func(t *testing.T, s *started, p *probe) {
		d := p.message("sip:example.com", "")
		d.method, d.cseq = "OPTIONS", "1 OPTIONS"
		d.with("Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK" + strings.Repeat("x", 20000)) // it comes back
		many := strings.Repeat(d.String(), 10)
		for err := error(nil); err == nil; {
			p.conn.SetWriteDeadline(time.Now().Add(patience))
			_, err = io.WriteString(p.conn, many)
		}
		soon(t, func() bool { return s.Stats() == Stats{Stuck: 1} })
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	for _, limits := range []Limits{{PerSource: 2}, {Connections: 2}} {
		streamed(t, limits, func(t *testing.T, s *started, first *probe) {
			first.challenge()
			second := dialAt(t, s.at(t, "tcp"))
			second.challenge()
			dialAt(t, s.at(t, "tcp")).closed()
			if got, want := s.Stats(), (Stats{Open: 2, TooMany: 1}); got != want {
				t.Errorf("got %+v; want %+v", got, want)
			}
			second.conn.Close()
			soon(t, func() bool { return s.Stats().Open == 1 })
			dialAt(t, s.at(t, "tcp")).challenge()
		})
	}
}

func dialAt(t testing.TB, addr string) *probe {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &probe{t: t, conn: c, r: bufio.NewReader(c)}
}

// ends is a connection between two addresses.
type ends struct {
	net.Conn
	local, remote string
	closed        bool
}

func (e *ends) LocalAddr() net.Addr  { return as{network: "tcp", addr: e.local} }
func (e *ends) RemoteAddr() net.Addr { return as{network: "tcp", addr: e.remote} }
func (e *ends) Close() error         { e.closed = true; return nil }

// The library knows a connection by its far end only, so there is one of each.
func TestOneFlowForAFarEnd(t *testing.T) {
	table := newFlows(testWarden())
	phone := &ends{local: "192.0.2.1:5060", remote: "198.51.100.7:4000"}
	first := table.add(phone, "tcp")
	if first == nil {
		t.Fatal("refused")
	}
	if table.add(&ends{local: "192.0.2.1:5061", remote: phone.remote}, "tls") != nil {
		t.Error("another listener takes a connection of the same far end")
	}
	again := table.add(&ends{local: phone.local, remote: phone.remote}, "tcp")
	if again == nil || !phone.closed || !first.dead.Load() || again.dead.Load() {
		t.Error("the same connection anew does not take the place of the old one")
	}
	first.Close()
	if table.open() != 1 || len(table.sources) != 1 {
		t.Errorf("%d flows of %d sources", table.open(), len(table.sources))
	}
	again.Close()
	if table.open() != 0 || len(table.sources) != 0 {
		t.Errorf("%d flows of %d sources are left", table.open(), len(table.sources))
	}
}

func TestSourceOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:5060": "192.0.2.1/32", "[::ffff:192.0.2.1]:5060": "192.0.2.1/32", "[2001:db8::1:2:3:4]:5060": "2001:db8::/64", "[fe80::1%eth0]:5060": "fe80::/64",
	} {
		if got := sourceOf(addressOf(addr)).String(); got != want {
			t.Errorf("%s: got %s; want %s", addr, got, want)
		}
	}
}

// S17
func TestDatagramLengths(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		h := newHost()
		c, _ := everywhere(t, h, host)
		s := run(t, c, h)
		p := phone(t, s, "udp", nil)
		for _, tc := range []struct{ length, want string }{
			{"Content-Length: 6", "400"}, {"Content-Length: -1", "400"}, {"Content-Length: 99999999999999999999", "400"}, {"l: 5\r\nl: 6", "400"},
			{"Content-Length: 4", "401"}, {"X: no length at all", "401"},
		} {
			res := p.ask(strings.Replace(p.message("sip:bob@example.com", "hello").String(), "Content-Length: 5", tc.length, 1))
			if code(res) != tc.want || !strings.Contains(header1(res, "Via"), "received="+host) {
				t.Errorf("%s: got %s", tc.length, res)
			}
		}
		if got := s.Stats(); got.Malformed != 4 {
			t.Errorf("%+v", got)
		}
		d := p.message("sip:bob@example.com", "hello and more")
		d.auth = login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1)
		if res := p.ask(strings.Replace(d.String(), "Content-Length: 14", "Content-Length: 5", 1)); code(res) != "202" {
			t.Fatalf("got %s", res)
		}
		if got := h.stored(); len(got) != 1 || string(got[0].Data) != "hello" {
			t.Errorf("stored %+v", got)
		}
	}
}

// The answer to a short datagram goes to the port of the Via when it does not
// ask for another (RFC 3261, section 18.2.2).
func TestRefusedDatagramIsAnsweredAtItsVia(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	sender, named := dial(t, s, "udp"), dial(t, s, "udp")
	d := sender.message("sip:bob@example.com", "hello")
	d.via = "SIP/2.0/UDP " + named.local() + ";branch=z9hG4bKshort"
	sender.send(strings.Replace(d.String(), "Content-Length: 5", "Content-Length: 50", 1))
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d.via = "SIP/2.0/UDP " + c.LocalAddr().String() + ";branch=z9hG4bKshort"
	sender.send(strings.Replace(d.String(), "Content-Length: 5", "Content-Length: 50", 1))
	var b [4096]byte
	c.SetReadDeadline(time.Now().Add(patience))
	if n, _, err := c.ReadFrom(b[:]); err != nil || code(string(b[:n])) != "400" {
		t.Errorf("got %q %v", b[:n], err)
	}
}

// The largest datagrams come in, and answers as large go out. S18 S19
func TestLargeDatagrams(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	d := p.message("sip:bob@example.com", strings.Repeat("x", 60000)).with("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK" + strings.Repeat("y", 3000))
	d.auth = login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1)
	more := 65507 - len(d.String())
	d.with("X: " + strings.Repeat("z", more-5))
	if n := len(d.String()); n != 65507 {
		t.Fatalf("%d bytes", n)
	}
	res := p.ask(d.String())
	if code(res) != "202" || len(res) < 3000 {
		t.Errorf("got %d bytes: %.200s", len(res), res)
	}
	if got := h.stored(); len(got) != 1 || len(got[0].Data) != 60000 {
		t.Errorf("stored %d", len(got))
	}
}

// FuzzFrame: whatever comes, it is a message or refused, on a stream, a
// WebSocket and in a datagram.
func FuzzFrame(f *testing.F) {
	p := &probe{t: f, conn: deaf{}}
	for i, d := range []*draft{p.message("sip:bob@example.com", "hello"), p.message("sip:bob@example.com", "")} {
		f.Add([]byte(d.String()))
		f.Add([]byte("\r\n\r\n" + strings.Replace(d.String(), "Content-Length: ", fmt.Sprintf("l:\r\n %d", i), 1)))
		f.Add([]byte(strings.Replace(d.String(), "Content-Length: ", "Content-Length: -", 1)))
	}
	f.Add([]byte("OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP [::1;rport\r\nl: 9\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if res, bad := unreadable(data, "192.0.2.1:5060"); bad && res != nil {
			if returnAddress(&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}, res.Via()).Port == 0 {
				t.Error("an answer to port 0")
			}
		}
		table := newFlows(testWarden())
		conn := &canned{Reader: bytes.NewReader(data)}
		s := newStream(table.add(conn, "tcp"), conn)
		s.f.speak(s)
		for {
			msg, err := s.next()
			if err != nil {
				break
			}
			checkWhole(t, msg)
		}
		w := &webSocket{f: s.f, conn: conn}
		w.f.dead.Store(true)
		if msg, err := w.whole(data); err == nil && msg != nil {
			checkWhole(t, msg)
		}
	})
}

var fuzzParser = sip.NewParser(sip.WithHeadersParsers(lenientParsers()))

func testWarden() *warden {
	w := newWarden(slog.New(slog.DiscardHandler), func(netip.Addr) bool { return false })
	_ = w.set(Limits{})
	return w
}

func checkWhole(t *testing.T, msg []byte) {
	t.Helper()
	head, body, ok := split(msg)
	if n, wrong := bodyLength(head); !ok || wrong != "" || n != len(body) {
		t.Fatalf("not one message: %q", msg)
	}
	if looksLikeSIP(head) && !hasSIP(head) && flaw(head).code == 0 {
		if _, _, err := fuzzParser.Parse(msg, false); err != nil {
			t.Fatalf("nothing is wrong with what the library can't read: %v: %q", err, msg)
		}
	}
}

// canned is a connection of what is known.
type canned struct {
	ends
	io.Reader
}

func (c *canned) RemoteAddr() net.Addr             { return as{addr: "192.0.2.1:5060"} }
func (c *canned) Read(b []byte) (int, error)       { return c.Reader.Read(b) }
func (c *canned) Write(b []byte) (int, error)      { return len(b), nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
