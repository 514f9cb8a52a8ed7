package sipedge

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
	"parley.im/plugins/content/mapping"
)

// understood are the CPIM headers that a message may require (RFC 3862,
// section 4.7), by their name spaces.
var understood = map[string][]string{
	"":         {"From", "To", "cc", "DateTime", "Subject", "NS", "Require"},
	imdn.Space: {imdn.MessageID, imdn.Disposition, "Original-To", "IMDN-Record-Route", "IMDN-Route"},
}

// unwrap takes the CPIM wrapper off a message: what it says of the message
// goes into the envelope, and its content becomes the content. Who sends it is
// known from the credentials, so its From says nothing.
func unwrap(in *event.Inbound) error {
	if bareType(in.MediaType) != cpim.MediaType {
		return nil
	}
	m, err := cpim.Parse(in.Data)
	if err != nil {
		return err
	}
	if unknown := m.Required(understood); len(unknown) > 0 {
		return fmt.Errorf("cpim: header %s is required and not known here", plain(unknown[0], 80))
	}
	body, err := decoded(m.Content("Content-Transfer-Encoding"), m.Body)
	if err != nil {
		return fmt.Errorf("cpim: %w", err)
	}
	id, asks := imdn.Request(m)
	if id != "" {
		in.MessageID, in.Wants = id, states(asks)
		in.ID = event.InboundID(event.BuiltinSIP, string(in.Sender), string(in.Recipient), "imdn", id)
	}
	if t, err := time.Parse(time.RFC3339Nano, m.Value("", "DateTime")); err == nil {
		in.Sent = t.UTC()
	}
	if s := plain(m.Value("", "Subject"), maxTitle); s != "" {
		in.Title = s
	}
	in.MediaType = m.Content("Content-Type")
	if in.MediaType == "" || checkType(in.MediaType) != nil {
		in.MediaType = "text/plain"
	}
	in.Data = body
	return nil
}

// decoded returns a copy of a body without its transfer encoding, of which SIP
// has no need, as far as that can be undone.
func decoded(encoding string, body []byte) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary", "base64", "quoted-printable":
		out, whole := mapping.Decode(encoding, body)
		if !whole && len(out) == 0 {
			return nil, fmt.Errorf("no %s", encoding)
		}
		return bytes.Clone(out), nil
	}
	return nil, fmt.Errorf("transfer encoding %q", plain(encoding, 40))
}

// asked are the states that a sender can ask to be told of.
var asked = map[imdn.Ask]event.State{
	imdn.Processing: event.Accepted, imdn.Positive: event.Delivered, imdn.Display: event.Displayed, imdn.Negative: event.Failed,
}

func states(asks []imdn.Ask) (list []event.State) {
	for _, a := range asks {
		list = append(list, asked[a])
	}
	return list
}

func bareType(mediaType string) string {
	t, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// signal takes what phones send by themselves: notices about our messages, and
// signs of typing. They never cause a message. Nothing that is wrong with
// it is told: a phone that is refused may give up the texts that follow.
func (e *Edge) signal(ctx context.Context, who sender, in event.Inbound) answer {
	use := e.composes
	if bareType(in.MediaType) == imdn.MediaType {
		use = e.notified
	}
	if err := use(ctx, who, in); err != nil {
		e.log.Debug("notice from a phone not used", "sender", in.Sender, "error", err)
	}
	return say(202, "Accepted")
}

// told are the statuses that say something about one of our messages.
var told = map[imdn.Status]event.State{imdn.Delivered: event.Delivered, imdn.Displayed: event.Displayed, imdn.Failed: event.Failed}

// notified passes on what a notice says.
func (e *Edge) notified(ctx context.Context, who sender, in event.Inbound) error {
	n, err := imdn.Parse(in.Data)
	if err != nil {
		return err
	}
	state, ok := told[n.Status]
	id, asked := outboundOf(n.MessageID)
	if !ok || state == event.Failed && !asked {
		return fmt.Errorf("status %s", n.Status)
	}
	return e.host.Told(ctx, who.speaks(), event.Report{Outbound: id, State: state, Time: in.Time, Detail: "the phone says that it failed"})
}

// outboundOf returns the Outbound that a Message-ID names. Linphone also tells
// of messages that did not ask, by their Call-ID, which begins with the
// Outbound's. That such a one failed its answer has said, and after it the
// message may have gone in another form.
func outboundOf(messageID string) (id string, asked bool) {
	if end := strings.IndexAny(messageID, ".@"); end >= 0 {
		return messageID[:end], false
	}
	return messageID, true
}

// receipts are the kinds and statuses that tell a state.
var receipts = map[event.State]imdn.Notification{
	event.Accepted:  {Kind: imdn.Processed, Status: imdn.Handled},
	event.Delivered: {Kind: imdn.Delivery, Status: imdn.Delivered},
	event.Displayed: {Kind: imdn.Displaying, Status: imdn.Displayed},
	event.Failed:    {Kind: imdn.Delivery, Status: imdn.Failed},
}

// receipt makes a delivery of kind status the notification that its sender had
// asked for (RFC 5438, section 7).
func receipt(d event.Delivery) (event.Delivery, error) {
	n := receipts[d.State]
	n.MessageID, n.DateTime, n.Recipient = d.MessageID, d.Sent, string(d.From)
	return wrap(d, cpim.Message{
		MIME: []cpim.Header{{Name: "Content-Type", Value: imdn.MediaType}, {Name: "Content-Disposition", Value: "notification"}},
		Body: n.XML(),
	})
}

// wrapped asks the phone to tell when it has shown the message.
func wrapped(d event.Delivery) (event.Delivery, error) {
	return wrap(d, cpim.Message{
		MIME: []cpim.Header{{Name: "Content-Type", Value: d.MediaType}},
		Body: d.Data,
	}, imdn.Display)
}

// wrap puts a message into CPIM. Its Message-ID is the delivery's id, by which
// a notice about it is known. Names stand in SIP's own headers only: Linphone
// takes a message for forged whose From in CPIM has one (488).
func wrap(d event.Delivery, m cpim.Message, asks ...imdn.Ask) (event.Delivery, error) {
	sent := d.Sent
	if sent.IsZero() {
		sent = time.Now()
	}
	m.Headers = append([]cpim.Header{
		{Name: "From", Value: "<" + string(d.From) + ">"}, {Name: "To", Value: "<" + string(d.Target) + ">"},
		{Name: "DateTime", Value: sent.UTC().Format(time.RFC3339)},
	}, imdn.Headers(d.ID, asks...)...)
	var err error
	d.Data, err = m.Bytes()
	d.MediaType = cpim.MediaType
	return d, err
}
