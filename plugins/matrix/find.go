package matrix

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// lookBack is how many of a ghost's last messages in a room are looked at. The
// one in question is the last that its lane has sent.
const lookBack = 50

// Find looks for what a delivery has become among the ghost's last messages:
// each holds its Delivery.ID. It asks for the sake of homeservers that forget
// transaction ids when they restart. A message that is not found may still be
// on its way in one case, when the homeserver is slow to take it; sent again it
// then has the same transaction id and is the same event.
func (c *connector) Find(ctx context.Context, d event.Delivery, _ time.Time) (event.Receipt, bool, error) {
	r, found, err := c.find(ctx, d)
	c.mind(err)
	return r, found, err
}

func (c *connector) find(ctx context.Context, d event.Delivery) (event.Receipt, bool, error) {
	if d.Kind != event.KindMessage {
		return event.Receipt{}, false, nil // a receipt twice is a receipt once
	}
	t, err := readAddress(d.Target)
	ghost, nobody := c.names.ghost(d.From)
	if err != nil || nobody != nil {
		return event.Receipt{}, false, nil
	}
	words, _, err := text(ctx, c.host.Media(), d.Content)
	if event.IsPermanent(err) {
		return event.Receipt{}, false, nil
	}
	if err != nil {
		return event.Receipt{}, false, err
	}
	parts := keys(d, words)
	if t.kind != aUser {
		at, err := c.roomOf(ctx, t)
		if is(err, "M_NOT_FOUND") {
			return event.Receipt{}, false, nil
		}
		if err != nil {
			return event.Receipt{}, false, unsent("find the room "+t.id, err)
		}
		return c.findIn(ctx, d, parts, ghost, at)
	}
	if at, _ := readAnchor(d.Anchor); at != "" {
		if r, found, err := c.findIn(ctx, d, parts, ghost, at); found || err != nil {
			return r, found, err
		}
	}
	return c.findDirect(ctx, d, parts, ghost, id.UserID(t.id))
}

// findDirect looks in the rooms that a ghost and a person have together.
func (c *connector) findDirect(ctx context.Context, d event.Delivery, parts []string, ghost, person id.UserID) (event.Receipt, bool, error) {
	for n := range maxRooms {
		_, alias := c.directAlias(ghost, person, n)
		at, err := c.rooms.resolve(ctx, alias)
		if is(err, "M_NOT_FOUND") {
			break // there are no later ones
		}
		if err != nil {
			return event.Receipt{}, false, unsent("find the room "+alias, err)
		}
		if r, found, err := c.findIn(ctx, d, parts, ghost, at); found || err != nil {
			return r, found, err
		}
	}
	return event.Receipt{}, false, nil
}

// findIn looks in one room for the parts of a message. It is there when the
// last one is.
func (c *connector) findIn(ctx context.Context, d event.Delivery, parts []string, ghost id.UserID, at id.RoomID) (event.Receipt, bool, error) {
	there, err := c.standing(ctx, ghost, at, d.ID)
	if err != nil {
		return event.Receipt{}, false, unsent("look for the message", err)
	}
	last, found := there[parts[len(parts)-1]]
	if !found {
		return event.Receipt{}, false, nil
	}
	var evs []id.EventID
	var losses []string
	for i, key := range parts {
		h, stands := there[key]
		if !stands {
			continue
		}
		evs = append(evs, h.ID)
		if i >= len(parts)-len(d.Files) && !showsFile(h) {
			losses = append(losses, string(notUploaded))
		}
	}
	m, _ := readMessage(last.Content)
	r := receipt(d, at, m.Relates.root(), evs...)
	r.Losses = losses
	return r, true, nil
}

// standing returns what is in a room of a delivery, by key. Where the ghost may
// not look it has not spoken, or can't speak any more.
func (c *connector) standing(ctx context.Context, ghost id.UserID, at id.RoomID, delivery string) (map[string]happening, error) {
	filter, err := json.Marshal(map[string][]string{"types": {"m.room.message"}, "senders": {string(ghost)}})
	if err != nil {
		return nil, err
	}
	query := url.Values{"dir": {"b"}, "limit": {strconv.Itoa(lookBack)}, "filter": {string(filter)}}
	var out struct {
		Chunk []happening `json:"chunk"`
	}
	err = c.api.call(ctx, ghost, http.MethodGet, []any{"v3", "rooms", at, "messages"}, query, nil, &out)
	if is(err, "M_FORBIDDEN", "M_NOT_FOUND") {
		return nil, nil
	}
	there := map[string]happening{}
	for _, h := range out.Chunk {
		if key := keyOf(h.Content); h.Sender == ghost && outbound(key) == delivery {
			there[key] = h
		}
	}
	return there, err
}

// keyOf returns the key that a content holds, "" for none.
func keyOf(content json.RawMessage) string {
	var m struct {
		Outbound string `json:"im.parley.outbound"`
	}
	if json.Unmarshal(content, &m) != nil {
		return ""
	}
	return m.Outbound
}

// receipt says that d is an event of a room, and where the conversation goes
// on: at a desk in the thread that it stands in or begins, in a room nowhere.
func receipt(d event.Delivery, at id.RoomID, root id.EventID, evs ...id.EventID) event.Receipt {
	r := event.Receipt{State: event.Delivered}
	for _, ev := range evs {
		r.RemoteIDs = append(r.RemoteIDs, string(ev))
	}
	if len(evs) == 0 || d.Kind == event.KindStatus {
		return r
	}
	switch d.Mode {
	case event.ModeRoom:
		return r
	case event.ModeDesk:
		if root == "" {
			root = evs[0]
		}
	}
	r.Anchor = anchor(at, root)
	return r
}
