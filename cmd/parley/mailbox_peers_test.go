//go:build peers

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/jhillyerd/enmime/v2"
)

// A mailHuman has a mailbox, which is read by IMAP, and writes by submission.
type mailHuman struct {
	t       *testing.T
	server  *mailServer
	address string
	user    string
	box     *imapclient.Client
	changed chan struct{}
	idle    *imapclient.IdleCommand
}

// A letter is a mail as its reader sees it.
type letter struct {
	*enmime.Envelope
	from string // address
	name string // of the author
	text string
}

// human logs somebody in.
func (m *mailServer) human(user string) *mailHuman {
	m.t.Helper()
	h := &mailHuman{t: m.t, server: m, user: user, address: user + "@mail.test", changed: make(chan struct{}, 1)}
	box, err := imapclient.DialTLS(at(m.imaps), &imapclient.Options{TLSConfig: m.tls(), UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(*imapclient.UnilateralDataMailbox) {
			select {
			case h.changed <- struct{}{}:
			default:
			}
		},
	}})
	m.must(err)
	h.box = box
	m.t.Cleanup(func() { box.Close() })
	m.must(box.Login(h.address, mailPassword(user)).Wait())
	_, err = box.Select("INBOX", nil).Wait()
	m.must(err)
	return h
}

// submit hands one mail in.
func (h *mailHuman) submit(from, to, data string) error {
	c, err := smtp.DialStartTLS(at(h.server.submission), h.server.tls())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", h.address, mailPassword(h.user))); err != nil {
		return err
	}
	if err := c.SendMail(from, []string{to}, strings.NewReader(data)); err != nil {
		return err
	}
	return c.Quit()
}

// code is that of a mail server's answer, 0 without one.
func code(err error) int {
	var answer *smtp.SMTPError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}

// write sends a new mail and returns its Message-ID.
func (h *mailHuman) write(to, subject, text string) string {
	h.t.Helper()
	return h.send(to, subject, text, "", "")
}

// answer does what a mail program does: the quoted letter stands below.
func (h *mailHuman) answer(l letter, text string) string {
	h.t.Helper()
	to := l.GetHeader("Reply-To")
	if to == "" {
		to = l.GetHeader("From")
	}
	a, err := mail.ParseAddress(to)
	if err != nil {
		h.t.Fatal(err)
	}
	subject := l.GetHeader("Subject")
	if !strings.HasPrefix(subject, "Re: ") {
		subject = "Re: " + subject
	}
	quoted := "> " + strings.ReplaceAll(l.text, "\n", "\n> ")
	id := l.GetHeader("Message-ID")
	return h.send(a.Address, subject, fmt.Sprintf("%s\n\nOn %s, %s wrote:\n%s\n", text, l.GetHeader("Date"), l.name, quoted),
		id, strings.TrimSpace(l.GetHeader("References")+" "+id))
}

func (h *mailHuman) send(to, subject, text, inReplyTo, references string) string {
	h.t.Helper()
	now := time.Now()
	id := fmt.Sprintf("<%d.%s@mail.test>", now.UnixNano(), h.user)
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s%s <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: %s\r\nDate: %s\r\n",
		strings.ToUpper(h.user[:1]), h.user[1:], h.address, to, subject, id, now.Format(time.RFC1123Z))
	if inReplyTo != "" {
		fmt.Fprintf(&b, "In-Reply-To: %s\r\nReferences: %s\r\n", inReplyTo, references)
	}
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s\r\n",
		strings.ReplaceAll(text, "\n", "\r\n"))
	if err := h.submit(h.address, to, b.String()); err != nil {
		h.t.Fatalf("%s can't write to %s: %v", h.user, to, err)
	}
	return id
}

// waits begins to wait for mail as mail programs do (RFC 2177).
func (h *mailHuman) waits() {
	h.t.Helper()
	idle, err := h.box.Idle()
	h.server.must(err)
	h.idle = idle
}

// letters returns what is in the inbox.
func (h *mailHuman) letters() (list []letter) {
	h.t.Helper()
	if h.idle != nil {
		h.server.must(h.idle.Close())
		h.server.must(h.idle.Wait())
		h.idle = nil
	}
	if status, err := h.box.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait(); err != nil {
		h.t.Fatal(err)
	} else if *status.NumMessages == 0 {
		return nil
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	var all imap.SeqSet
	all.AddRange(1, 0)
	fetched, err := h.box.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
	h.server.must(err)
	for _, f := range fetched {
		list = append(list, h.read(f.FindBodySection(whole)))
	}
	return list
}

func (h *mailHuman) read(data []byte) letter {
	h.t.Helper()
	e, err := enmime.ReadEnvelope(bytes.NewReader(data))
	h.server.must(err)
	l := letter{Envelope: e, text: strings.TrimSpace(e.Text)}
	from, err := e.AddressList("From")
	h.server.must(err)
	l.from, l.name = from[0].Address, from[0].Name
	return l
}

// sees waits for a letter that says something.
func (h *mailHuman) sees(text string) letter {
	h.t.Helper()
	return h.finds(fmt.Sprintf("a letter that says %q", text), func(l letter) bool { return strings.Contains(l.text, text) })
}

// finds waits for a letter.
func (h *mailHuman) finds(what string, ok func(letter) bool) letter {
	h.t.Helper()
	for timeout := time.After(patience); ; {
		if h.idle == nil {
			for _, l := range h.letters() {
				if ok(l) {
					return l
				}
			}
			h.waits()
		}
		select {
		case <-h.changed:
			h.server.must(h.idle.Close())
			h.server.must(h.idle.Wait())
			h.idle = nil
		case <-timeout:
			h.t.Fatalf("%s never gets %s; the inbox has %q", h.user, what, h.texts())
		}
	}
}

// texts are what the letters say.
func (h *mailHuman) texts() (list []string) {
	h.t.Helper()
	for _, l := range h.letters() {
		list = append(list, l.from+": "+l.text)
	}
	return list
}
