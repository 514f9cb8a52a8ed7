package sipedge

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A08: who writes slowly, half or not at all has a time, and everybody else is
// served meanwhile.
func TestHostileConnections(t *testing.T) {
	h := newHost()
	c := config(h)
	c.Limits.Header = 300 * time.Millisecond
	s := run(t, c, h)
	good := dial(t, s, "tcp")
	good.served(t)
	before := runtime.NumGoroutine()
	for _, tc := range []struct {
		name, want string
		write      func(p *probe, msg string)
	}{
		{"nothing", "end", func(*probe, string) {}},
		{"line ends only", "end", func(p *probe, _ string) { p.drip(strings.Repeat("\r\n", 1000)) }},
		{"a byte now and then", "end", func(p *probe, msg string) { p.drip(msg) }},
		{"a header line now and then", "end", func(p *probe, _ string) {
			p.drip(strings.SplitAfter("OPTIONS sip:example.com SIP/2.0\r\n"+strings.Repeat("X: y\r\n", 1000), "\r\n")...)
		}},
		{"a continuation now and then", "end", func(p *probe, msg string) {
			p.drip(strings.SplitAfter("OPTIONS sip:example.com SIP/2.0\r\nX: y\r\n"+strings.Repeat(" z\r\n", 1000), "\r\n")...)
		}},
		{"a body now and then", "end", func(p *probe, msg string) {
			p.send(strings.Replace(strings.TrimSuffix(msg, "hello"), "Content-Length: 5", "Content-Length: 5000", 1))
			p.drip(strings.Repeat("x", 1000))
		}},
		{"a length of all we take, and nothing", "end", func(p *probe, msg string) {
			p.send(strings.Replace(msg, "Content-Length: 5", "Content-Length: 65536", 1))
		}},
		{"a header without end", "513 end", func(p *probe, msg string) {
			p.send(strings.TrimSuffix(msg, "\r\n\r\nhello") + "\r\n" + strings.Repeat("X: y\r\n", 20000))
		}},
		{"half a header, and the end", "end", func(p *probe, msg string) { p.send(msg[:len(msg)/2]); p.half() }},
		{"half a body, and the end", "end", func(p *probe, msg string) { p.send(strings.TrimSuffix(msg, "lo")); p.half() }},
		{"a request, and the end of what is written", "401 end", func(p *probe, msg string) { p.send(msg); p.half() }},
		{"half a header, and a reset", "gone", func(p *probe, msg string) { p.send(msg[:len(msg)/2]); p.reset() }},
		{"a request, and a reset", "gone", func(p *probe, msg string) { p.send(msg); p.reset() }},
		{"many requests, and a reset", "gone", func(p *probe, msg string) { p.send(strings.Repeat(msg, 500)); p.reset() }},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			p := dial(t, s, "tcp")
			tc.write(p, p.message("sip:bob@example.com", "hello").String())
			good.served(t)
			codes, _ := strings.CutSuffix(tc.want, "end")
			if tc.want == "gone" {
				return
			}
			if codes != "" {
				if why := unlike(p.mustRead(), codes); why != "" {
					t.Error(why)
				}
			}
			p.closed()
			p.conn.Close()
		})
	}
	soon(t, func() bool { return s.Stats().Open == 1 })
	soon(t, func() bool { return runtime.NumGoroutine() <= before })
	good.served(t)
}

// drip writes parts of a message a few milliseconds apart until the far end has
// had enough.
func (p *probe) drip(parts ...string) {
	if len(parts) == 1 {
		parts = strings.Split(parts[0], "")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, p.conn)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		select {
		case <-ended:
			return
		case <-late:
			p.t.Error("there is no end to it")
			p.conn.Close()
			<-ended
			return
		case <-tick.C:
			if len(parts) > 0 {
				_, _ = io.WriteString(p.conn, parts[0])
				parts = parts[1:]
			}
		}
	}
}

// half says that nothing more is written.
func (p *probe) half() { p.conn.(*net.TCPConn).CloseWrite() }

// reset ends a connection without a word.
func (p *probe) reset() {
	p.conn.(*net.TCPConn).SetLinger(0)
	p.conn.Close()
}

// A08: what many strangers leave behind is nothing.
func TestHostileCrowdLeavesNothing(t *testing.T) {
	h := newHost()
	c := config(h)
	c.Limits.Header = time.Second
	s := run(t, c, h)
	good := dial(t, s, "tcp")
	good.served(t)
	goroutines, memory := runtime.NumGoroutine(), heap()
	var crowd []*probe
	for _, half := range []string{"", "\r\n", "MESSAGE sip:bob@example.com SIP/2.0\r\nX: " + strings.Repeat("x", 50000)} {
		for range 100 {
			p := dial(t, s, "tcp")
			p.send(half)
			crowd = append(crowd, p)
		}
	}
	good.served(t)
	for i, p := range crowd {
		if i%2 == 0 {
			p.reset()
		} else {
			p.closed()
			p.conn.Close()
		}
	}
	soon(t, func() bool { return s.Stats().Open == 1 })
	soon(t, func() bool { return runtime.NumGoroutine() <= goroutines })
	soon(t, func() bool { return heap() < memory+4<<20 })
	good.served(t)
}

// heap returns the bytes in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A08: who speaks something else than is spoken there is not waited for.
func TestHostileTongues(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	c.Limits.Header, c.Limits.Handshake = 300*time.Millisecond, 300*time.Millisecond
	s := run(t, c, h)
	good := phone(t, s, "tls", trust)
	good.served(t)
	sip := good.message("sip:bob@example.com", "hello").String()
	hello := "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"
	for _, tc := range []struct{ network, words string }{
		{"tcp", hello}, {"tcp", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, {"tcp", strings.Repeat("\x00", 100000)},
		{"tls", sip}, {"tls", "GET / HTTP/1.1\r\n\r\n"}, {"tls", hello + strings.Repeat("\xff", 20000)},
		{"ws", sip}, {"ws", hello}, {"ws", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"},
		{"ws", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 5000)},
		{"wss", sip}, {"wss", hello},
	} {
		p := dialAt(t, s.at(t, tc.network))
		_, _ = io.WriteString(p.conn, tc.words) // it may be refused before it has gone
		p.closed()
		p.conn.Close()
		good.served(t)
	}
	forgotten(t, s)
}
