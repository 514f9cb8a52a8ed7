package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/slack/slacktest"
)

// A town is a bridge with every network in one room, each with somebody who
// listens and can speak: a phone, the web chat, Matrix, Slack, and mail.
type town struct {
	*bridge
	t     *testing.T
	phone *udpPhone // bob's
	ann   *person   // on the web

	hs   *matrixtest.Server
	mia  *matrixtest.Human
	room string

	slack        *slacktest.Server
	channel, sue string

	relay *mailtest.Relay
	lmtp  string // where mail comes in
}

// spoken is what somebody said, as somebody else sees it.
type spoken struct{ author, text string }

func (s spoken) String() string { return s.author + ": " + s.text }

const townRoom = `[[route]]
name    = "town"
mode    = "room"
sip     = "sip:town@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["web:room/lobby", "matrix:r/town:hs.org", "slack:%s/%s", "mailto:team@corp.test"]

[[route]]
name = "web"`

// newTown starts one. edits are more pairs of old and new text in its
// configuration.
func newTown(t *testing.T, edits ...string) *town {
	t.Helper()
	tn := &town{t: t, hs: matrixtest.New(t, matrixtest.Options{}), slack: slacktest.New(slacktest.Options{}), lmtp: filepath.Join(shortDir(t), "in")}
	t.Cleanup(tn.slack.Close)
	tn.mia = tn.hs.Human("mia", "Mia")
	tn.room = tn.mia.Create(matrixtest.Room{Alias: "town", Public: true})
	tn.channel, tn.sue = tn.slack.Channel("town"), tn.slack.Person("Sue")
	relay, err := mailtest.NewRelay(mailtest.Options{Dir: t.TempDir(), TLS: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	tn.relay = relay
	tn.bridge = newBridge(t, append([]string{"[plugins.web]", tn.plugins(), "[[route]]\nname = \"web\"", fmt.Sprintf(townRoom, tn.slack.Team, tn.channel),
		"[[route]]\nname    = \"lobby\"\nmode    = \"room\"\nsip     = \"sip:lobby@127.0.0.1\"\nmembers = [\"sip:alice@127.0.0.1\", \"sip:bob@127.0.0.1\"]\nto      = [\"web:room/lobby\"]\n", "",
	}, edits...)...)
	tn.hs.Connect(fmt.Sprintf("http://127.0.0.1:%d/c/matrix", tn.web), nil)
	tn.phone = newUDPPhone(tn.bridge, "bob")
	tn.ann = joinChat(t, tn.web, "ann")
	return tn
}

func (tn *town) plugins() string {
	return fmt.Sprintf(`[plugins.matrix]
homeserver   = %q
domain       = %q
registration = %q

[plugins.slack]
bot_token = %q
app_token = %q
api_url   = %q

[plugins.email]
address = "parley@bridge.test"
smtp    = { address = %q, tls = "none" }
listen  = { address = %q, protocol = "lmtp" }

[plugins.web]`, tn.hs.URL, tn.hs.Domain, tn.hs.Registration, tn.slack.BotToken, tn.slack.AppToken, tn.slack.APIURL(),
		tn.relay.Address, "unix:"+tn.lmtp)
}

// views are what each network shows of the room, in order, without what was
// said there.
func (tn *town) views() map[string][]spoken {
	views := map[string][]spoken{}
	tn.phone.mu.Lock()
	for _, m := range tn.phone.shown {
		name, _, _ := strings.Cut(strings.TrimPrefix(m.From, `"`), `"`)
		views["sip"] = append(views["sip"], spoken{name, m.Text})
	}
	tn.phone.mu.Unlock()
	tn.ann.mu.Lock()
	for _, key := range tn.ann.order {
		if m := tn.ann.messages[key]; m.Name != "ann" {
			views["web"] = append(views["web"], spoken{cmp.Or(m.Name, m.From), m.Text})
		}
	}
	tn.ann.mu.Unlock()
	for _, e := range tn.hs.Messages(tn.room) {
		if e.Sender != tn.mia.ID {
			views["matrix"] = append(views["matrix"], spoken{e.Sender, e.Text()})
		}
	}
	for _, m := range tn.slack.Messages(tn.channel) {
		if m.User == tn.slack.BotUser {
			views["slack"] = append(views["slack"], spoken{m.Name, m.Text})
		}
	}
	for _, m := range tn.relay.Mails() {
		views["mail"] = append(views["mail"], readMail(tn.t, m.Data))
	}
	return views
}

// readMail returns the author's name and the text of a mail.
func readMail(t *testing.T, data []byte) spoken {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 {
		t.Fatalf("From is %q: %v", m.Header.Get("From"), err)
	}
	body := m.Body
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if kind, _, _ := mime.ParseMediaType(m.Header.Get("Content-Type")); kind != "text/plain" {
		t.Errorf("the mail is %q", kind)
	}
	return spoken{from[0].Name, strings.TrimSpace(string(text))}
}

// shown waits until the networks have shown a text, and no longer.
func (tn *town) shown(text string, networks ...string) {
	tn.t.Helper()
	for _, n := range networks {
		has := func() bool {
			return slices.ContainsFunc(tn.views()[n], func(s spoken) bool { return s.text == text })
		}
		tn.await(n, has, func() string { return fmt.Sprintf("%s never showed %q; it shows %v", n, text, tn.views()[n]) })
	}
}

// await waits for one network, asking done whenever it has changed.
func (tn *town) await(network string, done func() bool, complaint func() string) {
	tn.t.Helper()
	ctx, cancel := context.WithTimeout(tn.t.Context(), patience)
	defer cancel()
	for !done() {
		var err error
		switch network {
		case "matrix":
			err = tn.hs.Await(ctx, done)
		case "slack":
			err = tn.slack.Await(ctx, done)
		case "mail":
			n := len(tn.relay.Mails())
			if done() {
				return
			}
			_, err = tn.relay.Await(ctx, n+1)
		default:
			changed := tn.changed(network)
			if done() {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil && !done() {
			tn.t.Fatal(complaint())
		}
	}
}

func (tn *town) changed(network string) <-chan struct{} {
	if network == "sip" {
		tn.phone.mu.Lock()
		defer tn.phone.mu.Unlock()
		return tn.phone.changed
	}
	tn.ann.mu.Lock()
	defer tn.ann.mu.Unlock()
	return tn.ann.changed
}

// answerMail has somebody answer the newest mail, as mail programs do.
func (tn *town) answerMail(name, address, text string) {
	tn.t.Helper()
	mails := tn.relay.Mails()
	m, err := mail.ReadMessage(bytes.NewReader(mails[len(mails)-1].Data))
	if err != nil {
		tn.t.Fatal(err)
	}
	to := m.Header.Get("Reply-To")
	if to == "" {
		to = m.Header.Get("From")
	}
	a, err := mail.ParseAddress(to)
	if err != nil {
		tn.t.Fatal(err)
	}
	id := m.Header.Get("Message-Id")
	answer := strings.Join([]string{
		"From: " + name + " <" + address + ">", "To: " + to, "Subject: Re: " + m.Header.Get("Subject"),
		fmt.Sprintf("Message-ID: <%d@corp.test>", time.Now().UnixNano()), "In-Reply-To: " + id,
		"References: " + strings.TrimSpace(m.Header.Get("References")+" "+id), "Date: " + time.Now().Format(time.RFC1123Z), "", text, "",
	}, "\r\n")
	conn, err := net.Dial("unix", tn.lmtp)
	if err != nil {
		tn.t.Fatal(err)
	}
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	if err := c.SendMail(address, []string{a.Address}, strings.NewReader(answer)); err != nil {
		tn.t.Fatalf("the bridge does not take the answer: %v", err)
	}
}

// pid returns the process of a connector.
func (tn *town) pid(connector string) int {
	tn.t.Helper()
	return child(tn.t, tn.cmd.Process.Pid, "plugin serve "+connector)
}
