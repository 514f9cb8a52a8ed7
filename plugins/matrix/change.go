package matrix

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

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
	r := event.Receipt{State: event.Delivered}
	switch d.Kind {
	case event.KindEdit:
		m.key = d.ID
		m.content, r.Losses, err = c.edited(ctx, d)
	case event.KindReact:
		m.kind = "m.reaction"
		m.content, err = c.reaction(ctx, d)
	}
	if err != nil {
		return event.Receipt{}, err
	}
	if m.as, err = c.ghosts.ensure(ctx, d.From, d.FromName); err != nil {
		return event.Receipt{}, err
	}
	var evs []id.EventID
	if d.Kind == event.KindRedact {
		evs, err = c.redact(ctx, d, m, at)
	} else {
		evs, err = c.send(ctx, m, at, t.via)
	}
	if err != nil {
		return event.Receipt{}, sending(err)
	}
	for _, ev := range evs {
		r.RemoteIDs = append(r.RemoteIDs, string(ev))
	}
	return r, nil
}

// edited is the content of an event that replaces the words of a message. Its
// files stay as they are.
func (c *connector) edited(ctx context.Context, d event.Delivery) (content map[string]any, losses []string, err error) {
	words, html, err := text(ctx, c.host.Media(), d.Content)
	if err != nil {
		return nil, nil, err
	}
	if len(d.Files) > 0 {
		losses = []string{string(notEdited)}
	}
	if onlyFiles(d, words) {
		words, html = notPassedOn(d.Files[0], ""), ""
	}
	now, err := saying(d, words, html)
	if err != nil {
		return nil, nil, err
	}
	content = replacement(now, id.EventID(d.InReplyTo))
	return content, losses, checkSize(content)
}

// replacement makes now the new form of an earlier message, with the form that
// older clients show, as far as there is room for what is said twice.
func replacement(now map[string]any, about id.EventID) map[string]any {
	content := map[string]any{
		"msgtype": now["msgtype"], "body": fmt.Sprintf("* %v", now["body"]), "m.mentions": map[string]any{},
		"m.new_content": now, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": about},
	}
	if size(content) > maxContent {
		content["body"] = "* (edited)"
	}
	if size(content) > maxContent {
		unformat(now)
	}
	return content
}

// reaction is the content of an event that reacts to a message.
func (c *connector) reaction(ctx context.Context, d event.Delivery) (map[string]any, error) {
	key, _, err := text(ctx, c.host.Media(), d.Content)
	return map[string]any{"m.relates_to": map[string]any{
		"rel_type": "m.annotation", "event_id": d.InReplyTo, "key": short(clean(key, false), maxKey),
	}}, err
}

// redact withdraws all that a message became, and returns the events that say
// so.
func (c *connector) redact(ctx context.Context, d event.Delivery, m post, at id.RoomID) (list []id.EventID, err error) {
	if err := c.rooms.enter(ctx, m.as, at, nil); err != nil {
		return nil, &preparing{"join the room as " + string(m.as), err}
	}
	about := d.RemoteIDs
	if len(about) == 0 {
		about = []string{d.InReplyTo}
	}
	for i, ev := range about {
		txn := m.txn
		if i > 0 {
			txn += "-" + strconv.Itoa(i+1)
		}
		var out struct {
			Event id.EventID `json:"event_id"`
		}
		if err := c.api.call(ctx, m.as, http.MethodPut, []any{"v3", "rooms", at, "redact", ev, txn}, nil, struct{}{}, &out); err != nil {
			return nil, err
		}
		list = append(list, out.Event)
	}
	c.log.Debug("withdrawn", "message", d.ID, "events", about)
	return list, nil
}
