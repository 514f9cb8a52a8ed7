// Package dnstest is a DNS server for tests, with the records they give it.
package dnstest

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server answers over UDP and TCP until the test ends. Its methods may be
// called from several goroutines.
type Server struct {
	Address string // host:port

	t       testing.TB
	mu      sync.Mutex
	records []dns.RR
	asked   []string
	rcode   map[uint16]int
}

// New starts a server with records as in a zone file whose origin is
// example.com and whose TTL is a minute.
func New(t testing.TB, records string) *Server {
	t.Helper()
	s := &Server{t: t, rcode: map[uint16]int{}}
	s.Set(records)
	c, l := listen(t)
	s.Address = c.LocalAddr().String()
	s.serve(&dns.Server{PacketConn: c, Handler: dns.HandlerFunc(s.reply)})
	s.serve(&dns.Server{Listener: l, Handler: dns.HandlerFunc(s.reply)})
	return s
}

// listen takes a port that is free for both.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l, err := net.Listen("tcp", c.LocalAddr().String()); err == nil {
			return c, l
		}
		c.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func (s *Server) serve(d *dns.Server) {
	began := make(chan struct{})
	d.NotifyStartedFunc = func() { close(began) }
	go d.ActivateAndServe()
	<-began
	s.t.Cleanup(func() { d.Shutdown() })
}

// Set replaces the records.
func (s *Server) Set(records string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = nil
	p := dns.NewZoneParser(strings.NewReader("$ORIGIN example.com.\n$TTL 60\n"+records), "", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		s.records = append(s.records, rr)
	}
	if err := p.Err(); err != nil {
		s.t.Fatal(err)
	}
}

// Refuse has questions of these types answered with a code, and all others as
// they should be.
func (s *Server) Refuse(code int, types ...uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rcode)
	for _, k := range types {
		s.rcode[k] = code
	}
}

// Questions returns what was asked so far, "name type" each.
func (s *Server) Questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Server) reply(w dns.ResponseWriter, m *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := m.Question[0]
	s.asked = append(s.asked, q.Name+" "+dns.TypeToString[q.Qtype])
	out := new(dns.Msg).SetReply(m)
	out.Rcode = s.rcode[q.Qtype]
	for _, rr := range s.records {
		if out.Rcode == 0 && strings.EqualFold(rr.Header().Name, q.Name) && rr.Header().Rrtype == q.Qtype {
			out.Answer = append(out.Answer, rr)
		}
	}
	if _, stream := w.RemoteAddr().(*net.TCPAddr); !stream {
		out.Truncate(1232)
	}
	w.WriteMsg(out)
}
