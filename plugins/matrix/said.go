package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// message is the content of m.room.message and m.sticker, as far as it is read.
type message struct {
	Type    string   `json:"msgtype"`
	Body    string   `json:"body"`
	File    string   `json:"filename"`
	Format  string   `json:"format"`
	HTML    string   `json:"formatted_body"`
	URL     string   `json:"url"` // of a file
	Geo     string   `json:"geo_uri"`
	Info    fileInfo `json:"info"`
	Mark    mark     `json:"im.parley.mark"`
	Relates relation `json:"-"`
}

// fileInfo says what a file is.
type fileInfo struct {
	Type string `json:"mimetype"`
}

// UnmarshalJSON never fails: a file of which nothing can be read is still one.
func (i *fileInfo) UnmarshalJSON(b []byte) error {
	type plain fileInfo
	if json.Unmarshal(b, (*plain)(i)) != nil {
		*i = fileInfo{}
	}
	return nil
}

// A mark is Delivery.Mark in a content, and the user it was written as:
// clients copy a content whole when somebody forwards it.
type mark struct {
	Text string    `json:"text"`
	As   id.UserID `json:"as"`
}

// UnmarshalJSON never fails: what is no mark is none.
func (m *mark) UnmarshalJSON(b []byte) error {
	type plain mark
	if json.Unmarshal(b, (*plain)(m)) != nil {
		*m = mark{}
	}
	return nil
}

// of returns the text if it is user who wrote it.
func (m mark) of(user id.UserID) string {
	if m.As != user {
		return ""
	}
	return m.Text
}

// relation says what a message belongs to.
type relation struct {
	Type     string     `json:"rel_type"`
	Event    id.EventID `json:"event_id"`
	Fallback bool       `json:"is_falling_back"`
	Reply    struct {
		Event id.EventID `json:"event_id"`
	} `json:"m.in_reply_to"`
}

// readMessage reads a content. ok is false for what is no message.
func readMessage(content json.RawMessage) (m message, ok bool) {
	if json.Unmarshal(content, &m) != nil {
		return m, false
	}
	var related struct {
		Relates json.RawMessage `json:"m.relates_to"`
	}
	_ = json.Unmarshal(content, &related) // it was an object above
	if len(related.Relates) > 0 && json.Unmarshal(related.Relates, &m.Relates) != nil {
		m.Relates = relation{} // of an unknown form: the words stand for themselves
	}
	return m, true
}

// root is the root of the thread that a message stands in.
func (r relation) root() id.EventID {
	if r.Type == "m.thread" {
		return r.Event
	}
	return ""
}

// answers is the message that a message answers, not counting what is written
// for clients that don't know threads.
func (r relation) answers() id.EventID {
	if r.Type == "m.thread" && r.Fallback {
		return ""
	}
	return r.Reply.Event
}

// words is what a message says in plain text; "" means nothing.
func (m message) words(kind, name string) string {
	body := clean(m.Body, true)
	if m.Relates.answers() != "" {
		body = withoutQuote(body)
	}
	title := clean(m.Body, false)
	if m.File != "" {
		title = clean(m.File, false)
	}
	switch {
	case kind == "m.sticker":
		return "[sticker: " + title + "]"
	case m.Type == "m.text", m.Type == "m.notice":
		return body
	case m.Type == "m.emote":
		return "* " + name + " " + body
	case m.Type == "m.location" && location(m.Geo) != "":
		return "Location: " + title + "\n" + location(m.Geo)
	case m.isFile(), m.Type == "m.location":
		words := "[" + strings.TrimPrefix(m.Type, "m.") + ": " + title + "]"
		if m.File != "" && m.Body != m.File && body != "" {
			words += " " + body
		}
		return words
	}
	return body // of a type that only newer clients know
}

// withoutQuote cuts off the quotation that older clients put before a reply.
// Matrix specification, client API, "Fallbacks for rich replies".
func withoutQuote(body string) string {
	if !strings.HasPrefix(body, "> <@") && !strings.HasPrefix(body, "> * <@") {
		return body
	}
	lines := strings.Split(body, "\n")
	n := 0
	for n < len(lines) && strings.HasPrefix(lines[n], "> ") {
		n++
	}
	if n < len(lines) && lines[n] == "" {
		n++
	}
	return strings.Join(lines[n:], "\n")
}

