package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/mail"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"parley.im/plugins/email/mailtest"
)

// A postOffice is a bridge whose phones have mail addresses.
type postOffice struct {
	*bridge
	t     *testing.T
	relay *mailtest.Relay // where its mail goes out
	lmtp  string          // where mail comes in
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	relay, err := mailtest.NewRelay(mailtest.Options{Dir: t.TempDir(), TLS: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	p := &postOffice{t: t, relay: relay, lmtp: filepath.Join(shortDir(t), "in")}
	p.bridge = newBridge(t, "[plugins.web]", fmt.Sprintf(`[plugins.email]
address    = "parley@bridge.test"
domain     = "bridge.test"
sip_domain = "127.0.0.1"
trust      = "relay"
smtp       = { address = %q, tls = "none" }
listen     = { address = %q, protocol = "lmtp" }

[plugins.web]`, relay.Address, "unix:"+p.lmtp), "[[route]]\nname = \"web\"", `[[route]]
name = "mail"
sip  = "sip:mail-{user}_{domain}@127.0.0.1"
to   = "mailto:{user}@{domain}"

[[route]]
name = "web"`)
	return p
}

// hands gives the bridge a mail of tim's as a mail server does, with more
// header lines and from the envelope sender that it has.
func (p *postOffice) hands(sender, to, id, text string, more ...string) {
	p.t.Helper()
	p.gives(sender, to, strings.Join(append(more, "From: Tim <tim@corp.test>", "To: <"+to+">", "Subject: To a phone", "Message-ID: <"+id+"@corp.test>", "", text, ""), "\r\n"))
}

func (p *postOffice) gives(sender, to, m string) {
	p.t.Helper()
	conn, err := net.Dial("unix", p.lmtp)
	if err != nil {
		p.t.Fatal(err)
	}
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	if err := c.SendMail(sender, []string{to}, strings.NewReader(m)); err != nil {
		p.t.Fatalf("the bridge does not take the mail: %v", err)
	}
}

// told waits until n mails have gone out and returns the last.
func (p *postOffice) told(n int) (envelope mailtest.Mail, header mail.Header, body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	mails, err := p.relay.Await(ctx, n)
	if err != nil || len(mails) != n {
		p.t.Fatalf("%d mails went out, want %d: %v", len(mails), n, err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(mails[n-1].Data))
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(m.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return mails[n-1], m.Header, string(b)
}

// RFC 3464 and RFC 3834: a person is told by a report, a machine by nothing.
func TestAMailToAPhoneThatDeclinesComesBackAsOneReport(t *testing.T) {
	p := newPostOffice(t)
	decline(p.bridge, "bob")
	alice := newUDPPhone(p.bridge, "alice")

	p.hands("tim@corp.test", "bob@bridge.test", "away", "I am away", "Auto-Submitted: auto-replied")
	p.hands("", "bob@bridge.test", "bounce", "it bounced")
	p.hands("tim@corp.test", "bob@bridge.test", "list", "news for all", "List-Id: <news.corp.test>", "Precedence: list")
	for n, id := range []string{"first", "second"} {
		p.hands("tim@corp.test", "bob@bridge.test", id, "take this "+id)
		m, h, body := p.told(n + 1)
		if m.From != "" || len(m.To) != 1 || m.To[0] != "tim@corp.test" {
			t.Errorf("the report goes from %q to %q", m.From, m.To)
		}
		if h.Get("In-Reply-To") != "<"+id+"@corp.test>" || h.Get("Auto-Submitted") != "auto-replied" ||
			!strings.HasPrefix(h.Get("Content-Type"), "multipart/report;") || !strings.Contains(h.Get("Content-Type"), "report-type=delivery-status") {
			t.Errorf("the report's header is %v", h)
		}
		for _, line := range []string{"Reporting-MTA: dns; bridge.test", "Final-Recipient: rfc822; bob@bridge.test", "Action: failed", "Status: 5.0.0"} {
			if !strings.Contains(body, "\r\n"+line+"\r\n") && !strings.Contains(body, "\n"+line+"\n") {
				t.Errorf("%q is not in\n%s", line, body)
			}
		}
		if !strings.Contains(body, "603") {
			t.Errorf("why is not in\n%s", body)
		}
		p.gives("", "bob@bridge.test", string(m.Data)) // nor does a report answer a report
	}

	// What arrives is told to nobody, and nothing came late.
	p.hands("tim@corp.test", "alice@bridge.test", "third", "hello")
	alice.sees("hello")
	p.hands("tim@corp.test", "bob@bridge.test", "fourth", "and this")
	if _, h, _ := p.told(3); h.Get("In-Reply-To") != "<fourth@corp.test>" {
		t.Errorf("the third report is about %s", h.Get("In-Reply-To"))
	}
	if wrong := p.relay.Wrong(); len(wrong) > 0 {
		t.Errorf("the mail server finds fault: %q", wrong)
	}
}
