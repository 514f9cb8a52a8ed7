package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// certify writes a certificate of loopback and its key where overTLS says, and
// returns who trusts it.
func (b *bridge) certify(valid time.Duration) *x509.CertPool {
	b.t.Helper()
	cert, key := certificate(b.t, valid)
	write(b.t, b.dir, "sip.pem", string(cert))
	write(b.t, b.dir, "sip.key", string(key))
	return trusting(cert)
}

// overTLS are the edits for one more listener, of tls or wss.
func overTLS(network string, port int) []string {
	return []string{
		`"tcp:127.0.0.1:5060"]`, fmt.Sprintf(`"tcp:127.0.0.1:5060", "%s:%s"]`, network, at(port)),
		noPair("client_ca"), "certificate = \"sip.pem\"\nkey = \"sip.key\"\nclient_ca",
	}
}

// noPair are the lines of bridge.toml for a certificate, above others.
func noPair(above string) string {
	return "certificate = \"\"                      # file with the certificate chain, PEM\n" +
		"key         = \"\"                      # file with its private key, PEM\n" + above
}

// options asks over a connection what the bridge can do.
func options(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS phone.invalid;branch=z9hG4bK%d\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\n"+
		"Call-ID: %[1]d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", time.Now().UnixNano())
	r := bufio.NewReader(c)
	status, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(status, "SIP/2.0 200 ") {
		t.Fatalf("OPTIONS: %q %v", status, err)
	}
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// A renewed certificate is taken by a reload, and drops no connection. A07
func TestAReloadTakesARenewedCertificate(t *testing.T) {
	t.Parallel()
	port := ports(t, 1)[0]
	b := writeBridge(t, overTLS("tls", port)...)
	first := b.certify(-time.Hour)
	out, warned, code := b.cli("", "check", "--config", b.config)
	if code != 0 || !strings.Contains(out, ": ok") || !strings.Contains(warned, "sip.tls.certificate: expired at ") {
		t.Errorf("check: exit code %d, %s%s", code, out, warned)
	}
	b.start()
	b.says(`sip.tls.certificate: expired at `)
	dial := func(trust *x509.CertPool) (*tls.Conn, error) {
		yesterday := func() time.Time { return time.Now().Add(-24 * time.Hour) }
		return tls.Dial("tcp", at(port), &tls.Config{RootCAs: trust, Time: yesterday})
	}
	before, err := dial(first)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	options(t, before)
	second := b.certify(time.Hour)
	if said := b.reload(0); !strings.Contains(said, "certificate changed") || strings.Contains(said, "origins changed") {
		t.Errorf("it says %s", said)
	}
	options(t, before)
	after, err := dial(second)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	options(t, after)
	if c, err := dial(first); err == nil {
		c.Close()
		t.Error("the first certificate is still shown")
	}
	b.rewrite(`origins = []`, `origins = ["["]`)
	if said := b.reload(exitFailed); !strings.Contains(said, "sip.ws.origins") {
		t.Errorf("it says %s", said)
	}
	b.rewrite(`origins = ["["]`, `origins = ["phone.example.com"]`)
	if said := b.reload(0); !strings.Contains(said, "origins changed") {
		t.Errorf("it says %s", said)
	}
}

// Links to files are served over HTTPS, too, as everything at the door; a
// renewed certificate is shown after a reload.
func TestTheDoorOverTLS(t *testing.T) {
	t.Parallel()
	b := writeBridge(t, `links  = ""`, `links  = "https://127.0.0.1:8025"`, noPair("\n[files]"), "certificate = \"sip.pem\"\nkey = \"sip.key\"\n\n[files]")
	first := b.certify(time.Hour)
	b.start()
	b.says(`  chat    https://127.0.0.1:`)
	client := func(trust *x509.CertPool) *http.Client {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}, Timeout: patience}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	bob := newUDPPhone(b, "bob")
	sample, err := os.ReadFile(filepath.Join("testdata", "mime", "phone-picture.eml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(sample), "\n\n")
	bob.refuse("multipart/mixed")
	b.sends("alice", "sip:lobby@127.0.0.1", "multipart/mixed;boundary=b", body)
	link := regexp.MustCompile(`https://127\.0\.0\.1:\d+/f/[\w-]+/0\.2/cat\.png`).FindString(bob.contains("/f/").Text)
	if status, data, h := fetched(t, client(first), link); status != 200 || !strings.HasPrefix(data, "\x89PNG") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: %d %q %v", link, status, data, h)
	}
	second := b.certify(time.Hour)
	if said := b.reload(0); !strings.Contains(said, "certificate changed") {
		t.Errorf("it says %s", said)
	}
	if status, _, _ := fetched(t, client(second), link); status != 200 {
		t.Errorf("after the renewal: %d", status)
	}
	if r, err := client(first).Get(link); err == nil {
		r.Body.Close()
		t.Error("the first certificate is still shown")
	}
	b.rewrite("certificate = \"sip.pem\"\nkey = \"sip.key\"\n\n[files]", "[files]")
	if said := b.reload(exitFailed); !strings.Contains(said, "http.tls: was changed, which needs a restart") {
		t.Errorf("it says %s", said)
	}
}
