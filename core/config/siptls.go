package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// checkSIPTLS reads the certificate of tls and wss listeners.
func (r *reader) checkSIPTLS() {
	s := &r.c.SIP
	for _, f := range []struct{ path, file, what string }{
		{"sip.tls.certificate", s.TLS.Certificate, "the file with the certificate chain, PEM"},
		{"sip.tls.key", s.TLS.Key, "the file with the private key of the certificate, PEM"},
	} {
		if f.file == "" && s.TLS.given() {
			r.problem(f.path, "missing; give %s", f.what)
		}
	}
	switch listens := s.listensOnTLS(); {
	case listens == "" && s.TLS.given():
		r.problem("sip.tls", "is for tls and wss in sip.listen, where none is; give both or none")
	case listens != "" && !s.TLS.given():
		r.problem("sip.listen", "%s needs a certificate; give certificate and key in [sip.tls]", listens)
	}
	r.readPair(&s.TLS)
	r.readClientCA(&s.TLS)
}

func (t SIPTLS) given() bool { return t.Certificate != "" || t.Key != "" || t.ClientCA != "" }

// Same tells whether two show and ask for the same.
func (t SIPTLS) Same(o SIPTLS) bool {
	return slices.EqualFunc(t.Pair.Certificate, o.Pair.Certificate, bytes.Equal) && t.ClientCAs.Equal(o.ClientCAs)
}

// listensOnTLS returns a listener that needs a certificate, or "".
func (s SIP) listensOnTLS() string {
	for _, text := range s.Listen {
		if network, _, _ := strings.Cut(text, ":"); network == "tls" || network == "wss" {
			return text
		}
	}
	return ""
}

func (r *reader) readPair(t *SIPTLS) {
	if t.Certificate == "" || t.Key == "" {
		return
	}
	cert, ok := r.readable("sip.tls.certificate", t.Certificate)
	key, ok2 := r.readable("sip.tls.key", t.Key)
	if !ok || !ok2 {
		return
	}
	var err error
	if t.Pair, err = tls.X509KeyPair(cert, key); err != nil {
		r.problem("sip.tls", "can't be used: %v; give PEM files of a certificate chain and its private key", err)
		return
	}
	switch now := time.Now(); {
	case now.After(t.Pair.Leaf.NotAfter):
		r.warning("sip.tls.certificate", "expired at %s; phones will refuse it", t.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(t.Pair.Leaf.NotBefore):
		r.warning("sip.tls.certificate", "is valid from %s only; phones will refuse it before", t.Pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
}

func (r *reader) readClientCA(t *SIPTLS) {
	if t.ClientCA == "" {
		return
	}
	pem, ok := r.readable("sip.tls.client_ca", t.ClientCA)
	if !ok {
		return
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		r.problem("sip.tls.client_ca", "has no certificate; give a PEM file with those that sign the clients' ones")
	}
}

func (r *reader) readable(path, file string) ([]byte, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		r.problem(path, "%s can't be read: %s; make the file readable for the user that runs parley", file, reason(err))
	}
	return b, err == nil
}

func (r *reader) checkOrigins() {
	for _, o := range r.c.SIP.Origins {
		if _, err := path.Match(o, ""); err != nil || o == "" {
			r.problem("sip.ws.origins", "%q is no pattern; give the hosts of pages, such as \"chat.example.com\", \"*.example.com\" or \"https://chat.example.com\"", o)
		}
	}
}
