package sipedge

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/emiago/sipgo/sip"
)

var errDial = errors.New("a phone's connection is never dialled")

// noDialer makes dialers that refuse: the port at the other end of a closed
// connection may be somebody else's by now.
func noDialer(net.Addr) net.Dialer {
	return net.Dialer{Control: func(string, string, syscall.RawConn) error { return errDial }}
}

// noResolver asks nobody: names such as those of browsers (RFC 7118, section
// 5) exist nowhere.
func noResolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errDial }}
}

// flows is the table of live connections.
type flows struct {
	warden *warden

	mu      sync.Mutex
	live    map[string]*flow     // by the far end, of which the library's table knows one, too
	sources map[netip.Prefix]int // how many of each
	closed  bool
}

func newFlows(w *warden) *flows {
	t := &flows{warden: w, live: map[string]*flow{}, sources: map[netip.Prefix]int{}}
	w.evict = t.evict
	return t
}

// flow is one accepted connection, of TCP, TLS, WS or WSS. Its identity stands
// for it: another connection from the same address is another flow. To the
// library each is a TCP connection on which whole messages come.
type flow struct {
	net.Conn // as accepted
	network  string
	from     netip.Addr
	source   netip.Prefix
	table    *flows

	ready   atomic.Bool       // wire is set
	trunk   string            // to which we opened it; set before it is ready
	peer    *x509.Certificate // verified; set before it is ready
	gone    chan struct{}     // closed when it is dead
	reading start             // the library reads, and knows the connection for sending, too
	wire    wire
	rest    []byte // of the message that is being read

	writing  sync.Mutex
	dead     atomic.Bool
	begun    atomic.Int32  // requests that are not answered yet
	answered chan struct{} // one of them was
}

// add returns nil when there are too many connections, when the source is
// banned, or when there is another one of the same far end at another listener:
// their answers would be mixed up.
func (t *flows) add(c net.Conn, network string) *flow {
	f := &flow{Conn: c, network: network, table: t, reading: start{c: make(chan struct{})}, gone: make(chan struct{}), answered: make(chan struct{}, 1), from: addressOf(c.RemoteAddr().String())}
	f.source = sourceOf(f.from)
	if t.warden.shuns(f.from) {
		return nil
	}
	limits := t.warden.limits()
	t.mu.Lock()
	defer t.mu.Unlock()
	from := c.RemoteAddr().String()
	if old := t.live[from]; old != nil && old.LocalAddr().String() == c.LocalAddr().String() {
		if !old.dead.Swap(true) { // or there could not be another one
			close(old.gone)
		}
		t.remove(old)
		defer old.Conn.Close()
	}
	if t.closed || t.live[from] != nil || len(t.live) >= limits.Connections || t.sources[f.source] >= limits.PerSource {
		t.warden.count.tooMany.Add(1)
		return nil
	}
	t.live[from] = f
	t.sources[f.source]++
	return f
}

// remove needs mu.
func (t *flows) remove(f *flow) {
	from := f.RemoteAddr().String()
	if t.live[from] != f {
		return
	}
	delete(t.live, from)
	if t.sources[f.source]--; t.sources[f.source] == 0 {
		delete(t.sources, f.source)
	}
}

func (t *flows) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.live)
}

// evict closes the connections of a source.
func (t *flows) evict(source netip.Prefix) {
	t.mu.Lock()
	var all []*flow
	for _, f := range t.live {
		if f.source == source {
			all = append(all, f)
		}
	}
	t.mu.Unlock()
	for _, f := range all {
		f.bury()
		f.Conn.Close()
	}
}

// closeAll closes all connections; those that can be are told.
func (t *flows) closeAll() {
	t.mu.Lock()
	t.closed = true
	var all []*flow
	for _, f := range t.live {
		all = append(all, f)
	}
	t.mu.Unlock()
	var closing sync.WaitGroup
	for _, f := range all {
		closing.Go(func() { f.Close() })
	}
	closing.Wait()
}

// speak sets how messages are cut. It is called once, before anything is read.
func (f *flow) speak(w wire) {
	f.wire = w
	f.ready.Store(true)
}

