package email

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

const answersOnly = "this address takes answers only: answer a mail that came from here"

// refusal is why a mail is not taken, in words for its author.
type refusal struct{ words string }

func (r *refusal) Error() string { return r.words }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// refused tells whether err is a final no, ours or the host's.
func refused(err error) bool {
	var r *refusal
	return errors.As(err, &r) || errors.Is(err, sdk.ErrRefused) || event.IsPermanent(err)
}

// asked tells whether mail for r would be taken from anybody, before there is
// any.
func (c *connector) asked(ctx context.Context, r recipient) error {
	switch r.kind {
	case kindBounce:
		return nil
	case kindToken:
		return c.host.Accepts(ctx, event.Inbound{Envelope: event.Envelope{Thread: r.token}})
	case kindDirect:
		if c.settings.Trust == trustToken {
			return refuse("this address takes answers only; wait for a message, or ask the operator")
		}
		return c.host.Accepts(ctx, event.Inbound{Envelope: event.Envelope{Recipient: c.names.sip(r.user)}})
	}
	return refuse(answersOnly)
}

// prepared is a mail for one recipient that is ready to be put: nil when there
// is nothing to put.
type prepared struct {
	in      event.Inbound
	senders []event.Address // the sender's address, in the spellings to try
}

// prepare decides what becomes of a mail for one recipient. The error is final
// if refused says so.
func (c *connector) prepare(l *letter, r recipient, nullSender bool) (*prepared, error) {
	if why := l.automatic(c.names, nullSender); why != "" {
		c.host.Log().Info("automatic mail dropped", "native", native(l, r), "why", why)
		return nil, nil
	}
	from, name, err := l.from()
	if err != nil {
		return nil, refuse("%s", err)
	}
	if r.kind == kindBridge {
		return nil, refuse(answersOnly)
	}
	if l.tooFar() {
		return nil, refuse("this mail goes round in circles")
	}
	if r.kind == kindDirect && !c.trusts(l) {
		return nil, refuse("nobody vouches that %s wrote this; answer a mail that came from here instead", words(from))
	}
	senders, err := spellings(from)
	if err != nil {
		return nil, refuse("%s", err)
	}
	p := &prepared{senders: senders}
	p.in = event.Inbound{Envelope: event.Envelope{
		Kind: event.KindMessage, Sender: senders[0], SenderName: name, Thread: r.token,
		NativeID: native(l, r), Sent: l.sent(), Language: language(l),
	}}
	if r.kind == kindDirect {
		p.in.Recipient = c.names.sip(r.user)
	}
	if !l.isReply() {
		p.in.Title = l.subject()
	}
	return p, nil
}

// trusts tells whether the author of a mail may be believed.
func (c *connector) trusts(l *letter) bool {
	switch c.settings.Trust {
	case trustRelay:
		return true
	case trustDMARC:
		return l.vouched(c.settings.AuthservID)
	}
	return false
}

// spellings are the address of a sender in lower case, as the host is to know
// them, and as they write it, as somebody may have dialled it.
func spellings(from string) ([]event.Address, error) {
	a, err := toMailto(from)
	if err != nil {
		return nil, err
	}
	lower, err := toMailto(strings.ToLower(from))
	if err != nil {
		return nil, err
	}
	if lower == a {
		return []event.Address{a}, nil
	}
	return []event.Address{lower, a}, nil
}

// native is the same for a mail that comes again, by whatever way.
func native(l *letter, r recipient) string { return l.messageID() + " " + r.key() }

func language(l *letter) string {
	tag, _, _ := strings.Cut(l.get("content-language"), ",")
	tag = strings.TrimSpace(tag)
	if len(tag) > 35 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return ""
	}
	return tag
}

// admit asks the host whether it would take p.
func (c *connector) admit(ctx context.Context, p *prepared) error {
	return p.each(func(in event.Inbound) error { return c.host.Accepts(ctx, in) })
}

// put hands p to the host and returns when it is stored.
func (c *connector) put(ctx context.Context, l *letter, p *prepared) error {
	if err := c.fill(ctx, l, p); err != nil {
		return err
	}
	err := p.each(func(in event.Inbound) error {
		_, err := c.host.Put(ctx, in)
		return err
	})
	if err == nil {
		c.host.Log().Info("mail taken", "native", p.in.NativeID)
	}
	return err
}

// each tries f with each spelling of the sender until one is not refused.
func (p *prepared) each(f func(event.Inbound) error) (err error) {
	for _, s := range p.senders {
		p.in.Sender = s
		if err = f(p.in); !refused(err) {
			return err
		}
	}
	return err
}

// fill reads the mail's text, and keeps the mail whole where that is less than
// what was sent.
func (c *connector) fill(ctx context.Context, l *letter, p *prepared) error {
	body := l.content()
	if err := c.keepFiles(ctx, &body, p); err != nil {
		return err
	}
	p.in.Content = event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(body.text)}
	if body.markdown != "" {
		p.in.Content = event.Content{MediaType: "text/markdown;charset=utf-8", Data: []byte(body.markdown)}
	}
	if !body.cut {
		return nil
	}
	whole, err := c.host.Media().Store(ctx, "message/rfc822", bytes.NewReader(l.raw))
	if err != nil {
		return fmt.Errorf("keep the mail: %w", err)
	}
	p.in.Original = whole.Ref
	return nil
}

// maxFiles is how many files a message may have.
const maxFiles = 32

// keepFiles stores the attachments of a mail. What is too large or too much is
// named in the text.
func (c *connector) keepFiles(ctx context.Context, body *gist, p *prepared) error {
	p.in.Files = nil
	for _, part := range body.files {
		kept, err := event.Content{}, event.Permanent(errors.New("too many files"))
		if len(p.in.Files) < maxFiles {
			kept, err = c.host.Media().Store(ctx, part.ContentType, bytes.NewReader(part.Content))
		}
		switch {
		case err == nil:
			p.in.Files = append(p.in.Files, event.File{Name: called(part), Content: kept})
		case event.IsPermanent(err):
			body.text, body.markdown, body.cut = strings.TrimSpace(body.text+"\n[attachment: "+called(part)+"]"), "", true
		default:
			return fmt.Errorf("keep an attachment: %w", err)
		}
	}
	return nil
}

// take does everything for one recipient of a mail.
func (c *connector) take(ctx context.Context, l *letter, r recipient, nullSender bool) error {
	if r.kind == kindBounce {
		return c.bounced(ctx, l, r.id)
	}
	p, err := c.prepare(l, r, nullSender)
	if err == nil && p != nil {
		err = c.put(ctx, l, p)
	}
	if refused(err) {
		c.host.Log().Warn("mail refused", "native", native(l, r), "why", err)
	}
	return err
}
