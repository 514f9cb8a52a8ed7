package email

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-message"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// maxReport bounds the part of a report that is read, in bytes.
const maxReport = 64 << 10

// outcome is what a report says of the delivery that it is about.
type outcome struct {
	state  event.State // Failed or Delivered; "" if nothing is settled
	reason event.Reason
	detail string
}

// bounced tells the host what a report says. Anything but a report that comes
// to such an address is nobody's: an answering machine, or a guess.
func (c *connector) bounced(ctx context.Context, l *letter, id string) error {
	log := c.host.Log().With("message", id)
	o, ok := l.report()
	if !ok {
		log.Info("mail to a report address dropped: it is no report")
		return nil
	}
	if o.state == "" {
		log.Info("mail is delayed on its way", "why", o.detail)
		return nil
	}
	err := c.host.Report(ctx, event.Report{Outbound: id, State: o.state, Reason: o.reason, Detail: o.detail})
	if errors.Is(err, sdk.ErrNotFound) || event.IsPermanent(err) {
		log.Info("report dropped: its mail is not remembered", "err", err)
		return nil
	}
	if err == nil {
		log.Info("a mail server reported", "state", o.state, "why", o.detail)
	}
	return err
}

// report reads a delivery status notification (RFC 3464). A failure of any
// recipient is one of the mail: ours have one.
func (l *letter) report() (o outcome, ok bool) {
	defer func() {
		if recover() != nil { // a parser's, of hostile bytes
			o, ok = outcome{}, false
		}
	}()
	if l.kind() != "multipart/report" || bytes.Count(l.body, []byte("boundary")) > maxParts {
		return o, false
	}
	e, err := message.Read(bytes.NewReader(l.clean()))
	if e == nil || err != nil && !message.IsUnknownCharset(err) {
		return o, false
	}
	parts := e.MultipartReader()
	if parts == nil {
		return o, false
	}
	for {
		p, err := parts.NextPart()
		if p == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			return o, false
		}
		kind, _, _ := p.Header.ContentType()
		if kind != "message/delivery-status" && kind != "message/global-delivery-status" {
			continue
		}
		data, _ := io.ReadAll(io.LimitReader(p.Body, maxReport))
		return readStatus(data), true
	}
}

// readStatus reads the groups of fields of a report, the first of which is
// about the mail, each other about a recipient.
func readStatus(data []byte) (o outcome) {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	for group := range bytes.SplitSeq(data, []byte("\n\n")) {
		l := readLetter(append(bytes.TrimLeft(group, "\n"), '\n'))
		action, _, _ := strings.Cut(strings.ToLower(l.get("action")), " ")
		switch action {
		case "failed":
			return failure(l)
		case "delayed":
			o.detail = diagnosis(l)
		case "delivered":
			o = outcome{state: event.Delivered}
		}
	}
	return o
}

func failure(l *letter) outcome {
	o := outcome{state: event.Failed, reason: event.ReasonPermanent, detail: diagnosis(l)}
	status := l.get("status")
	switch {
	case strings.HasPrefix(status, "4."):
		o.reason = event.ReasonExhausted // RFC 3463: it was temporary, and lasted
	case strings.HasPrefix(status, "5.7."):
		o.reason = event.ReasonRefused
	}
	return o
}

// diagnosis is the status and the words of the server that gave up.
func diagnosis(l *letter) string {
	status, _, _ := strings.Cut(words(l.get("status")), " ")
	text := l.get("diagnostic-code")
	if _, after, ok := strings.Cut(text, ";"); ok {
		text = after
	}
	text = words(decodeWords(text))
	switch {
	case text != "" && status != "" && !strings.Contains(text, status):
		return fmt.Sprintf("the mail server reported: %s (%s)", text, status)
	case text != "":
		return "the mail server reported: " + text
	case status != "":
		return "the mail server reported the status " + status
	}
	return "the mail server reported that it was not delivered"
}