// Read returns bytes of one message only. It notices the end of the connection
// at once.
func (f *flow) Read(b []byte) (n int, err error) {
	defer f.table.warden.survive("a message", func() {
		f.bury()
		n, err = 0, errRefused
	})
	f.reading.mark()
	for len(f.rest) == 0 {
		var msg []byte
		msg, err = f.wire.next()
		if err != nil {
			f.settle()
			f.bury()
			return 0, err
		}
		if !f.refused(msg) {
			f.rest = f.begin(msg)
		}
	}
	n = copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Write sends one message. A connection whose peer does not take it in time is
// closed: nobody knows how much of it has gone.
func (f *flow) Write(b []byte) (int, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.dead.Load() {
		return 0, net.ErrClosed
	}
	if err := f.wire.write(b); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			f.table.warden.count.stuck.Add(1)
		}
		f.bury()
		f.Conn.Close()
		return 0, err
	}
	return len(b), nil
}

// Close closes the connection and takes it from the table. It may be called
// again.
func (f *flow) Close() error {
	if f.bury() && f.ready.Load() && f.writing.TryLock() {
		f.wire.bye()
		f.writing.Unlock()
	}
	if err := f.Conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// begin counts a request and makes it fit for the library.
func (f *flow) begin(msg []byte) []byte {
	head, body, _ := split(msg)
	if !hasSIP(head) && !bytes.HasPrefix(head, []byte("ACK ")) {
		f.begun.Add(1)
	}
	if neat := tidy(head); len(neat) != len(head) {
		return append(neat, body...)
	}
	return msg
}

// done notes that a request of the connection was answered.
func (f *flow) done() {
	f.begun.Add(-1)
	select {
	case f.answered <- struct{}{}:
	default:
	}
}

// settle waits until what came before the end of a connection is answered: a
// peer may have closed only its own half.
func (f *flow) settle() {
	late := time.NewTimer(lingers)
	defer late.Stop()
	for f.begun.Load() > 0 && !f.dead.Load() {
		select {
		case <-f.answered:
		case <-late.C:
			return
		}
	}
}

// refused answers a whole message that the library could not read: it would
// close the connection.
func (f *flow) refused(msg []byte) bool {
	head, _, _ := split(msg)
	a := flaw(head)
	if a.code == 0 {
		return false
	}
	f.malformed()
	if res := refusal(head, f.RemoteAddr().String(), a); res != nil {
		_, _ = f.Write([]byte(res.String()))
	}
	return true
}

// malformed notes that something came that can't be read.
func (f *flow) malformed() {
	f.table.warden.count.malformed.Add(1)
	f.table.warden.nonsense(f.from)
}

// certified tells whether the far end has shown a certificate of a SIP domain.
func (f *flow) certified(domain string) bool { return f.peer != nil && isFor(f.peer, domain) }

// bury tells whether it was alive.
func (f *flow) bury() bool {
	if f.dead.Swap(true) {
		return false
	}
	close(f.gone)
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	f.table.remove(f)
	return true
}

// path is the way a request came and an answer or a later request goes.
type path struct {
	Network string // as of a Listener
	Source  string // the far end, as seen from here
	Local   string // our end
	flow    *flow  // of all but udp
}

// path is that along a connection.
func (f *flow) path() path {
	return path{Network: f.network, Source: f.RemoteAddr().String(), Local: f.LocalAddr().String(), flow: f}
}

// alive tells whether the path can still be used.
func (p path) alive() bool { return p.Network == "udp" || p.flow != nil && !p.flow.dead.Load() }

// protected tells whether nobody between can read or change what goes by the
// path.
func (p path) protected() bool { return p.Network == "tls" || p.Network == "wss" }

// same tells whether two paths are one.
func (p path) same(q path) bool {
	return p.Network == q.Network && p.Source == q.Source && p.flow == q.flow
}

// pathOf returns the way a request came.
func pathOf(req *sip.Request, conn sip.Connection) path {
	p := path{Network: sip.NetworkToLower(req.Transport()), Source: req.Source()}
	if conn != nil {
		p.Local = conn.LocalAddr().String()
	}
	if p.flow = flowOf(conn); p.flow != nil {
		p.Network = p.flow.network
	}
	return p
}

// flowOf returns the accepted connection under one of the library's.
func flowOf(conn sip.Connection) *flow {
	c, ok := conn.(*sip.TCPConnection)
	if !ok {
		return nil
	}
	f, _ := c.Conn.(*flow)
	return f
}
