package email

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-smtp"
)

// visit is what a mail server that is connected here does: one mail after
// another.
type visit struct {
	c    *connector
	ctx  context.Context
	lmtp bool

	null bool // the reverse-path is null
	to   []recipient
	rcpt []string // the same, as they were given
}

func (v *visit) Reset() { v.null, v.to, v.rcpt = false, nil, nil }

func (v *visit) Logout() error { return nil }

func (v *visit) Mail(from string, _ *smtp.MailOptions) error {
	v.null = from == ""
	return nil
}

// Rcpt refuses whatever would be refused later, so that the mail server can
// tell the author without a bounce. This is no relay: foreign addresses are
// refused whoever asks.
func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !v.c.names.owns(to) {
		return answer(550, 7, 1, "relay denied: %s is not served here", words(to))
	}
	r, ok := v.c.names.read(to)
	if !ok {
		return answer(550, 1, 1, "there is no %s here", words(to))
	}
	if err := v.c.asked(v.ctx, r); err != nil {
		if refused(err) {
			v.c.host.Log().Info("mail refused before it was sent", "recipient", words(to), "why", err)
		}
		return reply(err, noSuchAddress)
	}
	v.to, v.rcpt = append(v.to, r), append(v.rcpt, to)
	return nil
}

// Data takes a mail for all its recipients or for none: SMTP has one answer.
// So it asks the host about each before it puts anything; a mail that was put
// for some when another could not be stored is repeated, and is then the same
// one for them.
func (v *visit) Data(r io.Reader) error {
	l, err := v.read(r)
	if err != nil {
		return err
	}
	if len(v.to) > 1 {
		for _, to := range v.to {
			if err := v.c.admitted(v.ctx, l, to, v.null); err != nil {
				return reply(err, notFromYou)
			}
		}
	}
	for _, to := range v.to {
		if err := v.c.take(v.ctx, l, to, v.null); err != nil {
			return reply(err, notFromYou)
		}
	}
	return nil
}

// LMTPData takes a mail for each recipient by itself (RFC 2033).
func (v *visit) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	l, err := v.read(r)
	if err != nil {
		return err
	}
	for i, to := range v.to {
		status.SetStatus(v.rcpt[i], reply(v.c.take(v.ctx, l, to, v.null), notFromYou))
	}
	return nil
}

// read reads a mail to its end: one that breaks off is not taken.
func (v *visit) read(r io.Reader) (*letter, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		var said *smtp.SMTPError
		if errors.As(err, &said) {
			return nil, said
		}
		return nil, answer(451, 4, 2, "the mail broke off")
	}
	l := readLetter(raw)
	if l.tooFar() {
		v.c.host.Log().Warn("mail refused: it has passed too many servers", "native", l.messageID())
		return nil, answer(554, 4, 6, "this mail goes round in circles")
	}
	return l, nil
}

// admitted tells whether take would succeed, as far as can be told.
func (c *connector) admitted(ctx context.Context, l *letter, r recipient, nullSender bool) error {
	if r.kind == kindBounce {
		return nil
	}
	p, err := c.prepare(l, r, nullSender)
	if err == nil && p != nil {
		err = c.admit(ctx, p)
	}
	if refused(err) {
		c.host.Log().Warn("mail refused for all its recipients", "native", native(l, r), "why", err)
	}
	return err
}

// What strangers are told when the host refuses. Its own reasons name people;
// they stand in the log.
var (
	noSuchAddress = answer(550, 1, 1, "there is nobody with this address, or the conversation is over")
	notFromYou    = answer(550, 7, 1, "this address takes no mail from this sender; write from the address at which you were written to")
)

// reply turns an error into what the mail server is told: no for good, or not
// now.
func reply(err error, no *smtp.SMTPError) error {
	var own *refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return answer(550, 7, 1, "%s", words(own.words))
	case refused(err):
		return no
	}
	return answer(451, 3, 0, "not now; try again")
}

func answer(code, subject, detail int, format string, args ...any) *smtp.SMTPError {
	return &smtp.SMTPError{
		Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, subject, detail}, Message: fmt.Sprintf(format, args...),
	}
}
