package email

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"parley.im/bus/event"
)

// A step is how far a mail transaction came.
type step int

const (
	stepConnect step = iota
	stepMail
	stepRcpt
	stepData
	stepBody // some of the mail is written, the final dot is not
	stepDot
)

func (s step) String() string {
	return [...]string{"connect", "MAIL", "RCPT", "DATA", "body", "end of mail"}[s]
}

// verdict gives an error of a step its policy. Before the final dot is written
// nothing has been sent. After it only the server's answer tells: without one
// the outcome is unknown, and the error says no more than that.
func verdict(at step, err error) error {
	if _, _, ok := event.AsRetry(err); ok || errors.Is(err, errNoFile) {
		return err // our own: nothing was sent
	}
	var answer *smtp.SMTPError
	if !errors.As(err, &answer) {
		if at == stepDot {
			return fmt.Errorf("no answer to the %s: %w", at, err)
		}
		return event.Retry(event.ScopeConnector, 0, fmt.Errorf("%s: %w", at, err))
	}
	said := &answered{fmt.Sprintf("%s: the mail server said: %s", at, spoken(answer)), answer}
	switch {
	case at == stepConnect, answer.Code == 421, isOurFault(answer):
		return event.Retry(event.ScopeConnector, 0, said)
	case answer.Code/100 == 5 && answer.EnhancedCode[1] == 7:
		return event.Refused(said) // RFC 3463: a policy
	case answer.Code/100 == 5:
		return event.Permanent(said)
	case at == stepRcpt:
		return event.Retry(event.ScopeTarget, 0, said) // greylisted, or the mailbox is full for now
	case at == stepDot && answer.Code/100 != 4:
		return said // an answer that is none
	}
	return event.Retry(event.ScopeMessage, 0, said)
}

// answered is what a mail server said, as one line.
type answered struct {
	text   string
	answer *smtp.SMTPError
}

func (a *answered) Error() string { return a.text }
func (a *answered) Unwrap() error { return a.answer }

// isOurFault tells what a login or TLS setting has to mend: the mail itself is
// not at fault and waits (RFC 4954, section 6).
func isOurFault(e *smtp.SMTPError) bool {
	switch e.Code {
	case 530, 534, 535, 538, 454:
		return true
	}
	return false
}

// spoken is a server's answer as one line.
func spoken(e *smtp.SMTPError) string {
	text := strings.Join(strings.Fields(words(e.Message)), " ")
	if e.EnhancedCode[0] > 0 {
		return fmt.Sprintf("%d %d.%d.%d %s", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2], text)
	}
	return fmt.Sprintf("%d %s", e.Code, text)
}
