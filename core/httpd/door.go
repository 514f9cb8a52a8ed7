package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of every connection to the door.
const (
	headerTimeout  = 10 * time.Second // until the request's header has come
	idleTimeout    = 2 * time.Minute  // between requests
	bodyTimeout    = 30 * time.Second // between two pieces of a request's body
	maxHeader      = 64 << 10
	maxBody        = 32 << 20
	maxConnections = 2048
	stopGrace      = time.Second // for ordinary requests under way when Run ends
)

// Config is what a Door needs to know.
type Config struct {
	Listen   string // host:port; port 0 takes any free one
	Password string // asked for with HTTP Basic, any user name; empty means loopback only
	TLS      bool   // speak HTTPS only; SetCertificate is called before Run
	Log      *slog.Logger
}

// Lookup finds a connector by its instance name. A known connector without a
// socket is restarting; changed is closed when asking again may give another
// answer.
type Lookup func(name string) (socket string, known bool, changed <-chan struct{})

// Public returns the prefixes of paths that a connector lets anybody ask for.
type Public func(name string) []string

// Door is the HTTP server. Handle, Connectors, Pages and Health are called
// before Run.
type Door struct {
	log      *slog.Logger
	listen   string
	guard    *guard
	tls      *tls.Config // nil: plain HTTP
	shown    atomic.Pointer[tls.Certificate]
	mux      *http.ServeMux
	proxy    *httputil.ReverseProxy
	lookup   Lookup
	public   Public
	pages    func() []string
	live     func(context.Context) error
	ready    func(context.Context) error
	listener net.Listener
	stopping context.Context // ends when streams have to
	stop     context.CancelFunc
	wait     time.Duration // how long a request waits for a restarting connector

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // requests being served, hijacked ones too
}

// New returns a door that knows no connector yet and is always healthy.
func New(c Config) *Door {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	healthy := func(context.Context) error { return nil }
	d := &Door{
		log: log, listen: c.Listen, guard: newGuard(c.Password), mux: http.NewServeMux(),
		lookup: func(string) (string, bool, <-chan struct{}) { return "", false, nil },
		public: func(string) []string { return nil },
		pages:  func() []string { return nil },
		live:   healthy, ready: healthy, wait: restartWait,
	}
	if c.TLS {
		d.tls = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.shown.Load(), nil },
		}
	}
	d.stopping, d.stop = context.WithCancel(context.Background())
	d.proxy = d.newProxy()
	d.mux.HandleFunc("GET /{$}", d.serveIndex)
	d.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { serveHealth(w, r, d.ready, true) })
	return d
}

// Handle serves pattern, as of http.ServeMux, behind the door's guard.
func (d *Door) Handle(pattern string, h http.Handler) { d.mux.Handle(pattern, h) }

// Connectors sets how the door finds the connectors that serve HTTP.
func (d *Door) Connectors(find Lookup) { d.lookup = find }

// Public sets what the door lets in without asking for the password: requests
// whose path, behind /c/<connector>, begins with one of the prefixes. The
// connector asks such callers itself who they are.
func (d *Door) Public(prefixes Public) { d.public = prefixes }

// Pages sets what gives the names of the connectors that the front page links
// to, in order. names is called for each request, from several goroutines.
func (d *Door) Pages(names func() []string) { d.pages = names }

// Health sets what /healthz (is the process sound?) and /readyz (does it take
// messages now?) answer: 200 when the function returns nil, 503 and the
// reasons otherwise. Reasons on /healthz are shown only to whom the guard lets
// in.
func (d *Door) Health(live, ready func(context.Context) error) { d.live, d.ready = live, ready }

// SetCertificate sets what the door shows, with its chain and private key, from
// the next handshake on. It may be called at any time.
func (d *Door) SetCertificate(c tls.Certificate) { d.shown.Store(&c) }

