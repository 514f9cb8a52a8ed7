package email

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk"
)

const answerTo = "parley+" + someToken + "@bridge.test"

// codeOf is the answer of a mail server: 250, or the code of an error.
func codeOf(t *testing.T, err error) int {
	t.Helper()
	var answer *smtp.SMTPError
	switch {
	case err == nil:
		return 250
	case errors.As(err, &answer):
		return answer.Code
	}
	t.Fatalf("no answer: %v", err)
	return 0
}

// arrives hands a mail over by LMTP and returns the answer.
func (w *world) arrives(to, m string) int {
	w.t.Helper()
	return w.arrivesFrom("bob@example.com", to, m)
}

func (w *world) arrivesFrom(sender, to, m string) int {
	w.t.Helper()
	answers, err := lmtp(w.socket, sender, []string{to}, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return codeOf(w.t, answers[to])
}

func relayTrust(s table) { s["trust"] = "relay" }

func TestAnAnswerFindsItsConversation(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	d := hello("hello bob")
	r, m := w.sent(d)
	h, _ := read(t, m.Data)
	back, err := h.AddressList("Reply-To")
	if err != nil {
		t.Fatal(err)
	}
	if code := w.arrives(back[0].Address, fromBob(back[0].Address, "fine")); code != 250 {
		t.Fatalf("answer %d", code)
	}
	in := w.host.Inbounds()
	if len(in) != 1 {
		t.Fatalf("%d messages came in", len(in))
	}
	got := in[0]
	if got.Thread != r.Anchor || got.Recipient != "" || got.Sender != "mailto:bob@example.com" || got.SenderName != "Bob" || string(got.Data) != "fine" {
		t.Errorf("came in %+v", got)
	}
	if got.NativeID != "<m1@example.com> "+strings.ToLower(back[0].Address) || got.Title != "" || got.Automatic || got.Original != "" {
		t.Errorf("came in %+v", got)
	}
}

// TestNoOpenRelay: whoever asks, mail for others is refused at RCPT.
func TestNoOpenRelay(t *testing.T) {
	w := open(t, mailtest.Options{}, relayTrust)
	for _, tc := range []struct {
		to   string
		code int
	}{
		{"eve@elsewhere.test", 550},
		{"parley@elsewhere.test", 550},
		{answerTo[:len(answerTo)-len("bridge.test")] + "elsewhere.test", 550},
		{"eve%elsewhere.test@bridge.test", 550},
		{"eve@elsewhere.test@bridge.test", 550},
		{"@bridge.test:eve@elsewhere.test", 550},
		{`"eve@elsewhere.test"@bridge.test`, 550},
		{"bridge.test!eve@elsewhere.test", 550},
		{"alice@sub.bridge.test", 550},
		{"alice@bridge.test.elsewhere.test", 550},
		{"alice@[127.0.0.1]", 550},
		{"postmaster@bridge.test", 550},
		{"parley@bridge.test", 550},
		{"bounce+short@bridge.test", 550},
		{"alice@bridge.test", 250},
		{"ALICE@Bridge.Test", 250},
		{answerTo, 250},
		{strings.ToUpper(answerTo), 250},
		{"bounce+" + someID + "@bridge.test", 250},
	} {
		conn, err := net.Dial("unix", w.socket)
		if err != nil {
			t.Fatal(err)
		}
		c := smtp.NewClientLMTP(conn)
		if err := c.Mail("bob@example.com", nil); err != nil {
			t.Fatal(err)
		}
		err = c.Rcpt(tc.to, nil)
		if got := codeOf(t, err); got != tc.code && !(tc.code == 550 && got == 501) {
			t.Errorf("RCPT TO:<%s> is answered %v, want %d", tc.to, err, tc.code)
		}
		_ = c.Close()
	}
	if n := len(w.host.Inbounds()) + len(w.relay.Mails()); n != 0 {
		t.Errorf("%d mails went somewhere", n)
	}
}

// TestWhoMayWriteWithoutBeingAsked: E10.
func TestWhoMayWriteWithoutBeingAsked(t *testing.T) {
	pass := "Authentication-Results: mx.bridge.test; dmarc=pass header.from=example.com"
	for _, tc := range []struct {
		name  string
		trust string
		field string
		code  int
	}{
		{"nobody by default", "token", pass, 550},
		{"whom DMARC vouches for", "dmarc", pass, 250},
		{"nobody it does not", "dmarc", "X-Nothing: here", 550},
		{"nobody else's word counts", "dmarc", strings.Replace(pass, "mx.", "evil.", 1), 550},
		{"everybody the server in front lets in", "relay", "X-Nothing: here", 250},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, mailtest.Options{}, func(s table) { s["trust"], s["authserv_id"] = tc.trust, "mx.bridge.test" })
			m := lines(tc.field, "From: Bob <bob@example.com>", "Message-ID: <m1@example.com>", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "", "hi")
			if code := w.arrives("alice@bridge.test", m); code != tc.code {
				t.Fatalf("answer %d, want %d", code, tc.code)
			}
			if tc.code != 250 {
				if n := len(w.host.Inbounds()); n != 0 {
					t.Errorf("%d messages came in", n)
				}
				return
			}
			in := w.host.Inbounds()[0]
			if in.Recipient != "sip:alice@sip.test" || in.Thread != "" || in.Title != "Grüße" {
				t.Errorf("came in %+v", in)
			}
		})
	}
}

