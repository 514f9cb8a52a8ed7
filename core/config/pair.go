package config

import (
	"bytes"
	"crypto/tls"
	"os"
	"slices"
	"time"
)

// HTTPTLS is the [http.tls] table: files, relative to the file's folder, and
// what was read from them.
type HTTPTLS struct {
	Certificate, Key string

	Pair tls.Certificate // empty: the door speaks no TLS
}

// Given tells whether the door speaks TLS.
func (t HTTPTLS) Given() bool { return len(t.Pair.Certificate) > 0 }

// Same tells whether two show the same.
func (t HTTPTLS) Same(o HTTPTLS) bool {
	return slices.EqualFunc(t.Pair.Certificate, o.Pair.Certificate, bytes.Equal)
}

func (r *reader) checkHTTPTLS() {
	t := &r.c.HTTP.TLS
	if t.Certificate != "" || t.Key != "" {
		r.needPair("http.tls", t.Certificate, t.Key)
	}
	t.Pair = r.readPair("http.tls", t.Certificate, t.Key, "browsers")
}

// needPair tells which of the two files of a certificate is missing.
func (r *reader) needPair(path, certificate, key string) {
	if certificate == "" {
		r.problem(path+".certificate", "missing; give the file with the certificate chain, PEM")
	}
	if key == "" {
		r.problem(path+".key", "missing; give the file with the private key of the certificate, PEM")
	}
}

// readPair reads a certificate and its key; peers are those that it is shown
// to. With a file missing it does nothing.
func (r *reader) readPair(path, certificate, key, peers string) (pair tls.Certificate) {
	if certificate == "" || key == "" {
		return pair
	}
	cert, ok := r.readable(path+".certificate", certificate)
	secret, ok2 := r.readable(path+".key", key)
	if !ok || !ok2 {
		return pair
	}
	pair, err := tls.X509KeyPair(cert, secret)
	if err != nil {
		r.problem(path, "can't be used: %v; give PEM files of a certificate chain and its private key", err)
		return pair
	}
	switch now := time.Now(); {
	case now.After(pair.Leaf.NotAfter):
		r.warning(path+".certificate", "expired at %s; %s will refuse it", pair.Leaf.NotAfter.UTC().Format(time.RFC3339), peers)
	case now.Before(pair.Leaf.NotBefore):
		r.warning(path+".certificate", "is valid from %s only; %s will refuse it before", pair.Leaf.NotBefore.UTC().Format(time.RFC3339), peers)
	}
	return pair
}

func (r *reader) readable(path, file string) ([]byte, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		r.problem(path, "%s can't be read: %s; make the file readable for the user that runs parley", file, reason(err))
	}
	return b, err == nil
}
