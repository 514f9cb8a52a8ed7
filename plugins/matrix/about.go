package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	insider, place, err := c.whereabouts(ctx, h.Room)
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
		if err := c.fill(ctx, h, about.message, insider, &in); err != nil {
			return err
		}
		if strings.TrimSpace(string(in.Data)) == "" {
			return nil
		}
	}
	in.Thread = anchor(h.Room, c.rootOf(ctx, insider, h.Room, about.about))
	if place == "" {
		in.Recipient, in.Thread = c.correspondent(ctx, h.Room, insider), anchor(h.Room, "")
	}
	_, err = c.host.Put(ctx, in)
	if errors.Is(err, sdk.ErrRefused) {
		c.log.Info("not taken", "message", h.ID, "kind", about.kind, "err", err)
		return nil
	}
	return err
}

// rootOf returns the root of the thread that an event stands in or begins for
// us, "" for none.
func (c *connector) rootOf(ctx context.Context, as id.UserID, at id.RoomID, message id.EventID) id.EventID {
	var out happening
	if c.api.call(ctx, as, http.MethodGet, []any{"v3", "rooms", at, "event", message}, nil, nil, &out) != nil {
		return ""
	}
	m, _ := readMessage(out.Content)
	if root := m.Relates.root(); root != "" || !c.names.owns(out.Sender) {
		return root
	}
	return message
}

// deliverAbout edits, withdraws or reacts to a message that stands in a room.
func (c *connector) deliverAbout(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	t, err := readAddress(d.Target)
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	at, _ := readAnchor(d.Anchor)
	if t.kind != aUser {
		if at, err = c.roomOf(ctx, t); err != nil {
			return event.Receipt{}, unsent("find the room "+t.id, err)
		}
	}
	if at == "" || d.InReplyTo == "" {
		return event.Receipt{}, event.Permanent(fmt.Errorf("%s of %q: there is no such message", d.Kind, d.InReplyTo))
	}
	m := post{txn: "parley-" + d.ID}
	about := id.EventID(d.InReplyTo)
	switch d.Kind {
	case event.KindEdit:
		if m, err = c.compose(ctx, d); err != nil {
			return event.Receipt{}, err
		}
		m.replace(about)
	case event.KindReact:
		key, _, err := text(ctx, c.host.Media(), d.Content)
		if err != nil {
			return event.Receipt{}, err
		}
		m.kind = "m.reaction"
		m.content = map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": about, "key": short(clean(key, false), maxKey)}}
	}
	if m.as, err = c.ghosts.ensure(ctx, d.From, d.FromName); err != nil {
		return event.Receipt{}, err
	}
	if d.Kind == event.KindRedact {
		return c.redact(ctx, d, m, at, about)
	}
	evs, err := c.send(ctx, m, at, t.via)
	if err != nil {
		return event.Receipt{}, sending(err)
	}
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{string(evs[0])}}, nil
}

// replace makes m the new form of an earlier message, with the form that older
// clients show.
func (m *post) replace(about id.EventID) {
	now := map[string]any{}
	for _, k := range []string{"msgtype", "body", "format", "formatted_body", "m.mentions"} {
		if v, ok := m.content[k]; ok {
			now[k] = v
		}
	}
	m.content["m.new_content"] = now
	m.content["m.relates_to"] = map[string]any{"rel_type": "m.replace", "event_id": about}
	m.content["body"] = fmt.Sprintf("* %v", m.content["body"])
	delete(m.content, "format")
	delete(m.content, "formatted_body")
}

func (c *connector) redact(ctx context.Context, d event.Delivery, m post, at id.RoomID, about id.EventID) (event.Receipt, error) {
	if err := c.rooms.enter(ctx, m.as, at, nil); err != nil {
		return event.Receipt{}, unsent("join the room as "+string(m.as), err)
	}
	var out struct {
		Event id.EventID `json:"event_id"`
	}
	err := c.api.call(ctx, m.as, http.MethodPut, []any{"v3", "rooms", at, "redact", about, m.txn}, url.Values{}, map[string]any{}, &out)
	if err != nil {
		return event.Receipt{}, sending(err)
	}
	c.log.Debug("withdrawn", "message", d.ID, "event", about)
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{string(out.Event)}}, nil
}
