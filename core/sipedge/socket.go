package sipedge

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// socket is a listening socket that the library serves until it is closed.
type socket interface {
	serve(srv *sipgo.Server) error
	began() <-chan struct{} // closed when it is read from
	close()
}

// start tells once that the library reads from a socket: only then does it
// know the socket for sending, too.
type start struct {
	once sync.Once
	c    chan struct{}
}

func (s *start) mark()                  { s.once.Do(func() { close(s.c) }) }
func (s *start) began() <-chan struct{} { return s.c }

// maxSources is after how many different sources the library's memory of them
// is emptied. It keeps every source address for as long as it serves a socket.
const maxSources = 1 << 14

// datagrams is a UDP socket. Serving it goes on in rounds: a round that has
// seen too many sources ends, which makes the library forget them.
type datagrams struct {
	start
	conn net.PacketConn
	most int // sources in a round
	stop chan struct{}
	end  sync.Once
}

func newDatagrams(c net.PacketConn, most int) *datagrams {
	return &datagrams{start: start{c: make(chan struct{})}, conn: c, most: most, stop: make(chan struct{})}
}

func (d *datagrams) serve(srv *sipgo.Server) error {
	for {
		r := &round{PacketConn: d.conn, d: d, sources: map[netip.AddrPort]struct{}{}}
		if err := srv.ServeUDP(r); err != nil {
			return err
		}
		if r.err != nil {
			return r.err
		}
		select {
		case <-d.stop:
			return nil
		default:
		}
	}
}

func (d *datagrams) close() { d.end.Do(func() { close(d.stop); d.conn.Close() }) }

// settling is the pause between two rounds. Requests just read look for the
// socket they came by; without it they would be answered from another port.
const settling = 50 * time.Millisecond

// round is the socket for the time of one round.
type round struct {
	net.PacketConn
	d       *datagrams
	sources map[netip.AddrPort]struct{}
	err     error
}

// ReadFrom hides errors that concern one datagram, for the library takes any
// error for the end of the socket.
func (r *round) ReadFrom(b []byte) (int, net.Addr, error) {
	r.d.mark()
	if len(r.sources) >= r.d.most {
		select {
		case <-r.d.stop:
		case <-time.After(settling):
		}
		return 0, nil, net.ErrClosed
	}
	for failures := 0; ; failures++ {
		n, from, err := r.PacketConn.ReadFrom(b)
		if err == nil {
			if a, ok := from.(*net.UDPAddr); ok && looksLikeSIP(b[:n]) {
				r.sources[a.AddrPort()] = struct{}{}
			}
			return n, from, nil
		}
		select {
		case <-r.d.stop:
			return 0, nil, net.ErrClosed
		default:
		}
		if errors.Is(err, net.ErrClosed) || failures == 100 {
			r.err = err
			return 0, nil, net.ErrClosed
		}
	}
}

// streams is a TCP listener that hands every connection to the table of flows.
type streams struct {
	start
	net.Listener
	flows *flows
	stop  chan struct{}
	end   sync.Once
}

func newStreams(l net.Listener, f *flows) *streams {
	return &streams{start: start{c: make(chan struct{})}, Listener: l, flows: f, stop: make(chan struct{})}
}

func (s *streams) serve(srv *sipgo.Server) error {
	err := srv.ServeTCP(s)
	select {
	case <-s.stop:
		return nil
	default:
		return err
	}
}

func (s *streams) close() { s.end.Do(func() { close(s.stop); s.Listener.Close() }) }

// Accept waits out a shortage of file descriptors.
func (s *streams) Accept() (net.Conn, error) {
	s.mark()
	for {
		c, err := s.Listener.Accept()
		if err == nil {
			if f := s.flows.add(c); f != nil {
				return f, nil
			}
			c.Close()
			continue
		}
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ECONNABORTED) {
			return nil, err
		}
		select {
		case <-s.stop:
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// dropJunk drops datagrams that are no SIP before the library remembers their
// source. It never returns an error, which would end the UDP socket.
func dropJunk(p sip.TransportReadProps, data []byte) ([]byte, error) {
	if p.Transport == "UDP" && !looksLikeSIP(data) {
		return nil, nil
	}
	return data, nil
}

// looksLikeSIP tells whether the first line is that of a SIP message of any
// version.
func looksLikeSIP(data []byte) bool {
	line, _, found := bytes.Cut(data, []byte("\r\n"))
	if !found {
		return false
	}
	if i := bytes.LastIndexByte(line, ' '); i > 0 && hasSIP(line[i+1:]) {
		return true
	}
	return hasSIP(line)
}

func hasSIP(b []byte) bool { return len(b) > 4 && strings.EqualFold(string(b[:4]), "SIP/") }
