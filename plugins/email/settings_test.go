package email

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
)

const goodSMTP = `"smtp": {"address": "mail.example.com:587", "tls": "starttls", "user": "u", "password": "p"}`

// TestSettingsThatCannotWork are refused, with a way out.
func TestSettingsThatCannotWork(t *testing.T) {
	for _, tc := range []struct {
		name  string
		table string
		want  string // in the words of the refusal; "" if it is none
	}{
		{"the least", `{"address": "parley@bridge.test", ` + goodSMTP + `}`, ""},
		{"all", `{"address": "parley@bridge.test", "domain": "bridge.test", "sip_domain": "sip.test", "trust": "dmarc", "authserv_id": "mx", ` + goodSMTP + `,
			"listen": {"address": "127.0.0.1:0", "protocol": "smtp"}, "imap": {"address": "h:993", "tls": "implicit", "user": "u", "password": "p"}}`, ""},
		{"a relay on this machine", `{"address": "parley@bridge.test", "smtp": {"address": "127.0.0.1:25", "tls": "none"}}`, ""},
		{"nothing", `{}`, "smtp"},
		{"an address that is none", `{"address": "parley", ` + goodSMTP + `}`, "address"},
		{"an address with a tag", `{"address": "parley+x@bridge.test", ` + goodSMTP + `}`, "address"},
		{"an address elsewhere", `{"address": "parley@other.test", "domain": "bridge.test", ` + goodSMTP + `}`, "not in domain"},
		{"SIP users without a domain", `{"address": "parley@bridge.test", "sip_domain": "sip.test", ` + goodSMTP + `}`, "sip_domain"},
		{"DMARC of nobody", `{"address": "parley@bridge.test", "trust": "dmarc", ` + goodSMTP + `}`, "authserv_id"},
		{"trust in nothing", `{"address": "parley@bridge.test", "trust": "all", ` + goodSMTP + `}`, "trust"},
		{"clear text to afar", `{"address": "parley@bridge.test", "smtp": {"address": "mail.example.com:25", "tls": "none"}}`, "this machine only"},
		{"a password in clear", `{"address": "parley@bridge.test", "smtp": {"address": "127.0.0.1:25", "tls": "none", "user": "u", "password": "p"}}`, "in clear"},
		{"IMAP in clear to afar", `{"address": "parley@bridge.test", ` + goodSMTP + `, "imap": {"address": "h:143", "tls": "none", "user": "u", "password": "p"}}`, "this machine only"},
		{"half a certificate", `{"address": "parley@bridge.test", ` + goodSMTP + `, "listen": {"address": ":25", "protocol": "smtp", "cert": "x"}}`, "both cert and key"},
		{"an unknown key", `{"address": "parley@bridge.test", "smtp": {"address": "h:1", "tls": "starttls", "pasword": "x"}}`, "pasword"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var said []string
			for _, p := range client.CheckSettings(schema, []byte(tc.table)) {
				said = append(said, p.Path+": "+p.Text)
			}
			if _, err := readSettings(sdk.Settings{JSON: json.RawMessage(tc.table)}); err != nil {
				said = append(said, err.Error())
			}
			all := strings.Join(said, "\n")
			if tc.want == "" && all != "" || !strings.Contains(all, tc.want) {
				t.Errorf("said %q, want %q", all, tc.want)
			}
		})
	}
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	for _, table := range []string{
		`{"address": "x", ` + goodSMTP + `}`,
		`{"address": "parley@bridge.test", "smtp": {"address": "h:587", "tls": "starttls", "ca": "/does/not/exist"}}`,
		`not JSON`,
	} {
		err := New().Open(t.Context(), sdk.Settings{JSON: json.RawMessage(table)}, newHost())
		if !event.IsPermanent(err) {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// TestALoadedDoorOffersTLS.
func TestALoadedDoorOffersTLS(t *testing.T) {
	cert, key, err := mailtest.Certificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, mailtest.Options{}, func(s table) {
		s["listen"] = table{"address": "127.0.0.1:0", "protocol": "lmtp", "cert": cert, "key": key}
	})
	conn, err := net.Dial("tcp", w.door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := smtp.NewClientLMTP(conn)
	if ok, _ := c.Extension("STARTTLS"); !ok {
		t.Fatal("STARTTLS is not offered")
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if _, err := conn.Write([]byte("STARTTLS\r\n")); err != nil {
		t.Fatal(err)
	}
	if line := readLine(t, conn); !strings.HasPrefix(line, "220") {
		t.Fatalf("answer %q", line)
	}
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = smtp.NewClientLMTP(&greeted{Conn: secure, first: []byte("220 hello\r\n")})
	answers, err := hand(c, "bob@example.com", []string{answerTo}, fromBob(answerTo, "secret"))
	if err != nil || answers[answerTo] != nil || len(w.host.Inbounds()) != 1 {
		t.Errorf("%v, %v, %d stored", answers, err, len(w.host.Inbounds()))
	}
}

// greeted gives a client the greeting that a server sends only once.
type greeted struct {
	net.Conn
	first []byte
}

func (g *greeted) Read(p []byte) (int, error) {
	if len(g.first) > 0 {
		n := copy(p, g.first)
		g.first = g.first[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}

func readLine(t *testing.T, conn net.Conn) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(line), "\n"); line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	return string(line)
}

// TestCloseLeavesNothingOpen, also with somebody connected.
func TestCloseLeavesNothingOpen(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	w.sent(hello("hi"))
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	readLine(t, conn)
	if err := w.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if _, err := net.Dial("unix", w.socket); err == nil {
		t.Error("somebody still listens")
	}
}
