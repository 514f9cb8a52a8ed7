package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// maxRooms is how many rooms a ghost and a person may have used up: that the
// ghost was thrown out of, or that were closed.
const maxRooms = 8

// toPerson sends into the room in which the conversation goes on, or else into
// the one that ghost and person have together.
func (c *connector) toPerson(ctx context.Context, m post, d event.Delivery, person id.UserID) (event.Receipt, error) {
	if c.names.owns(person) {
		return event.Receipt{}, event.Permanent(fmt.Errorf("%s is the bridge's own user", person))
	}
	if at, root := readAnchor(d.Anchor); at != "" {
		m.root = root
		r, err := c.toRoom(ctx, m, d, person, at, root)
		if !lost(err) {
			return r, err
		}
		m.root = ""
	}
	for n := range maxRooms {
		at, err := c.directRoom(ctx, m.as, person, n)
		if err != nil {
			return event.Receipt{}, unsent("open a room with "+string(person), err)
		}
		r, err := c.toRoom(ctx, m, d, person, at, "")
		if !lost(err) {
			return r, err
		}
		c.log.Info("a room can't be used any more", "room", at, "user", m.as, "err", err)
	}
	return event.Receipt{}, event.Refused(fmt.Errorf("%s has left %d rooms with %s", person, maxRooms, m.as))
}

// toRoom sends to a person in a room where the ghost may be alone.
func (c *connector) toRoom(ctx context.Context, m post, d event.Delivery, person id.UserID, at id.RoomID, root id.EventID) (event.Receipt, error) {
	err := c.rooms.enter(ctx, m.as, at, nil)
	if err == nil {
		err = c.rooms.expect(ctx, m.as, at, person)
	}
	if err == nil {
		err = c.present(ctx, at, m.as)
	}
	if err != nil {
		return event.Receipt{}, unsent("enter the room with "+string(person), err)
	}
	evs, err := c.send(ctx, m, at, nil)
	return soFar(receipt(d, at, root, evs...), err)
}

// lost tells whether a room is of no use any more: the ghost can't get in or
// may not speak or invite, or it is gone.
func lost(err error) bool {
	var f *failure
	if !errors.As(err, &f) || !event.IsPermanent(err) {
		return false
	}
	return f.status == http.StatusForbidden || f.status == http.StatusNotFound || f.code == "M_BAD_STATE"
}

// directRoom returns the nth room of a ghost and a person, and makes it if
// there is none. Its alias follows from the two, so that a crash between the
// homeserver's creating it and the answer leaves one room, not two.
func (c *connector) directRoom(ctx context.Context, ghost, person id.UserID, n int) (id.RoomID, error) {
	local, alias := c.directAlias(ghost, person, n)
	at, err := c.rooms.resolve(ctx, alias)
	if err == nil || !is(err, "M_NOT_FOUND") {
		return at, err
	}
	var out struct {
		Room id.RoomID `json:"room_id"`
	}
	err = c.api.call(ctx, ghost, http.MethodPost, []any{"v3", "createRoom"}, nil, map[string]any{
		"preset": "private_chat", "is_direct": true, "invite": []id.UserID{person}, "room_alias_name": local,
		"initial_state": []any{map[string]any{"type": "m.room.canonical_alias", "state_key": "", "content": struct{}{}}},
	}, &out)
	if is(err, "M_ROOM_IN_USE") {
		return c.rooms.resolve(ctx, alias)
	}
	if err == nil {
		c.hideAlias(ctx, ghost, out.Room)
	}
	return out.Room, err
}

// directAlias returns the alias of the nth room of a ghost and a person, and
// its localpart.
func (c *connector) directAlias(ghost, person id.UserID, n int) (local, alias string) {
	local = c.names.aliases + "dm_" + hash(string(ghost), string(person), strconv.Itoa(n))
	return local, "#" + local + ":" + c.names.domain
}

// hideAlias keeps clients from calling a conversation by its alias, which is
// for finding the room. The initial state does so too, but a homeserver may
// set the alias after it (Dendrite does).
func (c *connector) hideAlias(ctx context.Context, as id.UserID, at id.RoomID) {
	err := c.api.call(ctx, as, http.MethodPut, []any{"v3", "rooms", at, "state", "m.room.canonical_alias"}, nil, struct{}{}, nil)
	if err != nil {
		c.log.Debug("alias not hidden", "room", at, "err", err)
	}
}
