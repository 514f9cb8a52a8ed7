package config

import (
	"bytes"
	"crypto/x509"
	"path"
	"slices"
	"strings"
)

// checkSIPTLS reads the certificate of tls and wss listeners.
func (r *reader) checkSIPTLS() {
	s := &r.c.SIP
	if s.TLS.given() {
		r.needPair("sip.tls", s.TLS.Certificate, s.TLS.Key)
	}
	switch listens := s.listensOnTLS(); {
	case listens == "" && s.TLS.given():
		r.problem("sip.tls", "is for tls and wss in sip.listen, where none is; give both or none")
	case listens != "" && !s.TLS.given():
		r.problem("sip.listen", "%s needs a certificate; give certificate and key in [sip.tls]", listens)
	}
	s.TLS.Pair = r.readPair("sip.tls", s.TLS.Certificate, s.TLS.Key, "phones")
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

func (r *reader) checkOrigins() {
	for _, o := range r.c.SIP.Origins {
		if _, err := path.Match(o, ""); err != nil || o == "" {
			r.problem("sip.ws.origins", "%q is no pattern; give the hosts of pages, such as \"chat.example.com\", \"*.example.com\" or \"https://chat.example.com\"", o)
		}
	}
}
