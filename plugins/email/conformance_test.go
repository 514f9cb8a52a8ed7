package email

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-message"
	"github.com/emersion/go-smtp"

	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

// TestMain serves the connector when the suite has started this program as
// one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"serve", "email"}) {
		sdk.Serve(New())
		return
	}
	os.Exit(m.Run())
}

// The suite's host knows every thread. What comes in takes the way that a mail
// server takes: LMTP on the socket that the settings name.
func TestEmailKeepsTheContract(t *testing.T) {
	relay, err := mailtest.NewRelay(mailtest.Options{Dir: t.TempDir(), TLS: "starttls", User: "parley", Password: "secret-of-parley"})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	dir, err := os.MkdirTemp("", "mail") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	line, err := sdktest.NewLine(relay.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	n := network{line, relay, filepath.Join(dir, "in")}
	settings, err := json.Marshal(table{
		"address": "parley@bridge.test", "domain": "bridge.test", "sip_domain": "example.com",
		"smtp":   table{"address": line.Address, "tls": "starttls", "ca": relay.CA, "user": "parley", "password": "secret-of-parley"},
		"listen": table{"address": "unix:" + n.socket, "protocol": "lmtp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "email"}, Settings: settings, Target: "mailto:bob@example.com", Network: n,
	})
	if wrong := relay.Wrong(); len(wrong) > 0 {
		t.Errorf("the server finds fault with %d mails: %s", len(wrong), wrong[0])
	}
}

// network is what bob sees and says.
type network struct {
	*sdktest.Line // to the submission server
	relay         *mailtest.Relay
	socket        string
}

func (n network) Arrived(ctx context.Context, part string) (int, error) {
	shown, err := n.Shown(ctx, part)
	return len(shown), err
}

func (n network) Shown(_ context.Context, part string) (shown []string, err error) {
	for _, m := range n.relay.Mails() {
		e, err := message.Read(bytes.NewReader(m.Data))
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(e.Body)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(body, []byte(part)) {
			shown = append(shown, string(body))
		}
	}
	return shown, nil
}

func (n network) Hold() (arrived <-chan struct{}, release func()) {
	came, held := make(chan struct{}, 100), make(chan struct{})
	n.relay.Hold(func(mailtest.Mail) {
		came <- struct{}{}
		<-held
	})
	return came, sync.OnceFunc(func() {
		n.relay.Hold(nil)
		close(held)
	})
}

func (n network) Say(_ context.Context, _ *http.Client, id, text string) error {
	to := "parley+" + someToken + "@bridge.test"
	m := lines("From: Bob <bob@example.com>", "To: "+to, "Message-ID: <"+id+"@example.com>", "", text)
	return errorOf(lmtp(n.socket, "bob@example.com", []string{to}, m))
}

func errorOf(answers map[string]error, err error) error {
	for _, a := range answers {
		if err == nil {
			err = a
		}
	}
	return err
}

// lmtp hands over a mail as a mail server does. It returns the answer for each
// recipient, at RCPT or after the mail.
func lmtp(socket, from string, to []string, m string) (map[string]error, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	return hand(c, from, to, m)
}

func hand(c *smtp.Client, from string, to []string, m string) (map[string]error, error) {
	answers := map[string]error{}
	if err := c.Mail(from, nil); err != nil {
		return nil, err
	}
	left := 0
	for _, t := range to {
		answers[t] = c.Rcpt(t, nil)
		if answers[t] == nil {
			left++
		}
	}
	if left == 0 {
		return answers, nil
	}
	w, err := c.Data()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, strings.NewReader(m)); err != nil {
		return nil, err
	}
	err = w.Close()
	if each, ok := err.(smtp.LMTPDataError); ok {
		for t, e := range each {
			answers[t] = e
		}
		return answers, nil
	}
	return answers, err
}
