package email

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"golang.org/x/net/html/charset"

	"parley.im/bus/event"
)

// Deliver hands a message to the submission server as one mail. It returns
// when that server has taken responsibility for it.
func (c *connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	make, ok := map[event.Kind]func(event.Delivery, string) (outgoing, error){
		event.KindMessage: c.names.message,
		event.KindStatus:  c.names.notice,
	}[d.Kind]
	if !ok || d.Kind == event.KindStatus && d.State != event.Failed {
		return event.Receipt{}, event.Permanent(fmt.Errorf("mail can't say %s %s", d.Kind, d.State))
	}
	text, err := c.text(ctx, d.Content)
	if err != nil {
		return event.Receipt{}, err
	}
	m, err := make(d, text)
	if err != nil {
		return event.Receipt{}, event.Permanent(fmt.Errorf("write to %s: %w", d.Target, err))
	}
	if err := c.relay.send(ctx, m); err != nil {
		return event.Receipt{}, err
	}
	c.host.Log().Info("mail handed in", "message", d.ID)
	r := event.Receipt{State: event.Accepted, RemoteIDs: []string{m.messageID}}
	if d.Kind == event.KindMessage {
		r.Anchor = token(d)
	}
	return r, nil
}

// text reads a body. What can't be read now has certainly not been sent.
func (c *connector) text(ctx context.Context, body event.Content) (string, error) {
	kind, params, err := mime.ParseMediaType(body.MediaType)
	if err != nil && body.MediaType != "" || err == nil && !strings.HasPrefix(kind, "text/") {
		return "", event.Permanent(fmt.Errorf("mail takes text only, not %q", body.MediaType))
	}
	if body.Size > maxText || len(body.Data) > maxText {
		return "", event.Permanent(fmt.Errorf("the message is larger than %d bytes", maxText))
	}
	data := body.Data
	if body.Ref != "" {
		if data, err = c.fetch(ctx, body); err != nil {
			return "", event.Retry(event.ScopeMessage, 0, err)
		}
	}
	if label := params["charset"]; label != "" && !strings.EqualFold(label, "utf-8") {
		return decoded(label, data), nil
	}
	return string(data), nil
}

func (c *connector) fetch(ctx context.Context, body event.Content) ([]byte, error) {
	r, err := c.host.Media().Open(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("open body: %w", err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(data) > maxText {
		err = errors.New("it is larger than was said")
	}
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return data, nil
}

// decoded reads text of a charset, as it is if nobody knows that charset.
func decoded(label string, data []byte) string {
	enc, _ := charset.Lookup(label)
	if enc == nil {
		return string(data)
	}
	out, err := enc.NewDecoder().Bytes(data)
	if err != nil {
		return string(data)
	}
	return string(out)
}
