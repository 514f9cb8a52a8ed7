package matrix

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// typingFor is how long somebody is shown as composing without another word.
const typingFor = 30 * time.Second

// deliverStatus tells the author of a message what became of it: read by a
// receipt, failed by a notice in the room.
func (c *connector) deliverStatus(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	at, root := readAnchor(d.Anchor)
	if at == "" || d.InReplyTo == "" {
		return event.Receipt{}, event.Permanent(fmt.Errorf("status of %q in %q: there is no such message", d.InReplyTo, d.Anchor))
	}
	as, err := c.speaker(ctx, d, at)
	if err != nil {
		return event.Receipt{}, err
	}
	about := id.EventID(d.InReplyTo)
	switch d.State {
	case event.Delivered, event.Displayed:
		err := c.api.call(ctx, as, http.MethodPost, []any{"v3", "rooms", at, "receipt", "m.read", about}, nil, struct{}{}, nil)
		return event.Receipt{State: event.Delivered}, unsent("send the receipt", err)
	case event.Failed:
		words, _, err := text(ctx, c.host.Media(), d.Content)
		if err != nil {
			return event.Receipt{}, err
		}
		m := notice("parley-"+d.ID, "Not delivered to "+short(clean(words, false), 1000), root, about)
		m.as = as
		evs, err := c.send(ctx, m, at, nil)
		return receipt(d, at, root, evs...), sending(err)
	}
	return event.Receipt{}, event.Permanent(fmt.Errorf("state %q is not for Matrix", d.State))
}

// speaker returns who speaks for the bridge in a room: the ghost that was
// written to, or the bot.
func (c *connector) speaker(ctx context.Context, d event.Delivery, at id.RoomID) (id.UserID, error) {
	if d.From.Scheme() == Network || d.From == "" {
		return c.names.bot, nil
	}
	place, err := c.places.at(ctx, at)
	if err != nil {
		return "", unsent("find the room", err)
	}
	if place != "" {
		return c.names.bot, nil
	}
	ghost, err := c.names.ghost(d.From)
	if err != nil {
		return "", event.Permanent(err)
	}
	return ghost, nil
}

// notice is a message by the bridge itself, which no bot answers, in reply to
// another.
func notice(txn, words string, root, about id.EventID) post {
	m := post{txn: txn, content: map[string]any{"msgtype": "m.notice", "body": words, "m.mentions": map[string]any{}}}
	if root != "" {
		m.content["m.relates_to"] = inThread(root, about, false)
	} else {
		m.content["m.relates_to"] = map[string]any{"m.in_reply_to": map[string]any{"event_id": about}}
	}
	return m
}

// deliverTyping shows a ghost as composing, where a conversation goes on
// already. It opens no room for it.
func (c *connector) deliverTyping(ctx context.Context, d event.Delivery) error {
	t, err := readAddress(d.Target)
	if err != nil {
		return event.Permanent(err)
	}
	at, _ := readAnchor(d.Anchor)
	if t.kind != aUser {
		if at, err = c.roomOf(ctx, t); err != nil {
			return unsent("find the room", err)
		}
	}
	ghost, err := c.names.ghost(d.From)
	if at == "" || err != nil {
		return nil
	}
	in := map[string]any{"typing": d.Active}
	if d.Active {
		in["timeout"] = typingFor.Milliseconds()
	}
	err = c.api.call(ctx, ghost, http.MethodPut, []any{"v3", "rooms", at, "typing", ghost}, nil, in, nil)
	if is(err, "M_FORBIDDEN") { // not there yet; its first message brings it
		return nil
	}
	return unsent("show composing", err)
}
