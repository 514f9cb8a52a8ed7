package email

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
)

// outcomeOf puts what an error says to the host in one word.
func outcomeOf(err error) string {
	if err == nil {
		return "sent"
	}
	if event.IsPermanent(err) {
		return string(event.ReasonOf(err))
	}
	if scope, _, ok := event.AsRetry(err); ok {
		return "retry " + scope.String()
	}
	return "unknown"
}

// TestWhatAnAnswerMeans: before the final dot nothing was sent; after it only
// the answer tells.
func TestWhatAnAnswerMeans(t *testing.T) {
	code := func(step string, code int, e ...int) func(*mailtest.Relay) {
		return func(r *mailtest.Relay) {
			r.Answer(step, code, [3]int(e), "because of "+step)
		}
	}
	for _, tc := range []struct {
		name  string
		fault func(*mailtest.Relay)
		want  string
		mails int
	}{
		{"all is well", func(*mailtest.Relay) {}, "sent", 1},
		{"the server is closed", (*mailtest.Relay).Close, "retry connector", 0},
		{"it is too busy to greet", code(mailtest.Connect, 421, 4, 3, 2), "retry connector", 0},
		{"it wants nobody", code(mailtest.Connect, 554, 5, 7, 1), "retry connector", 0},
		{"it wants a login", code(mailtest.From, 530, 5, 7, 0), "retry connector", 0},
		{"it will close", code(mailtest.From, 421, 4, 3, 2), "retry connector", 0},
		{"it can't take the sender now", code(mailtest.From, 451, 4, 3, 0), "retry message", 0},
		{"it won't take the sender", code(mailtest.From, 550, 5, 1, 0), "permanent", 0},
		{"policy forbids the sender", code(mailtest.From, 550, 5, 7, 1), "refused", 0},
		{"the recipient is greylisted", code(mailtest.Rcpt, 450, 4, 2, 0), "retry target", 0},
		{"the recipient's mailbox is full for now", code(mailtest.Rcpt, 452, 4, 2, 2), "retry target", 0},
		{"there is no such recipient", code(mailtest.Rcpt, 550, 5, 1, 1), "permanent", 0},
		{"the recipient refuses", code(mailtest.Rcpt, 550, 5, 7, 1), "refused", 0},
		{"it closes at the recipient", code(mailtest.Rcpt, 421, 4, 3, 2), "retry connector", 0},
		{"the mail can't be stored now", code(mailtest.Dot, 452, 4, 3, 1), "retry message", 0},
		{"the mail looks like spam", code(mailtest.Dot, 554, 5, 7, 1), "refused", 0},
		{"the mail is too large", code(mailtest.Dot, 552, 5, 3, 4), "permanent", 0},
		{"it closes after the mail", code(mailtest.Dot, 421, 4, 3, 2), "retry connector", 0},
		{"the answer to the mail is lost", func(r *mailtest.Relay) { r.LoseAnswers(1) }, "unknown", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, mailtest.Options{}, nil)
			tc.fault(w.relay)
			r, err := w.Deliver(t.Context(), hello("hi"))
			if got := outcomeOf(err); got != tc.want {
				t.Errorf("the host is told %s (%v), want %s", got, err, tc.want)
			}
			if n := len(w.relay.Mails()); n != tc.mails {
				t.Errorf("the server has %d mails, want %d", n, tc.mails)
			}
			if err == nil && (r.State != event.Accepted || len(r.RemoteIDs) != 1 || r.RemoteIDs[0] != "<"+someID+"@bridge.test>") {
				t.Errorf("receipt %+v", r)
			}
			if err != nil && strings.Contains(tc.want, "permanent") && !strings.Contains(err.Error(), "because of") {
				t.Errorf("the server's words are lost: %v", err)
			}
		})
	}
}

