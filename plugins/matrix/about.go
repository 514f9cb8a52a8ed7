package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// A concern is what an event says about an earlier one. Matrix specification,
// client API, "Event replacements", "Annotations", "Redactions".
type concern struct {
	kind    event.Kind
	about   id.EventID
	message message // of an edit: how it reads now
	key     string  // of a reaction
}

// maxKey is the longest reaction that is passed on, in bytes.
const maxKey = 128

// concernOf reads a content; ok is false for what is about nothing.
func concernOf(h happening) (c concern, ok bool) {
	var body struct {
		New     json.RawMessage `json:"m.new_content"`
		Redacts id.EventID      `json:"redacts"`
		Relates struct {
			Type  string     `json:"rel_type"`
			Event id.EventID `json:"event_id"`
			Key   string     `json:"key"`
		} `json:"m.relates_to"`
	}
	_ = json.Unmarshal(h.Content, &body) // what can't be read is about nothing
	switch {
	case h.Type == "m.room.redaction":
		c = concern{kind: event.KindRedact, about: cmp.Or(body.Redacts, h.Redacts)}
	case h.Type == "m.reaction" && body.Relates.Type == "m.annotation" && len(body.Relates.Key) <= maxKey:
		c = concern{kind: event.KindReact, about: body.Relates.Event, key: clean(body.Relates.Key, false)}
		if c.key == "" {
			return c, false
		}
	case h.Type == "m.room.message" && body.Relates.Type == "m.replace":
		c = concern{kind: event.KindEdit, about: body.Relates.Event}
		if c.message, ok = readMessage(body.New); !ok {
			return c, false
		}
	}
	return c, c.about != ""
}

// concerned hands over an edit, a deletion or a reaction. What goes nowhere is
// not told to anybody: it is no message.
func (c *connector) concerned(ctx context.Context, h happening, about concern) error {
	insider, place, err := c.whereabouts(ctx, h)
	if err != nil {
		return err
	}
	in := event.Inbound{Envelope: event.Envelope{
		Kind: about.kind, Sender: userAddress(h.Sender), SenderName: c.nameOf(ctx, h.Room, insider, h.Sender), Recipient: place,
		NativeID: string(h.ID), InReplyTo: string(about.about),
	}}
	if in.SenderName == "" {
		in.SenderName = short(clean(h.Sender.Localpart(), false), maxName)
	}
	in.Content = plainContent(about.key)
	if about.kind == event.KindEdit {
		if ok, err := c.mayEdit(ctx, h, about.about, insider); !ok {
			return err
		}
		if err := c.fill(ctx, h, about.message, insider, &in); err != nil {
			return err
		}
		if strings.TrimSpace(string(in.Data)) == "" {
			return nil
		}
	}
	in.Thread = anchor(h.Room, "") // which one, the host knows by the message
	if place == "" {
		in.Recipient = c.correspondent(ctx, h.Room, insider)
	}
	_, err = c.host.Put(ctx, in)
	if errors.Is(err, sdk.ErrRefused) {
		c.log.Info("not taken", "message", h.ID, "kind", about.kind, "err", err)
		return nil
	}
	return err
}

// mayEdit tells whether an edit is by who wrote the message, as far as that can
// be told. Homeservers take edits of any message from anybody: it is for clients
// to look (Matrix specification, client API, "Validity of replacement events").
func (c *connector) mayEdit(ctx context.Context, h happening, about id.EventID, insider id.UserID) (bool, error) {
	old, err := c.fetch(ctx, insider, h.Room, about)
	if err != nil {
		return h.goesWithout(err), err
	}
	if old.Sender != h.Sender {
		c.log.Info("an edit of somebody else's message was passed over", "message", h.ID, "sender", h.Sender, "author", old.Sender)
	}
	return old.Sender == h.Sender, nil
}
