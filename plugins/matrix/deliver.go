package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

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
	var r event.Receipt
	if t.kind == aUser {
		r, err = c.toPerson(ctx, m, d, id.UserID(t.id))
	} else {
		r, err = c.toPlace(ctx, m, t, d)
	}
	if err == nil {
		r.Losses = m.losses()
	}
	if err == nil || event.IsPermanent(err) {
		c.efforts.forget(d.ID)
	}
	return r, err
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
	m.root = root
	evs, err := c.send(ctx, m, at, t.via)
	return soFar(receipt(d, at, root, evs...), err)
}

// soFar is what the host is told of what stands: the thread can be answered
// before all of the message is there.
func soFar(r event.Receipt, err error) (event.Receipt, error) {
	if err != nil {
		return event.Receipt{Anchor: r.Anchor}, sending(err)
	}
	return r, nil
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

// errFollow ends a Deliver early: the host comes again at once, and that uses
// up no attempt of the message.
var errFollow = event.Retry(event.ScopeTarget, time.Millisecond, errors.New("its files follow"))

// send makes m and what follows it events of a room, and m.as a member of it
// before. It returns those that stand, also beside an error, which is a
// *failure of the sending itself, or says already what the host is told.
func (c *connector) send(ctx context.Context, m post, at id.RoomID, via []string) ([]id.EventID, error) {
	var there map[string]happening
	if m.again { // the homeserver may have forgotten the transaction ids
		var err error
		if there, err = c.standing(ctx, m.as, at, outbound(m.key)); err != nil {
			return nil, &preparing{"look for what is there", err}
		}
	}
	first, stood := m.standing(there)
	if !stood {
		var err error
		if first, err = c.sendFirst(ctx, m, at, via); err != nil {
			return nil, err
		}
	}
	begins := m.desk && m.root == ""
	if begins {
		m.root = first
	}
	if begins && !stood && len(m.rest) > 0 && c.efforts.begin(m.key) {
		return []id.EventID{first}, errFollow // who answers in the thread is understood from now on
	}
	list, err := c.sendRest(ctx, m, at, there, !stood)
	return append([]id.EventID{first}, list...), err
}

// sendRest sends what follows m, as far as it does not stand there. It ends
// early when something has got done, now or as moved tells before, and a file
// might take longer than is left.
func (c *connector) sendRest(ctx context.Context, m post, at id.RoomID, there map[string]happening, moved bool) (list []id.EventID, err error) {
	for _, next := range m.rest {
		ev, stood := next.standing(there)
		if !stood {
			if moved && time.Until(m.until) < c.uploadFor {
				return list, errFollow
			}
			next.as, next.root = m.as, m.root
			if ev, err = c.put(ctx, next, at); err != nil {
				return list, err
			}
			moved = true
		}
		list = append(list, ev)
	}
	return list, nil
}

// standing returns the event that m is already, if it is one.
func (m post) standing(there map[string]happening) (id.EventID, bool) {
	h, ok := there[m.key]
	if ok && m.file != nil {
		m.file.lost = !showsFile(h)
	}
	return h.ID, ok
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

// put sends the event, and uploads its file before. Matrix specification,
// client API, "Sending events to a room"; application services, "Timestamp
// massaging".
func (c *connector) put(ctx context.Context, m post, at id.RoomID) (id.EventID, error) {
	content := m.content
	if m.file != nil {
		var err error
		if content, err = c.attached(ctx, m.file); err != nil {
			return "", err
		}
	}
	query := url.Values{}
	if !m.sent.IsZero() {
		query.Set("ts", strconv.FormatInt(m.sent.UnixMilli(), 10))
	}
	var out struct {
		Event id.EventID `json:"event_id"`
	}
	err := c.api.call(ctx, m.as, http.MethodPut, []any{"v3", "rooms", at, "send", cmp.Or(m.kind, "m.room.message"), m.txn}, query, m.whole(content), &out)
	return out.Event, err
}

// preparing is a failure before the message itself was sent.
type preparing struct {
	doing string
	err   error
}

func (p *preparing) Error() string { return p.doing + ": " + p.err.Error() }
func (p *preparing) Unwrap() error { return p.err }