// TestLoops: E02. Nothing is made of automatic mail, and nothing answers it.
func TestLoops(t *testing.T) {
	for _, field := range []string{
		"Auto-Submitted: auto-replied", "Auto-Submitted: auto-generated; owner=x", "Auto-submitted: (really) auto-notified", "AUTO-SUBMITTED: yes",
		"Precedence: bulk", "Precedence: LIST", "Precedence: junk", "List-Id: <l.example.com>", "List-Unsubscribe: <mailto:x@example.com>",
		"Return-Path: <>", "X-Parley-Loop: bridge.test", "X-Autoreply: yes", "Content-Type: multipart/report; report-type=disposition-notification; boundary=b",
		"Received: x\r\nAuto-Submitted: auto-replied",
	} {
		t.Run(field, func(t *testing.T) {
			w := open(t, mailtest.Options{}, nil)
			if code := w.arrives(answerTo, field+"\r\n"+fromBob(answerTo, "I am away")); code != 250 {
				t.Errorf("answer %d", code)
			}
			if n := len(w.host.Inbounds()) + len(w.relay.Mails()) + len(w.host.Reports()); n != 0 {
				t.Errorf("%d things were made of it", n)
			}
		})
	}
	t.Run("null return path", func(t *testing.T) {
		w := open(t, mailtest.Options{}, nil)
		if code := w.arrivesFrom("", answerTo, fromBob(answerTo, "bounced")); code != 250 || len(w.host.Inbounds()) != 0 {
			t.Errorf("answer %d, %d messages", code, len(w.host.Inbounds()))
		}
	})
	t.Run("an old mail server", func(t *testing.T) {
		w := open(t, mailtest.Options{}, nil)
		m := strings.Replace(fromBob(answerTo, "unknown user"), "Bob <bob@", "Mail Delivery Subsystem <MAILER-DAEMON@", 1)
		if code := w.arrives(answerTo, m); code != 250 || len(w.host.Inbounds()) != 0 {
			t.Errorf("answer %d, %d messages", code, len(w.host.Inbounds()))
		}
	})
	t.Run("our own mail", func(t *testing.T) {
		w := open(t, mailtest.Options{}, nil)
		_, m := w.sent(hello("hi"))
		if code := w.arrives(answerTo, string(m.Data)); code != 250 || len(w.host.Inbounds()) != 0 {
			t.Errorf("answer %d, %d messages", code, len(w.host.Inbounds()))
		}
		own := strings.Replace(fromBob(answerTo, "hi"), "bob@example.com", "alice@bridge.test", 1)
		if code := w.arrives(answerTo, own); code != 250 || len(w.host.Inbounds()) != 0 {
			t.Errorf("answer %d, %d messages", code, len(w.host.Inbounds()))
		}
	})
	t.Run("a ring of servers", func(t *testing.T) {
		w := open(t, mailtest.Options{}, nil)
		hop := "Received: from a by b; Mon, 23 Nov 2026 00:00:00 +0000\r\n"
		if code := w.arrives(answerTo, strings.Repeat(hop, 51)+fromBob(answerTo, "hi")); code != 554 {
			t.Errorf("answer %d", code)
		}
		if code := w.arrives(answerTo, strings.Repeat(hop, 50)+fromBob(answerTo, "hi")); code != 250 {
			t.Errorf("answer %d to a long way", code)
		}
	})
	t.Run("what people write is taken", func(t *testing.T) {
		w := open(t, mailtest.Options{}, nil)
		m := "Auto-Submitted: no\r\nPrecedence: first-class\r\nX-Parley-Loop: other.test\r\n" + fromBob(answerTo, "hi")
		if code := w.arrives(answerTo, m); code != 250 || len(w.host.Inbounds()) != 1 {
			t.Errorf("answer %d, %d messages", code, len(w.host.Inbounds()))
		}
	})
}

