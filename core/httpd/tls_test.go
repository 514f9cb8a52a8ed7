package httpd

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Over TLS each connection has one request at a time, so that the limit of
// connections is one of requests; and what strangers do to handshakes is no
// news.
func TestTLS(t *testing.T) {
	model := httptest.NewUnstartedServer(nil) // lends its certificate
	model.StartTLS()
	defer model.Close()
	var log record
	d := New(Config{Listen: "127.0.0.1:0", TLS: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	d.SetCertificate(model.TLS.Certificates[0])
	address, _ := open(t, d)
	client := model.Client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	r, err := client.Get("https://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != 200 || r.ProtoMajor != 1 || r.TLS.Version < tls.VersionTLS12 {
		t.Errorf("%d %s", r.StatusCode, r.Proto)
	}
	for _, junk := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05hello"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, junk)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c) // until the door has had enough
		c.Close()
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10, InsecureSkipVerify: true}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if s := log.String(); strings.Contains(s, "WARN") {
		t.Errorf("the log says %s", s)
	}
}

// A record is a log that is read.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}
