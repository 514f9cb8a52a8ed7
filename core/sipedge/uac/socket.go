package uac

import (
	"net"
	"sync"
	"syscall"
)

// start tells that the library reads: only then does it know the socket for
// sending, too.
type start struct {
	once sync.Once
	read chan struct{}
}

func newStart() *start { return &start{read: make(chan struct{})} }

func (s *start) mark() { s.once.Do(func() { close(s.read) }) }

type socket struct {
	net.PacketConn
	*start
}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	s.mark()
	return s.PacketConn.ReadFrom(b)
}

type stream struct {
	net.Conn
	*start
}

func (s *stream) Read(b []byte) (int, error) {
	s.mark()
	return s.Conn.Read(b)
}

// single is a listener with one connection: by it the library takes over a
// connection that we have opened.
type single struct {
	conn net.Conn
	end  chan struct{}
	once sync.Once
}

func (s *single) Accept() (net.Conn, error) {
	if c := s.conn; c != nil {
		s.conn = nil
		return c, nil
	}
	<-s.end
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.once.Do(func() { close(s.end) })
	return nil
}

func (s *single) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 1} }

func noDialer(net.Addr) net.Dialer {
	return net.Dialer{Control: func(string, string, syscall.RawConn) error { return errDial }}
}
