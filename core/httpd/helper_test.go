package httpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 10 * time.Second

// connectors is a hand-written host: names and where their sockets are.
type connectors struct {
	mu      sync.Mutex
	sockets map[string]string
	changed chan struct{}
}

func newConnectors() *connectors {
	return &connectors{sockets: map[string]string{}, changed: make(chan struct{})}
}

func (c *connectors) set(name, socket string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets[name] = socket
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *connectors) find(name string) (string, bool, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.sockets[name]
	return s, known, c.changed
}

// serveUnix serves h on a fresh unix socket until the test ends.
func serveUnix(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return socket
}

// open runs d until the test ends and returns its address and a function that
// stops it earlier.
func open(t *testing.T, d *Door) (address string, stop func() error) {
	t.Helper()
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return d.Addr(), stop
}

// openWith is a door without a password and one connector "web".
func openWith(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	c := newConnectors()
	c.set("web", serveUnix(t, h))
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Connectors(c.find)
	address, _ = open(t, d)
	return address
}

// raw sends a literal request and returns the answer.
func raw(t *testing.T, address, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return res
}

func get(t *testing.T, address, path string) *http.Response {
	t.Helper()
	return raw(t, address, fmt.Sprintf("GET %s HTTP/1.1\nHost: %s\nConnection: close\n\n", path, address))
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