// TestA250MeansStored: E04.
func TestA250MeansStored(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code int
	}{
		{"the host is busy", sdk.ErrBusy, 451},
		{"the host is gone", sdk.ErrClosed, 451},
		{"something else", errors.New("no idea"), 451},
		{"the host refuses", fmt.Errorf("%w: this conversation is with carol", sdk.ErrRefused), 550},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, mailtest.Options{}, nil)
			w.host.only(func(in event.Inbound) error {
				if in.Sender == "" {
					return nil // asked at RCPT
				}
				return tc.err
			})
			if code := w.arrives(answerTo, fromBob(answerTo, "hi")); code != tc.code {
				t.Errorf("answer %d, want %d", code, tc.code)
			}
			if n := len(w.host.Inbounds()); n != 0 {
				t.Errorf("%d stored", n)
			}
			w.host.only(nil)
			for range 2 {
				if code := w.arrives(answerTo, fromBob(answerTo, "hi")); code != 250 {
					t.Errorf("the repetition is answered %d", code)
				}
			}
			if n := len(w.host.Inbounds()); n != 1 {
				t.Errorf("%d stored after a repetition", n)
			}
		})
	}
}

// TestEachRecipientHasAnAnswer: E08.
func TestEachRecipientHasAnAnswer(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	good, bad, busy := "alice+"+someToken+"@bridge.test", "parley+"+strings.Repeat("b", 26)+"@bridge.test", "parley+"+strings.Repeat("c", 26)+"@bridge.test"
	w.host.only(func(in event.Inbound) error {
		switch {
		case in.Sender == "":
			return nil
		case strings.HasPrefix(in.Thread, "b"):
			return sdk.ErrRefused
		case strings.HasPrefix(in.Thread, "c"):
			return sdk.ErrBusy
		}
		return nil
	})
	answers, err := lmtp(w.socket, "bob@example.com", []string{good, bad, busy, "eve@elsewhere.test"}, fromBob(good, "hi"))
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]int{good: 250, bad: 550, busy: 451, "eve@elsewhere.test": 550} {
		if got := codeOf(t, answers[to]); got != want {
			t.Errorf("%s is answered %d, want %d", to, got, want)
		}
	}
	if n := len(w.host.Inbounds()); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// TestSMTPHasOneAnswer for all recipients: all are stored, or the mail is
// refused before any is, or it is repeated.
func TestSMTPHasOneAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	w := open(t, mailtest.Options{}, func(s table) { s["listen"] = table{"address": address, "protocol": "smtp"} })
	one, two := "parley+"+strings.Repeat("a", 26)+"@bridge.test", "parley+"+strings.Repeat("b", 26)+"@bridge.test"
	send := func() int {
		c, err := smtp.Dial(address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = hand(c, "bob@example.com", []string{one, two}, fromBob(one, "hi"))
		return codeOf(t, err)
	}
	rule := func(err error) func(event.Inbound) error {
		return func(in event.Inbound) error {
			if in.Sender != "" && strings.HasPrefix(in.Thread, "b") {
				return err
			}
			return nil
		}
	}
	w.host.only(rule(sdk.ErrRefused))
	if code := send(); code != 550 || len(w.host.Inbounds()) != 0 {
		t.Errorf("refused for one: answer %d, %d stored", code, len(w.host.Inbounds()))
	}
	w.host.only(rule(sdk.ErrBusy))
	if code := send(); code != 451 {
		t.Errorf("busy for one: answer %d", code)
	}
	w.host.only(nil)
	if code := send(); code != 250 {
		t.Errorf("answer %d", code)
	}
	var threads []string
	for _, in := range w.host.Inbounds() {
		threads = append(threads, in.Thread[:1])
	}
	slices.Sort(threads)
	if strings.Join(threads, "") != "ab" {
		t.Errorf("stored for %v", threads)
	}
}

