package email

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk"
)

// reading opens a connector that reads a mailbox.
func reading(t *testing.T, o mailtest.MailboxOptions, prepare func(*mailtest.Mailbox)) (*world, *mailtest.Mailbox) {
	t.Helper()
	o.Dir, o.User, o.Password = t.TempDir(), "parley", "secret"
	if o.TLS == "" {
		o.TLS = "none"
	}
	box, err := mailtest.NewMailbox(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	if prepare != nil {
		prepare(box)
	}
	w := open(t, mailtest.Options{}, func(s table) {
		delete(s, "listen")
		s["imap"] = table{"address": box.Address, "tls": o.TLS, "ca": box.CA, "user": "parley", "password": "secret", "max_size": 65536}
	})
	return w, box
}

// await waits until n messages came in.
func (w *world) await(n int) []event.Inbound {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if err := w.host.Await(ctx, func() bool { return len(w.host.Inbounds()) >= n }); err != nil {
		w.t.Fatalf("%d of %d messages came in: %v", len(w.host.Inbounds()), n, err)
	}
	return w.host.Inbounds()
}

func arrive(t *testing.T, box *mailtest.Mailbox, mail string, flags ...string) uint32 {
	t.Helper()
	uid, err := box.Arrive(mail, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// marked waits until a mail has a mark.
func marked(t *testing.T, box *mailtest.Mailbox, uid uint32, mark string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := box.Await(ctx, func() bool { return slices.Contains(box.Flags(uid), mark) }); err != nil {
		t.Fatalf("mail %d has the marks %v, not %s", uid, box.Flags(uid), mark)
	}
}

func numbered(i int) string {
	return strings.Replace(fromBob(answerTo, fmt.Sprint("text ", i)), "<m1@", fmt.Sprintf("<m%d@", i), 1)
}

// TestAMailboxIsRead: what was there, what comes while somebody waits, each
// once and in order; also over every kind of connection.
func TestAMailboxIsRead(t *testing.T) {
	for _, how := range []string{"none", "starttls", "implicit"} {
		t.Run(how, func(t *testing.T) {
			w, box := reading(t, mailtest.MailboxOptions{TLS: how}, func(box *mailtest.Mailbox) {
				arrive(t, box, numbered(1))
				arrive(t, box, numbered(2), string(imap.FlagSeen)) // somebody has looked at it
			})
			w.await(2)
			last := arrive(t, box, numbered(3)) // IDLE tells
			in := w.await(3)
			for i, m := range in {
				if string(m.Data) != fmt.Sprint("text ", i+1) || m.Thread != someToken {
					t.Errorf("message %d is %+v", i, m)
				}
			}
			marked(t, box, last, string(doneMark))
		})
	}
}

// TestOnlyMailForTheBridgeIsPassedOn; the rest is left alone, and what is
// refused is shown to people.
func TestOnlyMailForTheBridgeIsPassedOn(t *testing.T) {
	w, box := reading(t, mailtest.MailboxOptions{}, nil)
	private := arrive(t, box, strings.Replace(fromBob("office@elsewhere.test", "private"), "<m1@", "<p@", 1))
	refusedMail := arrive(t, box, strings.Replace(fromBob("alice@bridge.test", "uninvited"), "<m1@", "<r@", 1))
	noted := arrive(t, box, "Delivered-To: "+answerTo+"\r\n"+strings.Replace(fromBob("list@elsewhere.test", "noted"), "<m1@", "<n@", 1))
	marked(t, box, noted, string(doneMark))
	for _, uid := range []uint32{private, refusedMail} {
		marked(t, box, uid, string(doneMark))
	}
	if !slices.Contains(box.Flags(refusedMail), string(imap.FlagFlagged)) || slices.Contains(box.Flags(private), string(imap.FlagFlagged)) {
		t.Errorf("marks of the refused mail %v, of the private one %v", box.Flags(refusedMail), box.Flags(private))
	}
	in := w.host.Inbounds()
	if len(in) != 1 || string(in[0].Data) != "noted" {
		t.Errorf("came in %+v", in)
	}
}

// TestAMailThatCannotBeStoredHoldsTheNext: order is kept, nothing is lost.
func TestAMailThatCannotBeStoredHoldsTheNext(t *testing.T) {
	tried := make(chan struct{}, 100)
	var w *world
	var box *mailtest.Mailbox
	w, box = reading(t, mailtest.MailboxOptions{}, nil)
	w.host.only(func(in event.Inbound) error {
		tried <- struct{}{}
		return sdk.ErrBusy
	})
	for i := range 3 {
		arrive(t, box, numbered(i))
	}
	<-tried
	<-tried
	if n := len(w.host.Inbounds()); n != 0 {
		t.Errorf("%d stored", n)
	}
	w.host.only(nil)
	for i, m := range w.await(3) {
		if string(m.Data) != fmt.Sprint("text ", i) {
			t.Errorf("message %d is %q", i, m.Data)
		}
	}
}

// TestTheConnectionComesBack, and nothing comes twice.
func TestTheConnectionComesBack(t *testing.T) {
	w, box := reading(t, mailtest.MailboxOptions{}, nil)
	marked(t, box, arrive(t, box, numbered(1)), string(doneMark))
	box.Drop()
	arrive(t, box, numbered(2))
	w.await(2)
	if n := box.Dialled(); n < 2 {
		t.Errorf("%d connections", n)
	}
}

// TestARestartReadsNothingAgain: E07.
func TestARestartReadsNothingAgain(t *testing.T) {
	for _, o := range []mailtest.MailboxOptions{{}, {NoKeywords: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			w, box := reading(t, o, nil)
			first := arrive(t, box, numbered(1))
			w.await(1)
			if !o.NoKeywords {
				marked(t, box, first, string(doneMark))
			}
			_ = w.Close(t.Context())
			again := New().(*connector)
			again.settings, again.names, again.host = w.settings, w.names, w.host
			f, err := newFetcher(again, *w.settings.IMAP)
			if err != nil {
				t.Fatal(err)
			}
			arrive(t, box, numbered(2), string(imap.FlagSeen)) // while nobody looked, but a person did
			ctx, cancel := context.WithCancel(t.Context())
			again.running.Go(func() { f.run(ctx) })
			in := w.await(2)
			cancel()
			again.running.Wait()
			if len(in) != 2 || string(in[1].Data) != "text 2" {
				t.Errorf("came in %+v", in)
			}
		})
	}
}

// TestARenumberedMailbox: uids of the old mean nothing (RFC 9051, section
// 2.3.1.1), and ids keep what comes again from being new.
func TestARenumberedMailbox(t *testing.T) {
	for _, o := range []mailtest.MailboxOptions{{}, {NoKeywords: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			w, box := reading(t, o, nil)
			for i := range 3 {
				arrive(t, box, numbered(i))
			}
			w.await(3)
			if err := box.Renumber(); err != nil {
				t.Fatal(err)
			}
			arrive(t, box, numbered(1)) // restored
			arrive(t, box, numbered(7)) // new, with a uid that was used
			in := w.await(4)
			if len(in) != 4 || string(in[3].Data) != "text 7" {
				t.Errorf("came in %+v", in)
			}
		})
	}
}

func TestAServerWithoutIdleIsAsked(t *testing.T) {
	// The mail is there before anybody reads: with no IDLE, one that comes
	// after the first look is read only with the next.
	w, _ := reading(t, mailtest.MailboxOptions{NoIdle: true}, func(box *mailtest.Mailbox) {
		arrive(t, box, numbered(1))
	})
	w.await(1)
	b := w.box(t)
	defer b.Close()
	began := time.Now()
	if err := b.Wait(t.Context(), 50*time.Millisecond); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("waited %v: %v", time.Since(began), err)
	}
}