// said hands over what somebody said. It returns when the host has stored it
// or refused it for good.
func (c *connector) said(ctx context.Context, h happening) error {
	m, ok := readMessage(h.Content)
	if !ok || m.Relates.Type == "m.replace" || m.Type == "m.key.verification.request" {
		return nil
	}
	insider, place, err := c.whereabouts(ctx, h)
	if err != nil {
		return err
	}
	in := event.Inbound{
		Envelope: event.Envelope{
			Kind: event.KindMessage, Sender: userAddress(h.Sender), SenderName: c.nameOf(ctx, h.Room, insider, h.Sender),
			Recipient: place, NativeID: string(h.ID), InReplyTo: string(m.Relates.answers()),
			Automatic: m.Type == "m.notice", Wants: []event.State{event.Failed}, Mark: m.Mark.of(h.Sender),
		},
	}
	if in.SenderName == "" {
		in.SenderName = short(clean(h.Sender.Localpart(), false), maxName)
	}
	if h.Time > 0 && h.Time < 1<<42 {
		in.Sent = time.UnixMilli(h.Time)
	}
	if err := c.fill(ctx, h, m, insider, &in); err != nil {
		return err
	}
	if len(in.Files) == 0 && strings.TrimSpace(string(in.Data)) == "" {
		return nil
	}
	root := m.Relates.root()
	if place == "" {
		in.Recipient = c.correspondent(ctx, h.Room, insider)
		in.Wants = []event.State{event.Delivered, event.Displayed, event.Failed}
	} else if root == "" {
		if root, err = c.threadOf(ctx, h, insider, m.Relates.answers()); err != nil {
			return err
		}
	}
	in.Thread = anchor(h.Room, root)
	_, err = c.host.Put(ctx, in)
	if errors.Is(err, sdk.ErrRefused) {
		return c.refused(ctx, h, in, insider, place != "", err)
	}
	return err
}

// whereabouts returns who of ours is in the room of an event, and the address
// by which routes know it, "" for a room of a ghost.
func (c *connector) whereabouts(ctx context.Context, h happening) (insider id.UserID, place event.Address, err error) {
	if place, err = c.placeOf(ctx, h); err != nil {
		return c.names.bot, place, err
	}
	if place == "" {
		insider, err = c.inside(ctx, h.Room)
		return insider, "", err
	}
	// The room may be younger than the connector, and a ghost alone in it.
	if err := c.rooms.enter(ctx, c.names.bot, h.Room, nil); err != nil {
		c.log.Debug("the bot is not in a room that a route names", "room", h.Room, "err", err)
	}
	return c.names.bot, place, nil
}

// placeOf returns the address by which routes know the room of an event, "" for
// any other room: also when nobody can tell for a while which one an alias on
// another server is.
func (c *connector) placeOf(ctx context.Context, h happening) (event.Address, error) {
	place, err := c.places.at(ctx, h.Room)
	if err != nil && h.goesWithout(err) {
		c.log.Debug("an alias that a route names can't be looked up", "event", h.ID, "err", err)
		return "", nil
	}
	return place, err
}

// threadOf returns the thread of a message that is answered outside of it, by
// a client that knows no threads: the message's own, or the one that it is the
// root of. It is "" when nothing is answered or that can't be told.
func (c *connector) threadOf(ctx context.Context, h happening, as id.UserID, message id.EventID) (id.EventID, error) {
	if message == "" {
		return "", nil
	}
	out, err := c.fetch(ctx, as, h.Room, message)
	if err != nil && !h.goesWithout(err) {
		return "", err
	}
	m, ok := readMessage(out.Content)
	switch {
	case !ok || !c.names.owns(out.Sender):
		return "", nil
	case m.Relates.root() != "":
		return m.Relates.root(), nil
	}
	return message, nil
}

// fetch asks for an event. The error is a *failure.
func (c *connector) fetch(ctx context.Context, as id.UserID, at id.RoomID, ev id.EventID) (h happening, err error) {
	err = c.api.call(ctx, as, http.MethodGet, []any{"v3", "rooms", at, "event", ev}, nil, nil, &h)
	return h, err
}

// refused tells the author that a message goes nowhere, and why. A machine is
// not told: it might answer.
func (c *connector) refused(ctx context.Context, h happening, in event.Inbound, insider id.UserID, place bool, why error) error {
	c.log.Info("message refused", "message", h.ID, "room", h.Room, "sender", h.Sender, "err", why)
	if in.Automatic || place && !c.notices.allow(string(h.Room)+" "+string(h.Sender)) {
		return nil
	}
	_, root := readAnchor(in.Thread)
	words := "Not delivered: " + strings.TrimPrefix(why.Error(), sdk.ErrRefused.Error()+": ")
	n := notice("refused-"+hash(string(h.ID)), short(clean(words, false), 1000), root, h.ID)
	n.as = insider
	if _, err := c.put(ctx, n, h.Room); err != nil {
		return c.passOver("the author of a refused message was not told", h, err)
	}
	return nil
}
