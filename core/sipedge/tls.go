package sipedge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
)

// TLS is what the listeners of tls and wss show and ask for.
type TLS struct {
	Certificate tls.Certificate // with its chain and private key
	ClientCAs   *x509.CertPool  // if given, clients must show a certificate of one of them
}

// config is for TLS 1.2 and later, which Go never renegotiates as a server.
func (t TLS) config() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{t.Certificate}}
	if t.ClientCAs != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, t.ClientCAs
		c.SessionTicketsDisabled = true // a ticket would outlive a change of the CAs
	}
	return c
}

// SetTLS replaces the certificate and what is asked of clients, from the next
// handshake on; connections go on as they are. It may be called at any time.
func (e *Edge) SetTLS(t TLS) error {
	if len(t.Certificate.Certificate) == 0 {
		return errors.New("TLS needs a certificate")
	}
	e.door.tls.Store(t.config())
	return nil
}

// SetOrigins replaces the hosts of pages that may open a WebSocket here; see
// Config. It may be called at any time; an error changes nothing.
func (e *Edge) SetOrigins(origins []string) error {
	if err := checkOrigins(origins); err != nil {
		return err
	}
	e.door.origins.Store(&origins)
	return nil
}

// door is what handshakes go by, which may change meanwhile.
type door struct {
	tls     atomic.Pointer[tls.Config]
	origins atomic.Pointer[[]string]
}

// server returns the configuration of a handshake: the one of that moment.
func (d *door) server() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return d.tls.Load(), nil },
	}
}
