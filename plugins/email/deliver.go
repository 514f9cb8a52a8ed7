package email

import (
	"context"
	"fmt"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

// Deliver hands a message to the submission server as one mail. It returns
// when that server has taken responsibility for it.
func (c *connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	make, ok := map[event.Kind]func(event.Delivery, wording) (outgoing, error){
		event.KindMessage: c.names.message,
		event.KindStatus:  c.names.notice,
	}[d.Kind]
	if !ok || d.Kind == event.KindStatus && d.State != event.Failed {
		return event.Receipt{}, event.Permanent(fmt.Errorf("mail can't say %s %s", d.Kind, d.State))
	}
	said, err := c.words(ctx, d.Content)
	if err != nil {
		return event.Receipt{}, err
	}
	m, err := make(d, said)
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

// words reads a body: its words, and their form as HTML if they have one.
func (c *connector) words(ctx context.Context, body event.Content) (w wording, err error) {
	data, err := sdk.Body(ctx, c.host.Media(), body, maxText)
	if err != nil {
		return w, err
	}
	if kind, _, _ := strings.Cut(body.MediaType, ";"); kind != "text/html" {
		return wording{text: string(data)}, nil
	}
	doc, err := markup.Read(string(data), markup.HTML)
	if err != nil {
		return w, event.Permanent(err)
	}
	if w.text, err = doc.Write(markup.Plain); err == nil {
		w.html, err = doc.Write(markup.HTML)
	}
	return w, err
}
