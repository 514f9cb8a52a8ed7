package sipedge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"

	"parley.im/core/sipedge/resolve"
)

// How long a server may take to be connected to, before the next is tried.
const (
	dialPatience = 5 * time.Second
	tlsPatience  = 5 * time.Second
)

// ClientTLS is what Parley shows and asks for where it connects by TLS.
type ClientTLS struct {
	Certificate tls.Certificate // shown when the server asks for one; may be empty
	CAs         *x509.CertPool  // that sign servers' certificates; nil: those of the system
}

// dialled are the connections that the edge itself opens. To the library they
// are accepted ones, like all others: they come from a listener that nobody
// can reach.
type dialled struct {
	start
	flows *flows
	ready chan *flow
	stop  chan struct{}
	end   sync.Once

	mu      sync.Mutex
	open    map[string]*flow         // by what they are for
	dialing map[string]chan struct{} // closed when that ends
}

func newDialled(f *flows) *dialled {
	return &dialled{
		start: start{c: make(chan struct{})}, flows: f, ready: make(chan *flow), stop: make(chan struct{}),
		open: map[string]*flow{}, dialing: map[string]chan struct{}{},
	}
}

func (d *dialled) serve(srv *sipgo.Server) error {
	err := srv.ServeTCP(d)
	select {
	case <-d.stop:
		return nil
	default:
		return err
	}
}

func (d *dialled) close() { d.end.Do(func() { close(d.stop) }) }

// Accept returns the next connection that was opened.
func (d *dialled) Accept() (net.Conn, error) {
	d.mark()
	select {
	case f := <-d.ready:
		return f, nil
	case <-d.stop:
		return nil, net.ErrClosed
	}
}

func (d *dialled) Close() error   { d.close(); return nil }
func (d *dialled) Addr() net.Addr { return &net.TCPAddr{} }

// connect returns the connection to a server, which is opened if there is none.
// trunk is whose server it is: what one may use, another may not.
func (d *dialled) connect(ctx context.Context, to resolve.Target, trunk string, names []string, t ClientTLS) (path, error) {
	key := to.String() + " " + to.Domain + " " + trunk
	for {
		d.mu.Lock()
		if f := d.open[key]; f != nil && !f.dead.Load() {
			d.mu.Unlock()
			return f.path(), nil
		}
		others := d.dialing[key]
		if others == nil {
			d.dialing[key] = make(chan struct{})
		}
		d.mu.Unlock()
		if others == nil {
			f, err := d.dial(ctx, to, trunk, names, t)
			d.mu.Lock()
			close(d.dialing[key])
			delete(d.dialing, key)
			delete(d.open, key)
			if err != nil {
				d.mu.Unlock()
				return path{}, fmt.Errorf("connect to %s: %w", to, err)
			}
			d.open[key] = f
			d.mu.Unlock()
			return f.path(), nil
		}
		select {
		case <-others:
		case <-ctx.Done():
			return path{}, context.Cause(ctx)
		}
	}
}

// dial opens a connection and hands it to the library.
func (d *dialled) dial(ctx context.Context, to resolve.Target, trunk string, names []string, t ClientTLS) (*flow, error) {
	dialer := net.Dialer{Timeout: dialPatience, KeepAlive: 30 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", to.Addr.String())
	if err != nil {
		return nil, err
	}
	f := d.flows.add(c, to.Network)
	if f == nil {
		c.Close()
		return nil, errors.New("no more connections: see [sip.limits], or the far end is connected already")
	}
	conn := net.Conn(f.Conn)
	if to.Network == "tls" {
		if conn, err = shake(ctx, f.Conn, append([]string{to.Domain}, names...), t); err != nil {
			f.Close()
			return nil, err
		}
	}
	f.trunk = trunk
	f.speak(newStream(f, conn))
	select {
	case d.ready <- f:
	case <-d.stop:
		f.Close()
		return nil, net.ErrClosed
	}
	select {
	case <-f.reading.began(): // now the library knows it
		return f, nil
	case <-d.stop:
		return nil, net.ErrClosed
	}
}

// shake makes a connection one of TLS, to a server whose certificate is for one
// of these domains.
func shake(ctx context.Context, c net.Conn, domains []string, t ClientTLS) (net.Conn, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The library's check would take wildcards and knows no URIs; this one
		// is RFC 5922's.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return verify(s, domains, t.CAs) },
	}
	if _, err := netip.ParseAddr(domains[0]); err != nil {
		config.ServerName = domains[0]
	}
	if len(t.Certificate.Certificate) > 0 {
		config.Certificates = []tls.Certificate{t.Certificate}
	}
	ctx, cancel := context.WithTimeout(ctx, tlsPatience)
	defer cancel()
	conn := tls.Client(c, config)
	return conn, conn.HandshakeContext(ctx)
}

// verify checks that a server's certificate is signed by one of those we trust
// and is for one of these domains.
func verify(s tls.ConnectionState, domains []string, cas *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	leaf, chain := s.PeerCertificates[0], x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: cas, Intermediates: chain}); err != nil {
		return err
	}
	for _, d := range domains {
		if isFor(leaf, d) {
			return nil
		}
	}
	return fmt.Errorf("the certificate is for %s, not for %s", strings.Join(namesOf(leaf), ", "), strings.Join(domains, " or "))
}

// isFor tells whether a certificate is that of a SIP domain: by a sip: URI, or
// if it has none by a DNS name or address, whole and without wildcards (RFC
// 5922, section 7).
func isFor(c *x509.Certificate, domain string) bool {
	if ip, err := netip.ParseAddr(domain); err == nil {
		return slices.ContainsFunc(c.IPAddresses, func(i net.IP) bool { a, ok := netip.AddrFromSlice(i); return ok && a.Unmap() == ip.Unmap() })
	}
	return slices.ContainsFunc(namesOf(c), func(n string) bool { return strings.EqualFold(n, domain) })
}

// namesOf returns the SIP domains of a certificate.
func namesOf(c *x509.Certificate) (all []string) {
	for _, u := range c.URIs {
		if strings.EqualFold(u.Scheme, "sip") && u.Opaque != "" && !strings.Contains(u.Opaque, "@") {
			host, _, _ := strings.Cut(u.Opaque, ";")
			all = append(all, host)
		}
	}
	if all == nil {
		all = c.DNSNames
	}
	return all
}
