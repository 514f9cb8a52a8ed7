package httpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

const (
	restartWait = 5 * time.Second        // for a connector that restarts
	redialEvery = 100 * time.Millisecond // while its socket does not answer yet
	retryAfter  = "5"                    // seconds, told when the wait was in vain
)

var (
	errUnknown = errors.New("no such connector")
	errAway    = errors.New("the connector is restarting")
)

// crossing is what one proxied request carries through the proxy.
type crossing struct {
	name   string
	path   string // decoded, without the prefix
	raw    string // the same, escaped as it came
	conn   net.Conn
	cancel context.CancelFunc
}

type crossingKey struct{}

func crossingOf(ctx context.Context) *crossing { return ctx.Value(crossingKey{}).(*crossing) }

func (c *crossing) prefix() string { return connectorRoot + c.name }

// serveConnector proxies a request for /c/<name><rest>.
func (d *Door) serveConnector(w http.ResponseWriter, r *http.Request, name, rest string) {
	path, ok := cleanPath(rest)
	if !ok {
		refuse(w, http.StatusBadRequest, "The path contains dot segments or control characters.")
		return
	}
	if _, known, _ := d.find(name); !known {
		refuse(w, http.StatusNotFound, "There is no connector of that name.")
		return
	}
	if rest == "" {
		http.Redirect(w, r, (&url.URL{Path: connectorRoot + name + "/", RawQuery: r.URL.RawQuery}).String(), http.StatusPermanentRedirect)
		return
	}
	conn, err := d.dial(r.Context(), name)
	if err != nil {
		d.refuseAway(w, r, name, err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	ctx = context.WithValue(ctx, crossingKey{}, &crossing{name: name, path: path, raw: rest, conn: conn, cancel: cancel})
	clear(w.Header())
	d.proxy.ServeHTTP(w, r.WithContext(ctx))
}

func (d *Door) find(name string) (socket string, known bool, changed <-chan struct{}) {
	if !isName(name) {
		return "", false, nil
	}
	return d.lookup(name)
}

// dial connects to the connector's socket. While the connector restarts it
// waits, as long as the request may.
func (d *Door) dial(ctx context.Context, name string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.wait, errAway)
	defer cancel()
	defer context.AfterFunc(d.stopping, cancel)()
	for {
		socket, known, changed := d.find(name)
		if !known {
			return nil, errUnknown
		}
		var again <-chan time.Time
		if socket != "" {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			if err == nil {
				return conn, nil
			}
			again = time.After(redialEvery)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// refuseAway answers when a connector cannot be reached.
func (d *Door) refuseAway(w http.ResponseWriter, r *http.Request, name string, err error) {
	if errors.Is(err, errUnknown) {
		refuse(w, http.StatusNotFound, "There is no connector of that name.")
		return
	}
	if r.Context().Err() == nil {
		d.log.Warn("http: connector not reached", "connector", name, "error", err)
	}
	w.Header().Set("Retry-After", retryAfter)
	refuse(w, http.StatusServiceUnavailable, "The connector is restarting; try again in a moment.")
}

// newProxy returns the proxy that all connectors share. Each request has a
// connection of its own: unix sockets are cheap, and no request can meet a
// connection that died with its connector.
func (d *Door) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        rewrite,
		ModifyResponse: d.modify,
		FlushInterval:  -1,
		ErrorLog:       slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		Transport: &http.Transport{
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return patient{crossingOf(ctx).conn}, nil
			},
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			ownHeaders(w.Header())
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				refuse(w, http.StatusRequestEntityTooLarge, "The request's body is too large.")
				return
			}
			d.refuseAway(w, r, crossingOf(r.Context()).name, err)
		},
	}
}

// patient is a connection to a connector. One that answers a request before it
// has read all of it may close; what is still written then is dropped, and the
// answer read. If it died instead, reading says so.
type patient struct{ net.Conn }

func (p patient) Write(b []byte) (int, error) {
	if n, err := p.Conn.Write(b); err == nil {
		return n, nil
	}
	return len(b), nil
}

// rewrite makes the connector's request: its path without the prefix, and
// forwarding headers that only the door has written. Host and Origin stay as
// they came, so that a connector can compare them.
func rewrite(p *httputil.ProxyRequest) {
	c := crossingOf(p.In.Context())
	p.Out.URL.Scheme, p.Out.URL.Host = "http", c.name
	p.Out.URL.Path, p.Out.URL.RawPath = c.path, c.raw
	p.Out.Host = p.In.Host
	for name := range p.Out.Header {
		if name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			delete(p.Out.Header, name)
		}
	}
	if _, _, ok := p.In.BasicAuth(); ok {
		p.Out.Header.Del("Authorization") // the door's own password goes no further
	}
	peer, _, err := net.SplitHostPort(p.In.RemoteAddr)
	if err != nil {
		peer = "unknown"
	}
	p.Out.Header.Set("X-Forwarded-For", peer)
	p.Out.Header.Set("X-Forwarded-Host", p.In.Host)
	p.Out.Header.Set("X-Forwarded-Prefix", c.prefix())
	p.Out.Header.Set("X-Forwarded-Proto", "http")
	if p.In.TLS != nil {
		p.Out.Header.Set("X-Forwarded-Proto", "https")
	}
}

// modify completes a connector's answer: cautious defaults, cookies that stay
// with the connector, and streams that end when the door closes.
func (d *Door) modify(res *http.Response) error {
	c := crossingOf(res.Request.Context())
	for name, value := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer",
	} {
		if res.Header.Get(name) == "" {
			res.Header.Set(name, value)
		}
	}
	confineCookies(res, c.prefix()+"/")
	if res.StatusCode == http.StatusSwitchingProtocols || isStream(res.Header.Get("Content-Type")) {
		stop := context.AfterFunc(d.stopping, c.cancel)
		if rw, ok := res.Body.(io.ReadWriteCloser); ok {
			res.Body = &upgraded{rw, stop}
		} else {
			res.Body = &stream{res.Body, stop}
		}
	}
	return nil
}

func isStream(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(t), "text/event-stream")
}

// stream and upgraded forget the door's end when they are closed.
type stream struct {
	io.ReadCloser
	stop func() bool
}

func (s *stream) Close() error {
	s.stop()
	return s.ReadCloser.Close()
}

type upgraded struct {
	io.ReadWriteCloser
	stop func() bool
}

func (u *upgraded) Close() error {
	u.stop()
	return u.ReadWriteCloser.Close()
}

// confineCookies gives every cookie a path below prefix and no domain, so that
// connectors cannot overwrite each other's.
func confineCookies(res *http.Response, prefix string) {
	lines := res.Header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	kept := lines[:0:0]
	for _, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			continue
		}
		if c.Domain != "" || !strings.HasPrefix(c.Path, prefix) {
			c.Domain, c.Path = "", prefix
			line = c.String()
		}
		kept = append(kept, line)
	}
	res.Header["Set-Cookie"] = kept
}