// box is another connection to the mailbox of the settings.
func (w *world) box(t *testing.T) inbox {
	t.Helper()
	b, err := dialInbox(t.Context(), *w.settings.IMAP, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestIdleIsBegunAgain, long before a server ends it (RFC 2177).
func TestIdleIsBegunAgain(t *testing.T) {
	w, _ := reading(t, mailtest.MailboxOptions{}, nil)
	b := w.box(t)
	defer b.Close()
	for range 3 {
		if err := b.Wait(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if checkEvery >= 29*time.Minute {
		t.Error("IDLE lasts too long")
	}
}

func TestATooLargeMailIsNamed(t *testing.T) {
	w, box := reading(t, mailtest.MailboxOptions{}, nil)
	arrive(t, box, fromBob(answerTo, strings.Repeat("large\r\n", 20_000)))
	in := w.await(1)
	if string(in[0].Data) != "[A mail of 136 KiB, too large to be passed on, is in the mailbox.]" {
		t.Errorf("came in %q", in[0].Data)
	}
}

// TestOneMailByTwoWaysIsOneMessage.
func TestOneMailByTwoWaysIsOneMessage(t *testing.T) {
	a := readLetter([]byte("Received: x\r\nDelivered-To: " + answerTo + "\r\n" + fromBob(answerTo, "hi")))
	b := readLetter([]byte(fromBob(answerTo, "hi")))
	n := ourNames()
	byIMAP := n.ours(a)
	byLMTP, ok := n.read(strings.ToUpper(answerTo))
	if len(byIMAP) != 1 || !ok || native(a, byIMAP[0]) != native(b, byLMTP) {
		t.Errorf("%+v and %+v", byIMAP, byLMTP)
	}
}

func TestAReportInAMailbox(t *testing.T) {
	w, box := reading(t, mailtest.MailboxOptions{}, nil)
	uid := arrive(t, box, lines("From: MAILER-DAEMON@x.test", "To: bounce+"+someID+"@bridge.test", "Return-Path: <>",
		"Content-Type: multipart/report; boundary=bb", "", "--bb", "Content-Type: message/delivery-status", "", "Reporting-MTA: x", "", "Action: failed", "Status: 5.1.1", "--bb--"))
	marked(t, box, uid, string(doneMark))
	if r := w.host.Reports(); len(r) != 1 || r[0].State != event.Failed || r[0].Outbound != someID {
		t.Errorf("reports %+v", r)
	}
}
