package sipedge

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// far is a SIP server that is none of ours: it does with each request what the
// test says.
type far struct {
	t     testing.TB
	addr  string
	heard chan heard

	answered chan string // what came that is no request, over a stream
}

// heard is a request that came to a far server.
type heard struct {
	text  string
	write func(string)
	close func() // the connection
}

func (h heard) reply(status string, more ...string) { h.write(answering(h.text, status, more...)) }

// newFar listens on network "udp", "tcp" or "tls"; addr is that of an earlier
// one, or empty.
func newFar(t testing.TB, network, addr string, config *tls.Config) *far {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	f := &far{t: t, heard: make(chan heard, 20000), answered: make(chan string, 100)}
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.UDPConn).SetReadBuffer(udpBuffer)
		f.addr = c.LocalAddr().String()
		t.Cleanup(func() { c.Close() })
		go f.datagrams(c)
		return f
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	if network == "tls" {
		l = tls.NewListener(l, config)
	}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			go f.stream(c)
		}
	}()
	return f
}

func (f *far) datagrams(c net.PacketConn) {
	b := make([]byte, 70000)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if text := string(b[:n]); strings.Contains(text, " SIP/2.0\r\n") {
			f.heard <- heard{text, func(s string) { c.WriteTo([]byte(s), from) }, func() {}}
		}
	}
}

func (f *far) stream(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		var msg strings.Builder
		length := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			msg.WriteString(line)
			if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
			if line == "\r\n" {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if strings.HasPrefix(msg.String(), "SIP/2.0 ") {
			f.answered <- msg.String()
			continue
		}
		f.heard <- heard{msg.String() + string(body), func(s string) { io.WriteString(c, s) }, func() { c.Close() }}
	}
}

// next returns the next request.
func (f *far) next() heard {
	f.t.Helper()
	select {
	case h := <-f.heard:
		return h
	case <-time.After(patience):
		f.t.Fatal("nothing comes to " + f.addr)
		panic("unreachable")
	}
}

// quiet says that nothing has come.
func (f *far) quiet() {
	f.t.Helper()
	select {
	case h := <-f.heard:
		f.t.Errorf("this came to %s:\n%s", f.addr, h.text)
	default:
	}
}

func (f *far) port() string { _, p, _ := net.SplitHostPort(f.addr); return p }

// answers has all further requests answered.
func (f *far) answers(status string, more ...string) {
	go func() {
		for h := range f.heard {
			h.reply(status, more...)
		}
	}()
}