// TestRefusalsNameNobody: the host's reasons are for its log.
func TestRefusalsNameNobody(t *testing.T) {
	w := open(t, mailtest.Options{}, relayTrust)
	no := fmt.Errorf("%w: this conversation is with mailto:carol@example.com", sdk.ErrRefused)
	for _, atRcpt := range []bool{true, false} {
		w.host.only(func(in event.Inbound) error {
			if in.Sender == "" && !atRcpt {
				return nil
			}
			return no
		})
		for _, to := range []string{answerTo, "alice@bridge.test"} {
			answers, err := lmtp(w.socket, "bob@example.com", []string{to}, fromBob(to, "hi"))
			if err != nil {
				t.Fatal(err)
			}
			var said *smtp.SMTPError
			if !errors.As(answers[to], &said) || said.Code != 550 || strings.Contains(said.Message, "carol") || len(said.Message) < 20 {
				t.Errorf("%s is answered %v", to, answers[to])
			}
			if want := (smtp.EnhancedCode{5, 1, 1}); atRcpt != (said.EnhancedCode == want) {
				t.Errorf("code %v at RCPT %v", said.EnhancedCode, atRcpt)
			}
		}
	}
}

// TestASenderIsKnownInLowerCase, but may be the one that somebody has dialled
// with capitals.
func TestASenderIsKnownInLowerCase(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	m := strings.Replace(fromBob(answerTo, "hi"), "bob@example.com", "Bob.B@Example.COM", 1)
	w.arrives(answerTo, m)
	w.host.only(func(in event.Inbound) error {
		if in.Sender != "" && in.Sender != "mailto:Bob.B@example.com" {
			return sdk.ErrRefused
		}
		return nil
	})
	w.arrives(answerTo, strings.Replace(m, "<m1@", "<m2@", 1))
	in := w.host.Inbounds()
	if len(in) != 2 || in[0].Sender != "mailto:bob.b@example.com" || in[1].Sender != "mailto:Bob.B@example.com" {
		t.Errorf("came in %+v", in)
	}
}

func TestFromMustBeOnePerson(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	for _, from := range []string{
		"", "From: ", "From: a@example.com, b@example.com", "From: a@example.com\r\nFrom: b@example.com", "From: group: a@example.com, b@example.com;",
		"From: nobody", "From: <>", "From: =?utf-8?q?bob=40example.com?=", "From: undisclosed:;", "From: \"a b\"@example.com", "From: bob@",
	} {
		m := "X: y\r\n" + from + "\r\nMessage-ID: <" + fmt.Sprintf("%x", from) + "@x>\r\n\r\nhi\r\n"
		if from == "" {
			m = "X: y\r\n\r\nhi\r\n"
		}
		if code := w.arrives(answerTo, m); code != 550 {
			t.Errorf("%q is answered %d", from, code)
		}
	}
	if n := len(w.host.Inbounds()); n != 0 {
		t.Errorf("%d stored", n)
	}
}

// TestAMailWithoutAnID is recognised by what it says.
func TestAMailWithoutAnID(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	m := strings.Replace(fromBob(answerTo, "hi"), "Message-ID: <m1@example.com>\r\n", "", 1)
	for _, hop := range []string{"Received: one\r\n", "Received: two\r\nReceived: one\r\n"} {
		if code := w.arrives(answerTo, hop+m); code != 250 {
			t.Fatalf("answer %d", code)
		}
	}
	w.arrives(answerTo, strings.Replace(m, "hi", "ho", 1))
	if n := len(w.host.Inbounds()); n != 2 {
		t.Errorf("%d stored, want 2", n)
	}
}

