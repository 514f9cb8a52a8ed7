package matrix

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// late is how old a message is that is shown with the time it was sent at.
const late = time.Minute

// outboundKey is the key of a message's content that holds Delivery.ID.
const outboundKey = "im.parley.outbound"

// markKey is the key of a message's content that holds its mark.
const markKey = "im.parley.mark"

// Deliver sends a message in the name of its author's ghost, or a sign of what
// became of one. It may be called from several goroutines, and again with the
// same delivery: the homeserver then answers with the event it has.
func (c *connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	r, err := c.deliver(ctx, d)
	c.mind(err)
	return r, err
}

// mind has the homeserver watched when an error says that it is away.
func (c *connector) mind(err error) {
	var f *failure
	if errors.As(err, &f) && f.away() {
		c.watch.look()
	}
}

func (c *connector) deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	switch d.Kind {
	case event.KindStatus:
		return c.deliverStatus(ctx, d)
	case event.KindTyping:
		return event.Receipt{}, c.deliverTyping(ctx, d)
	case event.KindEdit, event.KindRedact, event.KindReact:
		return c.deliverAbout(ctx, d)
	case event.KindMessage:
	default:
		return event.Receipt{}, event.Permanent(fmt.Errorf("messages of kind %q are not for Matrix", d.Kind))
	}
	t, err := readAddress(d.Target)
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	m, err := c.compose(ctx, d)
	if err != nil {
		return event.Receipt{}, err
	}
	if m.as, err = c.ghosts.ensure(ctx, d.From, d.FromName); err != nil {
		return event.Receipt{}, err
	}
	losses, err := c.attach(ctx, &m, d)
	if err != nil {
		return event.Receipt{}, err
	}
	m.mark(d.Mark)
	var r event.Receipt
	if t.kind == aUser {
		r, err = c.toPerson(ctx, m, d, id.UserID(t.id))
	} else {
		r, err = c.toPlace(ctx, m, t, d)
	}
	r.Losses = losses
	return r, err
}

// A post is a message on its way into a room.
type post struct {
	as      id.UserID
	txn     string // the same for the same delivery
	content map[string]any
	sent    time.Time // when it was written, if that is worth showing
	kind    string    // "" is m.room.message
	reply   id.EventID
	root    id.EventID
	desk    bool   // without a root it begins a thread
	rest    []post // what follows in the same thread
}

// compose makes the content of a message, empty if it has no words but files.
func (c *connector) compose(ctx context.Context, d event.Delivery) (post, error) {
	words, html, err := text(ctx, c.host.Media(), d.Content)
	if err != nil {
		return post{}, err
	}
	kind := "m.text"
	if d.Automatic {
		kind = "m.notice" // no bot answers it
	}
	m := post{txn: "parley-" + d.ID, desk: d.Mode == event.ModeDesk, reply: id.EventID(d.InReplyTo), content: map[string]any{
		"msgtype": kind, "body": words, outboundKey: d.ID,
		"m.mentions": map[string]any{}, // what looks like "@room" calls nobody
	}}
	if strings.TrimSpace(words) == "" && len(d.Files) > 0 {
		m.content = nil
	}
	if m.content != nil && html != "" {
		m.content["format"], m.content["formatted_body"] = "org.matrix.custom.html", html
	}
	if size(m.content) > maxContent {
		delete(m.content, "format")
		delete(m.content, "formatted_body")
	}
	if n := size(m.content); n > maxContent {
		return post{}, event.Permanent(fmt.Errorf("the message would make an event of more than %d bytes; Matrix allows 65536 with all around it", n))
	}
	if !d.Sent.IsZero() && time.Since(d.Sent) > late {
		m.sent = d.Sent
	}
	return m, nil
}

// mark adds the mark of the message, where there is room for it.
func (m *post) mark(text string) {
	if text == "" {
		return
	}
	m.content[markKey] = mark{text, m.as}
	if size(m.content) > maxContent {
		delete(m.content, markKey)
	}
}

// size is the length of an event's content as it is counted: canonical JSON.
func size(content map[string]any) int {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(content) // maps of strings
	return b.Len()
}

// relate makes m part of a thread, or of none.
func (m *post) relate(root id.EventID) {
	m.root = root
	delete(m.content, "m.relates_to")
	switch {
	case root != "" && m.reply != "":
		m.content["m.relates_to"] = inThread(root, m.reply, false)
	case root != "":
		m.content["m.relates_to"] = inThread(root, root, true)
	case m.reply != "":
		m.content["m.relates_to"] = map[string]any{"m.in_reply_to": map[string]any{"event_id": m.reply}}
	}
}

// inThread relates to a thread, and within it to a message. Matrix
// specification, client API, "Threading".
func inThread(root, message id.EventID, fallback bool) map[string]any {
	return map[string]any{
		"rel_type": "m.thread", "event_id": root, "is_falling_back": fallback,
		"m.in_reply_to": map[string]any{"event_id": message},
	}
}