// TestConnectionThatBreaksInTheMail: some of it is written, the final dot may
// not be. Where the kernel has taken the dot the outcome is unknown; it is
// never called certain failure of the message.
func TestConnectionThatBreaksInTheMail(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	w.relay.CutMails(1)
	d := hello(strings.Repeat("long text\n", 300_000))
	_, err := w.Deliver(t.Context(), d)
	if got := outcomeOf(err); got != "retry connector" && got != "unknown" {
		t.Errorf("the host is told %s: %v", got, err)
	}
	if n := len(w.relay.Mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
	if _, err := w.Deliver(t.Context(), d); err != nil {
		t.Errorf("the repetition: %v", err)
	}
}

// TestARepetitionHasTheSameMessageID, so that a reader's mailbox can tell.
func TestARepetitionHasTheSameMessageID(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	w.relay.LoseAnswers(1)
	if _, err := w.Deliver(t.Context(), hello("hi")); outcomeOf(err) != "unknown" {
		t.Fatalf("err %v", err)
	}
	r, second := w.sent(hello("hi"))
	first := w.relay.Mails()[0]
	a, b := readLetter(first.Data).messageID(), readLetter(second.Data).messageID()
	if a != b || r.RemoteIDs[0] != a {
		t.Errorf("message ids %s and %s, receipt %v", a, b, r.RemoteIDs)
	}
}

// TestSecrecyOfTheConnection: E06. A server between that takes the offer of TLS
// away gets neither password nor mail.
func TestSecrecyOfTheConnection(t *testing.T) {
	login := mailtest.Options{TLS: "starttls", User: "parley", Password: "secret"}
	implicit := login
	implicit.TLS = "implicit"
	onlyLogin := login
	onlyLogin.Mechanisms = []string{"LOGIN"}
	odd := login
	odd.Mechanisms = []string{"CRAM-MD5"}
	for _, tc := range []struct {
		name   string
		o      mailtest.Options
		change func(table)
		want   string
	}{
		{"STARTTLS and PLAIN", login, nil, "sent"},
		{"implicit TLS", implicit, nil, "sent"},
		{"only LOGIN is offered", onlyLogin, nil, "sent"},
		{"nothing we know is offered", odd, nil, "retry connector"},
		{"a wrong password waits for the operator", login, func(s table) { s["smtp"].(table)["password"] = "wrong" }, "retry connector"},
		{"a certificate of a stranger", login, func(s table) { s["smtp"].(table)["ca"] = "" }, "retry connector"},
		{"STARTTLS is not offered", mailtest.Options{TLS: "none"}, func(s table) {
			s["smtp"].(table)["tls"], s["smtp"].(table)["user"], s["smtp"].(table)["password"] = "starttls", "parley", "secret"
		}, "retry connector"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := open(t, tc.o, tc.change)
			_, err := w.Deliver(t.Context(), hello("hi"))
			if got := outcomeOf(err); got != tc.want {
				t.Errorf("the host is told %s (%v), want %s", got, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in the error: %v", err)
			}
			for _, m := range w.relay.Mails() {
				if !m.TLS || m.User != "parley" {
					t.Errorf("a mail came with TLS %v from user %q", m.TLS, m.User)
				}
			}
		})
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	for range 5 {
		w.sent(hello("hi"))
	}
	if n := w.relay.Dialled(); n != 1 {
		t.Errorf("%d connections for five mails", n)
	}
	w.relay.Drop() // as a server does that is tired of waiting
	if _, err := w.Deliver(t.Context(), hello("again")); err != nil {
		t.Errorf("after the kept connection was closed: %v", err)
	}
	if n := w.relay.Dialled(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestAServerThatSaysNothing: the wait ends, and nothing is known to be sent.
func TestAServerThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := open(t, mailtest.Options{}, func(s table) { s["smtp"].(table)["address"] = l.Addr().String() })
	w.connector.relay.command = 50 * time.Millisecond
	if _, err := w.Deliver(t.Context(), hello("hi")); outcomeOf(err) != "retry connector" {
		t.Errorf("err %v", err)
	}
}

// TestAnAnswerThatNeverComes is unknown when the wait ends, by time or because
// the host wants to stop.
func TestAnAnswerThatNeverComes(t *testing.T) {
	for _, how := range []string{"time", "host"} {
		t.Run(how, func(t *testing.T) {
			w := open(t, mailtest.Options{}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			release := make(chan struct{})
			defer close(release)
			w.relay.Hold(func(mailtest.Mail) {
				if how == "host" {
					cancel()
				}
				<-release
			})
			if how == "time" {
				w.connector.relay.dot = 300 * time.Millisecond
			}
			if _, err := w.Deliver(ctx, hello("hi")); outcomeOf(err) != "unknown" {
				t.Errorf("err %v", err)
			}
		})
	}
}

func TestAddressesBeyondASCII(t *testing.T) {
	d := hello("hi")
	d.Target = "mailto:jürgen@example.com"
	w := open(t, mailtest.Options{}, nil)
	if _, err := w.Deliver(t.Context(), d); outcomeOf(err) != "permanent" {
		t.Errorf("to a server without SMTPUTF8: %v", err)
	}
	w = open(t, mailtest.Options{UTF8: true}, nil)
	if _, m := w.sent(d); m.To[0] != "jürgen@example.com" {
		t.Errorf("to %q", m.To)
	}
	d.Target = "mailto:bob@bücher.example"
	w = open(t, mailtest.Options{}, nil)
	if _, m := w.sent(d); m.To[0] != "bob@xn--bcher-kva.example" {
		t.Errorf("to %q", m.To)
	}
}

func TestDeliveryIsAskedForWhenTheSenderWantsToKnow(t *testing.T) {
	w := open(t, mailtest.Options{DSN: true}, nil)
	d := hello("hi")
	if _, m := w.sent(d); len(m.Opts) != 0 {
		t.Errorf("asked for %v", m.Opts)
	}
	d.Wants = []event.State{event.Delivered}
	if _, m := w.sent(d); strings.Join(m.Opts, ",") != "FAILURE,SUCCESS" {
		t.Errorf("asked for %v", m.Opts)
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	if outcomeOf(verdict(stepDot, errors.New("EOF"))) != "unknown" || outcomeOf(verdict(stepBody, errors.New("EOF"))) != "retry connector" {
		t.Error("a broken connection is the same before the final dot and after it")
	}
}
