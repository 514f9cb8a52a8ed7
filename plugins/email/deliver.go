package email

import (
	"context"
	"errors"
	"fmt"
	"html"
	"strings"

	"github.com/emersion/go-smtp"

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
	r := event.Receipt{State: event.Accepted, RemoteIDs: []string{m.messageID}}
	if len(d.Files) > 0 {
		attach(ctx, &m, c.host.Media(), said, d.Files)
	}
	err = c.relay.send(ctx, m)
	if len(d.Files) > 0 && filesFail(err) { // what was said must not be lost with its files
		for _, f := range d.Files {
			said.add("[file not passed on: " + f.Name + "]")
		}
		r.Losses = []string{string(notAttached)}
		if m, err = make(d, said); err == nil {
			err = c.relay.send(ctx, m)
		}
	}
	if err != nil {
		return event.Receipt{}, err
	}
	c.host.Log().Info("mail handed in", "message", d.ID)
	if d.Kind == event.KindMessage {
		r.Anchor = token(d)
	}
	return r, nil
}

// add adds a line.
func (w *wording) add(line string) {
	w.text = strings.TrimSpace(w.text + "\n\n" + line)
	if w.html != "" {
		w.html += "<p>" + html.EscapeString(line) + "</p>"
	}
}

// filesFail tells whether it is the files that can't be sent: the mail server
// takes no mail of that size (RFC 1870, section 6.1), or they are gone.
func filesFail(err error) bool {
	var answer *smtp.SMTPError
	return errors.Is(err, errNoFile) || errors.As(err, &answer) && (answer.Code == 552 || answer.EnhancedCode == smtp.EnhancedCode{5, 3, 4})
}

// words reads a body: its words, and their form as HTML if they have one.
func (c *connector) words(ctx context.Context, body event.Content) (w wording, err error) {
	data, err := sdk.Body(ctx, c.host.Media(), body, maxText)
	if err != nil {
		return w, err
	}
	if isSealed(body.MediaType) {
		return wording{sealed: event.Content{MediaType: body.MediaType, Data: data}}, nil
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
