package sipedge

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/emiago/sipgo/sip"
)

var errDial = errors.New("a phone's connection is never dialled")

// noDialer makes dialers that refuse: the port at the other end of a closed
// connection may be somebody else's by now.
func noDialer(net.Addr) net.Dialer {
	return net.Dialer{Control: func(string, string, syscall.RawConn) error { return errDial }}
}

// flows is the table of live TCP connections.
type flows struct {
	mu     sync.Mutex
	live   map[*flow]struct{}
	closed bool
}

// flow is one accepted connection. Its identity stands for it: another
// connection from the same address is another flow.
type flow struct {
	net.Conn
	table *flows
	dead  atomic.Bool
}

// add returns nil when there are too many connections.
func (t *flows) add(c net.Conn) *flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.live) >= maxTCP {
		return nil
	}
	f := &flow{Conn: c, table: t}
	t.live[f] = struct{}{}
	return f
}

func (t *flows) closeAll() {
	t.mu.Lock()
	t.closed = true
	var all []*flow
	for f := range t.live {
		all = append(all, f)
	}
	t.mu.Unlock()
	for _, f := range all {
		f.Close()
	}
}

// Read notices the end of the connection at once.
func (f *flow) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if err != nil {
		f.bury()
	}
	return n, err
}

// Close closes the connection and takes it from the table. It may be called
// again.
func (f *flow) Close() error {
	f.bury()
	if err := f.Conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (f *flow) bury() {
	if f.dead.Swap(true) {
		return
	}
	f.table.mu.Lock()
	defer f.table.mu.Unlock()
	delete(f.table.live, f)
}

// path is the way a request came and an answer or a later request goes.
type path struct {
	Network string // "udp" or "tcp"
	Source  string // the far end, as seen from here
	Local   string // our end
	flow    *flow  // of TCP
}

// alive tells whether the path can still be used.
func (p path) alive() bool { return p.Network == "udp" || p.flow != nil && !p.flow.dead.Load() }

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
	p.flow = flowOf(conn)
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