// TestABrokenOffMailIsNone.
func TestABrokenOffMailIsNone(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClientLMTP(conn)
	if err := errors.Join(c.Mail("bob@example.com", nil), c.Rcpt(answerTo, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Data(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(fromBob(answerTo, "half a") + "\n.\nstill the mail\r.\r")); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = w.Close(t.Context()) // waits for what runs
	if n := len(w.host.Inbounds()); n != 0 {
		t.Errorf("%d stored", n)
	}
}

func TestSizeAndCrowd(t *testing.T) {
	w := open(t, mailtest.Options{}, func(s table) { s["listen"].(table)["max_size"] = 65536 })
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClientLMTP(conn)
	if err := c.Mail("bob@example.com", &smtp.MailOptions{Size: 70000}); codeOf(t, err) != 552 {
		t.Errorf("an announced size is answered %v", err)
	}
	_ = c.Close()
	if code := w.arrives(answerTo, fromBob(answerTo, strings.Repeat("too large\r\n", 7000))); code != 552 {
		t.Errorf("a large mail is answered %d", code)
	}
	if n := len(w.host.Inbounds()); n != 0 {
		t.Errorf("%d stored", n)
	}
	var guests []net.Conn
	full := false
	for range maxGuests + 1 {
		g, err := net.Dial("unix", w.socket)
		if err != nil {
			t.Fatal(err)
		}
		guests = append(guests, g)
		line := make([]byte, 3)
		if _, err := g.Read(line); err != nil {
			t.Fatal(err)
		}
		full = full || string(line) == "421"
	}
	if !full {
		t.Error("nobody was turned away")
	}
	for _, g := range guests {
		_ = g.Close()
	}
}

// TestTheSocketOfADeadProcessIsReplaced, and a live one is not.
func TestTheSocketOfADeadProcessIsReplaced(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	if _, err := openDoor("unix:" + w.socket); err == nil {
		t.Error("a socket in use was taken over")
	}
	dead := t.TempDir() + "/dead"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	again, err := openDoor("unix:" + dead)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// TestReportsSettleTheirDelivery: E05, RFC 3464.
func TestReportsSettleTheirDelivery(t *testing.T) {
	report := func(fields ...string) string {
		return lines("From: MAILER-DAEMON@mx.example.com", "Subject: Undelivered", "Auto-Submitted: auto-replied", "MIME-Version: 1.0",
			"Content-Type: multipart/report; report-type=delivery-status;", "\tboundary=\"bb\"", "", "--bb", "Content-Type: text/plain", "", "It failed.", "",
			"--bb", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.example.com", "", strings.Join(fields, "\r\n"), "", "--bb--")
	}
	to := "bounce+" + someID + "@bridge.test"
	for _, tc := range []struct {
		name string
		mail string
		want string
	}{
		{"a failure", report("Final-Recipient: rfc822; bob@example.com", "Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1 no such user"),
			"failed permanent the mail server reported: 550 5.1.1 no such user"},
		{"a folded reason", report("Action: failed", "Status: 5.2.2", "Diagnostic-Code: smtp; 552 mailbox", " of bob is full"),
			"failed permanent the mail server reported: 552 mailbox of bob is full (5.2.2)"},
		{"a policy", report("Action: failed", "Status: 5.7.1 (spam)"), "failed refused the mail server reported the status 5.7.1"},
		{"a temporary failure that lasted", report("Action: failed", "Status: 4.4.1", "Diagnostic-Code: X-Postfix; connection timed out"),
			"failed exhausted the mail server reported: connection timed out (4.4.1)"},
		{"no reason", report("Action: FAILED"), "failed permanent the mail server reported that it was not delivered"},
		{"a delivery", report("Action: delivered", "Status: 2.0.0"), "delivered  "},
		{"a delay", report("Action: delayed", "Status: 4.4.1"), ""},
		{"a relay", report("Action: relayed", "Status: 2.0.0"), ""},
		{"one of two", report("Action: delivered", "", "Action: failed", "Status: 5.0.0"), "failed permanent the mail server reported the status 5.0.0"},
		{"a holiday", fromBob(to, "I am away"), ""},
		{"no parts", lines("From: x@example.com", "Content-Type: multipart/report; boundary=bb", "", "nothing"), ""},
		{"no boundary", lines("From: x@example.com", "Content-Type: multipart/report", "", "nothing"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, mailtest.Options{}, nil)
			if code := w.arrivesFrom("", to, tc.mail); code != 250 {
				t.Errorf("answer %d", code)
			}
			got := ""
			for _, r := range w.host.Reports() {
				if r.Outbound != someID {
					t.Errorf("report about %q", r.Outbound)
				}
				got += fmt.Sprint(r.State, " ", r.Reason, " ", r.Detail)
			}
			if got != tc.want || len(w.host.Inbounds()) != 0 {
				t.Errorf("reported %q, want %q", got, tc.want)
			}
		})
	}
}

// TestThePlusAddressOfAMailbox serves where the domain is somebody else's.
func TestThePlusAddressOfAMailbox(t *testing.T) {
	n := names{local: "our.bridge", host: "mail.example"}
	d := hello("hi")
	m, err := n.message(d, wording{text: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	if m.from != "our.bridge+bounce-"+someID+"@mail.example" {
		t.Errorf("envelope sender %q", m.from)
	}
	for addr, want := range map[string]kind{m.from: kindBounce, "Our.Bridge+" + someToken + "@mail.example": kindToken, "our.bridge@mail.example": kindBridge} {
		if r, ok := n.read(addr); !ok || r.kind != want {
			t.Errorf("%s is read as %+v, %v", addr, r, ok)
		}
	}
	for _, addr := range []string{"else+" + someToken + "@mail.example", "bounce+" + someID + "@mail.example", "our.bridge+x@mail.example", "alice@mail.example"} {
		if r, ok := n.read(addr); ok {
			t.Errorf("%s is read as %+v", addr, r)
		}
	}
}
