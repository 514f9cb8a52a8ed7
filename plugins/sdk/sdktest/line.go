package sdktest

import (
	"io"
	"net"
	"sync"
)

// A Line carries connections to a server, so that a test can break it under
// the connector: with it the fake of a network is a Breaker. Its methods may be
// called from several goroutines.
type Line struct {
	Address string // host:port, to be used instead of the server's

	to      string
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

// NewLine returns a line to a server's host:port. Close ends it.
func NewLine(to string) (*Line, error) {
	l := &Line{Address: "127.0.0.1:0", to: to, conns: map[net.Conn]bool{}}
	return l, l.listen()
}

// listen opens the line under the address it had.
func (l *Line) listen() error {
	listener, err := net.Listen("tcp", l.Address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.Address = listener, listener.Addr().String()
	l.running.Go(func() { l.accept(listener) })
	return nil
}

func (l *Line) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.carry(near) })
	}
}

// carry joins a connection with one to the server, until either ends.
func (l *Line) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(near, far) {
		return
	}
	defer l.forget(near, far)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			if c, ok := way[0].(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
			}
		})
	}
	both.Wait()
}

// keep remembers connections, unless the line is broken.
func (l *Line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = true
	}
	return l.listener != nil
}

func (l *Line) forget(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}

// Break ends all connections and takes no more. mend opens the line again.
func (l *Line) Break() (mend func() error) {
	l.Close()
	return l.listen
}

// Close ends the line.
func (l *Line) Close() {
	l.mu.Lock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}
