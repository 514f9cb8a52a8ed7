package matrix

import (
	"context"
	"errors"
	"fmt"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// present notes durably that a ghost is in a room. The homeserver pushes what
// is said there, but not whom of ours it pushes it for, and answers questions
// about a room only to somebody who is inside.
func (c *connector) present(ctx context.Context, at id.RoomID, ghost id.UserID) error {
	var known bool
	c.rooms.with(at, func(k *room) { known = k.noted[ghost] })
	if known {
		return nil
	}
	_, err := c.host.State().Put(ctx, presentKey(at, ghost), []byte(ghost), 0)
	if err != nil && !errors.Is(err, sdk.ErrConflict) { // it was noted before
		return event.Retry(event.ScopeMessage, 0, fmt.Errorf("note the room: %w", err))
	}
	c.rooms.with(at, func(k *room) { k.noted[ghost] = true })
	return nil
}

// absent takes that back, when a ghost has left or was thrown out.
func (c *connector) absent(ctx context.Context, at id.RoomID, ghost id.UserID) error {
	c.rooms.with(at, func(k *room) { delete(k.noted, ghost) })
	e, err := c.host.State().Get(ctx, presentKey(at, ghost))
	if err == nil {
		err = c.host.State().Delete(ctx, e.Key, e.Revision)
	}
	if errors.Is(err, sdk.ErrNotFound) || errors.Is(err, sdk.ErrConflict) {
		return nil // somebody was quicker
	}
	return err
}

func roomKey(at id.RoomID) string { return "room/" + hash(string(at)) + "/" }

func presentKey(at id.RoomID, ghost id.UserID) string { return roomKey(at) + hash(string(ghost)) }

// inside returns a user of ours who is in a room, as far as is known: a ghost,
// or the bot.
func (c *connector) inside(ctx context.Context, at id.RoomID) (id.UserID, error) {
	var known id.UserID
	c.rooms.with(at, func(k *room) {
		for u := range k.noted {
			known = u
		}
	})
	if known != "" {
		return known, nil
	}
	list, err := c.host.State().List(ctx, roomKey(at), "", 1)
	if err != nil {
		return "", fmt.Errorf("read the room: %w", err)
	}
	if len(list) == 0 {
		return c.names.bot, nil
	}
	ghost := id.UserID(list[0].Value)
	c.rooms.with(at, func(k *room) { k.noted[ghost] = true })
	return ghost, nil
}

// correspondent returns whose ghost a room is with, "" when it has none or
// several: then only the host can know, by the thread.
func (c *connector) correspondent(ctx context.Context, at id.RoomID, insider id.UserID) event.Address {
	people, err := c.rooms.people(ctx, insider, at)
	if f := (*failure)(nil); errors.As(err, &f) && f.status >= 400 && f.status < 500 {
		return "" // it is not inside after all
	}
	if err != nil {
		people = map[id.UserID]string{insider: ""}
	}
	var found event.Address
	for u := range people {
		a, ok := c.names.author(u)
		if ok && found != "" {
			return ""
		}
		if ok {
			found = a
		}
	}
	return found
}

// nameOf returns the display name of somebody in a room, "" when it can't be
// told.
func (c *connector) nameOf(ctx context.Context, at id.RoomID, insider, who id.UserID) string {
	people, err := c.rooms.people(ctx, insider, at)
	if err != nil {
		return ""
	}
	return short(clean(people[who], false), maxName)
}
