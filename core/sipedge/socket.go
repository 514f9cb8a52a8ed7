package sipedge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emiago/sipgo"
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

// datagrams is a UDP socket. The library remembers every source address for as
// long as it serves a socket, so serving goes on in rounds: one that has seen
// too many sources ends, which makes the library forget them.
type datagrams struct {
	start
	conn    net.PacketConn
	warden  *warden
	repeats *repeats
	stop    chan struct{}
	end     sync.Once
}

func newDatagrams(c net.PacketConn, w *warden, r *repeats) *datagrams {
	return &datagrams{start: start{c: make(chan struct{})}, conn: c, warden: w, repeats: r, stop: make(chan struct{})}
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
	if len(r.sources) >= r.d.warden.limits().Sources {
		select {
		case <-r.d.stop:
		case <-time.After(settling):
		}
		return 0, nil, net.ErrClosed
	}
	for failures := 0; ; failures++ {
		n, from, err := r.PacketConn.ReadFrom(b)
		if err == nil {
			a, ok := from.(*net.UDPAddr)
			if failures = 0; !ok {
				continue
			}
			if n = r.fit(b, n, a); n > 0 {
				r.sources[a.AddrPort()] = struct{}{}
				return n, from, nil
			}
			continue
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

// fit returns the length of a datagram that the library can read, 0 for another.
func (r *round) fit(b []byte, n int, from *net.UDPAddr) (length int) {
	defer r.d.warden.survive("a datagram", func() { length = 0 })
	if r.refused(b[:n], from) {
		return 0
	}
	n = tidyDatagram(b, n)
	if r.repeated(b[:n], from) {
		return 0
	}
	return n
}

// repeated answers a request that was answered a short time ago with the same
// answer.
func (r *round) repeated(data []byte, from *net.UDPAddr) bool {
	key, ok := keyOf(data, from.String())
	if !ok {
		return false
	}
	a, ok := r.d.repeats.get(key, r.d.warden.now())
	if ok && r.d.warden.request(from.AddrPort().Addr().Unmap().WithZone("")).code == 0 {
		_, _ = r.WriteTo([]byte(a.text), net.UDPAddrFromAddrPort(a.to))
	}
	return ok
}

// tidyDatagram rewrites a datagram in its place and returns its new length.
func tidyDatagram(b []byte, n int) int {
	head, body, _ := split(b[:n])
	neat := tidy(head)
	if len(neat) >= len(head) {
		return n
	}
	return copy(b, append(neat, body...))
}

// refused drops a datagram that is no SIP or comes from where nothing is taken,
// before the library remembers its source, and answers one that the library
// would drop. More answers than requests are allowed nobody gets.
func (r *round) refused(data []byte, from *net.UDPAddr) bool {
	source := from.AddrPort().Addr().Unmap().WithZone("")
	if !looksLikeSIP(data) || r.d.warden.shuns(source) {
		return true
	}
	res, bad := unreadable(data, from.String())
	if !bad {
		return false
	}
	r.d.warden.count.malformed.Add(1)
	if res != nil && r.d.warden.request(source).code == 0 {
		_, _ = r.WriteTo([]byte(res.String()), returnAddress(from, res.Via()))
	}
	return true
}

// streams is a listener of connections. It hands those that are ready to the
// library; a handshake that takes its time keeps nobody waiting.
type streams struct {
	start
	net.Listener
	network  string
	flows    *flows
	door     *door
	ready    chan *flow
	stop     chan struct{}
	end      sync.Once
	ended    chan struct{} // closed when nothing is accepted any more
	err      error         // why
	greeting sync.WaitGroup
}

func newStreams(l net.Listener, network string, f *flows, d *door) *streams {
	return &streams{
		start: start{c: make(chan struct{})}, Listener: l, network: network, flows: f, door: d,
		ready: make(chan *flow), stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (s *streams) serve(srv *sipgo.Server) error {
	go s.accept()
	err := srv.ServeTCP(s)
	<-s.ended
	s.greeting.Wait()
	select {
	case <-s.stop:
		return nil
	default:
		return err
	}
}

func (s *streams) close() { s.end.Do(func() { close(s.stop); s.Listener.Close() }) }

// Accept returns the next connection on which SIP is spoken.
func (s *streams) Accept() (net.Conn, error) {
	s.mark()
	select {
	case f := <-s.ready:
		return f, nil
	case <-s.ended:
		return nil, s.err
	}
}

// accept waits out a shortage of file descriptors.
func (s *streams) accept() {
	defer close(s.ended)
	for {
		c, err := s.Listener.Accept()
		if err == nil {
			if f := s.flows.add(c, s.network); f != nil {
				s.greeting.Go(func() { s.greet(f) })
			} else {
				c.Close()
			}
			continue
		}
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ECONNABORTED) {
			s.err = err
			return
		}
		select {
		case <-s.stop:
			s.err = err
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// greet makes a connection ready and hands it over, or closes it.
func (s *streams) greet(f *flow) {
	f.Conn.SetDeadline(time.Now().Add(s.flows.warden.limits().Handshake))
	w, err := s.handshake(f)
	if err != nil {
		s.flows.warden.count.handshakes.Add(1)
		f.Close()
		return
	}
	f.Conn.SetDeadline(time.Time{})
	f.speak(w)
	select {
	case s.ready <- f:
	case <-s.stop:
		f.Close()
	}
}

func (s *streams) handshake(f *flow) (wire, error) {
	conn := f.Conn
	if s.network == "tls" || s.network == "wss" {
		c := tls.Server(f.Conn, s.door.server())
		if err := c.Handshake(); err != nil {
			return nil, err
		}
		conn = c
		if shown := c.ConnectionState().VerifiedChains; len(shown) > 0 {
			f.peer = shown[0][0]
		}
	}
	if s.network == "tcp" || s.network == "tls" {
		return newStream(f, conn), nil
	}
	return upgrade(f, conn, *s.door.origins.Load())
}

// looksLikeSIP tells whether the first line is that of a SIP message of any
// version.
func looksLikeSIP(data []byte) bool {
	line, _, found := bytes.Cut(data, []byte("\r\n"))
	if !found {
		return false
	}
	i := bytes.LastIndex(bytes.ToUpper(line), []byte(" SIP/"))
	return i > 0 || hasSIP(line)
}

func hasSIP(b []byte) bool { return len(b) > 4 && strings.EqualFold(string(b[:4]), "SIP/") }
