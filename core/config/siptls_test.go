package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a certificate that is valid between two times, and its key.
func pair(t *testing.T, dir, name string, from, to time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSIPCertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	pair(t, dir, "good", now.Add(-time.Hour), now.Add(time.Hour))
	pair(t, dir, "old", now.Add(-2*time.Hour), now.Add(-time.Hour))
	pair(t, dir, "early", now.Add(time.Hour), now.Add(2*time.Hour))
	load := func(cert, key, ca string) (*Config, Problems) {
		path := filepath.Join(dir, "bridge.toml")
		text := fmt.Sprintf("[sip]\nlisten = \"tls:127.0.0.1:5061\"\n[sip.tls]\ncertificate = %q\nkey = %q\nclient_ca = %q\n", cert, key, ca)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(path)
	}
	for _, tc := range []struct{ name, cert, key, ca, problem, warning string }{
		{"good", "good.pem", "good.key", "", "", ""},
		{"with a CA", "good.pem", "good.key", "old.pem", "", ""},
		{"expired", "old.pem", "old.key", "", "", "bridge.toml:4: sip.tls.certificate: expired at "},
		{"not yet valid", "early.pem", "early.key", "", "", "bridge.toml:4: sip.tls.certificate: is valid from "},
		{"not matching", "good.pem", "old.key", "", "bridge.toml:3: sip.tls: can't be used: tls: private key does not match public key", ""},
		{"no CA", "good.pem", "good.key", "good.key", "bridge.toml:6: sip.tls.client_ca: has no certificate", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, problems := load(tc.cert, tc.key, tc.ca)
			for _, x := range []struct {
				got  Problems
				want string
			}{{problems, tc.problem}, {c.Warnings, tc.warning}} {
				if x.want == "" && len(x.got) > 0 || x.want != "" && !strings.HasPrefix(strings.TrimPrefix(x.got.Error(), dir+"/"), x.want) {
					t.Errorf("got %v; want %s", x.got, x.want)
				}
			}
			if tc.problem == "" && (len(c.SIP.TLS.Pair.Certificate) != 1 || (c.SIP.TLS.ClientCAs != nil) != (tc.ca != "")) {
				t.Errorf("read %+v", c.SIP.TLS)
			}
		})
	}
	good, _ := load("good.pem", "good.key", "")
	again, _ := load("good.pem", "good.key", "")
	other, _ := load("old.pem", "old.key", "")
	asking, _ := load("good.pem", "good.key", "good.pem")
	if !good.SIP.TLS.Same(again.SIP.TLS) || good.SIP.TLS.Same(other.SIP.TLS) || good.SIP.TLS.Same(asking.SIP.TLS) {
		t.Error("another certificate is the same, or the same is another")
	}
}