// toPlace sends into a fixed room. Where that has become of no use, its alias
// may have moved on.
func (c *connector) toPlace(ctx context.Context, m post, t target, d event.Delivery) (event.Receipt, error) {
	at, err := c.roomOf(ctx, t)
	if err != nil {
		return event.Receipt{}, unsent("find the room "+t.id, err)
	}
	r, err := c.inPlace(ctx, m, t, d, at)
	if t.kind != aAlias || !lost(err) {
		return r, err
	}
	c.rooms.forget(at)
	if moved, e := c.roomOf(ctx, t); e == nil && moved != at {
		return c.inPlace(ctx, m, t, d, moved)
	}
	return r, err
}

// inPlace sends into a room; at a desk into the conversation's thread, which
// the first message begins.
func (c *connector) inPlace(ctx context.Context, m post, t target, d event.Delivery, at id.RoomID) (event.Receipt, error) {
	var root id.EventID
	if d.Mode == event.ModeDesk {
		if was, thread := readAnchor(d.Anchor); was == at {
			root = thread
		}
	}
	m.relate(root)
	evs, err := c.send(ctx, m, at, t.via)
	if err != nil {
		return event.Receipt{}, sending(err)
	}
	return receipt(d, at, root, evs...), nil
}

// roomOf returns the room that a target names. A room that a route names by an
// alias of the bridge's own is made.
func (c *connector) roomOf(ctx context.Context, t target) (id.RoomID, error) {
	if t.kind != aAlias {
		return id.RoomID(t.id), nil
	}
	at, err := c.rooms.resolve(ctx, t.id)
	if !is(err, "M_NOT_FOUND") || !c.names.ownsAlias(t.id) || !c.places.names(t.id) {
		return at, err
	}
	c.opening.Lock() // two at once would make two rooms
	defer c.opening.Unlock()
	if at, err = c.rooms.resolve(ctx, t.id); !is(err, "M_NOT_FOUND") {
		return at, err
	}
	if err := c.openRoom(ctx, t.id); err != nil {
		return "", err
	}
	c.places.askAgain()
	return c.rooms.resolve(ctx, t.id)
}

var errEncrypted = event.Permanent(errors.New("the room is encrypted: the bridge can't take part in it; use a room without encryption"))

// send makes m and what follows it events of a room, and m.as a member of it
// before. The error is a *failure of the sending itself, or says already what
// the host is told.
func (c *connector) send(ctx context.Context, m post, at id.RoomID, via []string) ([]id.EventID, error) {
	first, err := c.sendFirst(ctx, m, at, via)
	if err != nil {
		return nil, err
	}
	list, root := []id.EventID{first}, m.root
	if root == "" && m.desk {
		root = first
	}
	for _, next := range m.rest {
		next.as, next.sent = m.as, m.sent
		next.relate(root)
		ev, err := c.put(ctx, next, at)
		if err != nil {
			return nil, err
		}
		list = append(list, ev)
	}
	return list, nil
}

func (c *connector) sendFirst(ctx context.Context, m post, at id.RoomID, via []string) (id.EventID, error) {
	if err := c.rooms.enter(ctx, m.as, at, via); err != nil {
		return "", &preparing{"join the room as " + string(m.as), err}
	}
	encrypted, err := c.rooms.isEncrypted(ctx, m.as, at)
	if is(err, "M_FORBIDDEN") {
		return c.sendAfterAll(ctx, m, at, via, err)
	}
	if err != nil {
		return "", &preparing{"look at the room", err}
	}
	if encrypted {
		return "", errEncrypted
	}
	ev, err := c.put(ctx, m, at)
	if is(err, "M_FORBIDDEN") {
		return c.sendAfterAll(ctx, m, at, via, err)
	}
	return ev, err
}

// sendAfterAll joins once more, when what was known of the room was wrong, and
// sends if that went well.
func (c *connector) sendAfterAll(ctx context.Context, m post, at id.RoomID, via []string, first error) (id.EventID, error) {
	c.rooms.forgetMembers(at)
	if err := c.rooms.enter(ctx, m.as, at, via); err != nil {
		return "", &preparing{"join the room as " + string(m.as), first}
	}
	return c.put(ctx, m, at)
}

// put sends the event. Matrix specification, client API, "Sending events to a
// room"; application services, "Timestamp massaging".
func (c *connector) put(ctx context.Context, m post, at id.RoomID) (id.EventID, error) {
	query := url.Values{}
	if !m.sent.IsZero() {
		query.Set("ts", strconv.FormatInt(m.sent.UnixMilli(), 10))
	}
	var out struct {
		Event id.EventID `json:"event_id"`
	}
	err := c.api.call(ctx, m.as, http.MethodPut, []any{"v3", "rooms", at, "send", cmp.Or(m.kind, "m.room.message"), m.txn}, query, m.content, &out)
	return out.Event, err
}

// preparing is a failure before the message itself was sent.
type preparing struct {
	doing string
	err   error
}

func (p *preparing) Error() string { return p.doing + ": " + p.err.Error() }
func (p *preparing) Unwrap() error { return p.err }