// Listen binds the address, so that Addr is known and a taken port is noticed
// before anything else starts. Run calls it if nobody has.
func (d *Door) Listen() error {
	l, err := net.Listen("tcp", d.listen)
	if err != nil {
		return err
	}
	d.guard.local = isLoopback(l.Addr().String())
	if !d.guard.local && !d.guard.hasPassword() {
		d.log.Warn("the HTTP door listens beyond this machine without a password: it refuses everybody", "address", l.Addr().String())
	}
	d.listener = limit(l, maxConnections)
	return nil
}

// Addr returns the bound address, empty before Listen.
func (d *Door) Addr() string {
	if d.listener == nil {
		return ""
	}
	return d.listener.Addr().String()
}

// Run serves until ctx ends. Then it takes no more, ends event streams and
// upgraded connections at once, gives ordinary requests a second, and returns
// nil when all are gone.
func (d *Door) Run(ctx context.Context) error {
	if d.listener == nil {
		if err := d.Listen(); err != nil {
			return fmt.Errorf("http: %w", err)
		}
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := newServer(d, base, d.log)
	served := make(chan error, 1)
	go func() { served <- d.serve(srv) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("http: %w", err)
	}
	d.stop()
	shut(srv, cancel)
	d.drain()
	if err == nil {
		<-served
	}
	return err
}

func (d *Door) serve(srv *http.Server) error {
	if d.tls == nil {
		return srv.Serve(d.listener)
	}
	srv.TLSConfig = d.tls
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true) // one request at a time for each connection that is counted
	return srv.ServeTLS(d.listener, "", "")
}

// newServer returns a server with the limits that every listener of the
// package has. There is no write timeout, for streams last.
func newServer(h http.Handler, base context.Context, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(complaints{log}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
}

// complaints logs what the server says of connections. That somebody connects
// and speaks no TLS, or goes, is the doing of strangers and no news.
type complaints struct{ log *slog.Logger }

func (c complaints) Write(p []byte) (int, error) {
	line, level := strings.TrimSpace(string(p)), slog.LevelWarn
	if strings.Contains(line, "TLS handshake error") {
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, line)
	return len(p), nil
}

// shut gives the requests under way a grace, then cancels them.
func shut(srv *http.Server, cancel context.CancelFunc) {
	grace, done := context.WithTimeout(context.Background(), stopGrace)
	defer done()
	if err := srv.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		cancel()
		srv.Close()
	}
	cancel()
}

// enter counts a request in, unless the door is closed.
func (d *Door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.active.Add(1)
	}
	return !d.closed
}

// drain lets nobody in any more and waits for those inside.
func (d *Door) drain() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.active.Wait()
}

// ServeHTTP lets a request in or refuses it, and hands it on.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ownHeaders(w.Header())
	if !d.enter() {
		refuse(w, http.StatusServiceUnavailable, "the bridge is stopping")
		return
	}
	defer d.active.Done()
	var verdict verdict
	if !d.isPublic(r) && !isFile(r) {
		verdict = d.guard.check(r)
	}
	if r.URL.Path == "/healthz" {
		serveHealth(w, r, d.live, verdict.code == 0)
		return
	}
	if verdict.code != 0 {
		verdict.answer(w)
		return
	}
	limitBody(w, r)
	if name, rest, ok := splitPath(r.URL.EscapedPath()); ok {
		d.serveConnector(w, r, name, rest)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// isPublic tells whether a connector itself asks who the caller is.
func (d *Door) isPublic(r *http.Request) bool {
	name, rest, ok := splitPath(r.URL.EscapedPath())
	if !ok || !isName(name) {
		return false
	}
	path, clean := cleanPath(rest)
	return clean && slices.ContainsFunc(d.public(name), func(prefix string) bool {
		return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
	})
}

// ownHeaders keeps browsers from making more of the door's own answers than
// text and links.
func ownHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
}

// refuse answers with a status and one line of text.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintln(w, text)
}
