//go:build linux && peers

package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// A natsNode is a NATS server of its own, reached through a line that a test
// can cut.
type natsNode struct {
	t       *testing.T
	program string
	config  string
	line    *line
	*proc
}

func newNATS(t *testing.T) *natsNode {
	t.Helper()
	dir := t.TempDir()
	n := &natsNode{t: t, program: filepath.Join(dir, "nats-server")}
	build := exec.Command("go", "build", "-o", n.program, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	server := at(ports(t, 1)[0])
	n.config = write(t, dir, "server.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n", server, dir))
	n.line = newLine(t, server)
	n.start()
	return n
}

func (n *natsNode) start() {
	n.proc = start(n.t, "nats-server", exec.Command(n.program, "-c", n.config))
	n.says(`Server is ready`)
}

func (n *natsNode) kill() {
	n.signal(syscall.SIGKILL)
	<-n.done
}

func (n *natsNode) pid() int { return n.cmd.Process.Pid }

func (n *natsNode) url() string { return "nats://" + n.line.addr() }

// cut breaks all connections and refuses new ones until mend.
func (n *natsNode) cut() { n.line.cut() }

func (n *natsNode) mend() { n.line.mend() }

// A line passes TCP connections on to a server.
type line struct {
	listener net.Listener
	server   string
	all      sync.WaitGroup

	mu     sync.Mutex
	broken bool
	conns  map[net.Conn]bool
}

func newLine(t *testing.T, server string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &line{listener: l, server: server, conns: map[net.Conn]bool{}}
	ln.all.Go(ln.serve)
	t.Cleanup(func() {
		l.Close()
		ln.cut()
		ln.all.Wait()
	})
	return ln
}

func (l *line) addr() string { return l.listener.Addr().String() }

func (l *line) serve() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.all.Go(func() { l.pass(c) })
	}
}

func (l *line) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer s.Close()
	if !l.keep(c, s) {
		return
	}
	defer l.drop(c, s)
	l.all.Go(func() { _, _ = io.Copy(s, c); s.Close() })
	_, _ = io.Copy(c, s)
}

func (l *line) keep(list ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range list {
		l.conns[c] = true
	}
	return !l.broken
}

func (l *line) drop(list ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range list {
		delete(l.conns, c)
	}
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for c := range l.conns {
		c.Close()
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
}
