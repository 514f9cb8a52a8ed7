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
	c.rooms.with(at, func(k *room) { known = k.ghost != "" })
	if known {
		return nil
	}
	_, err := c.host.State().Put(ctx, presentKey(at), []byte(ghost), 0)
	if err != nil && !errors.Is(err, sdk.ErrConflict) { // the first stays
		return event.Retry(event.ScopeMessage, 0, fmt.Errorf("note the room: %w", err))
	}
	if err == nil {
		c.rooms.with(at, func(k *room) { k.ghost = ghost })
	}
	return nil
}

func presentKey(at id.RoomID) string { return "room/" + hash(string(at)) }

// inside returns a user of ours who is in a room, as far as is known: a ghost,
// or the bot.
func (c *connector) inside(ctx context.Context, at id.RoomID) (id.UserID, error) {
	var known id.UserID
	c.rooms.with(at, func(k *room) { known = k.ghost })
	if known != "" {
		return known, nil
	}
	e, err := c.host.State().Get(ctx, presentKey(at))
	switch {
	case errors.Is(err, sdk.ErrNotFound):
		return c.names.bot, nil
	case err != nil:
		return "", fmt.Errorf("read the room: %w", err)
	}
	c.rooms.with(at, func(k *room) { k.ghost = id.UserID(e.Value) })
	return id.UserID(e.Value), nil
}

// correspondent returns whose ghost a room is with, "" when it has none or
// several: then only the host can know, by the thread.
func (c *connector) correspondent(ctx context.Context, at id.RoomID, insider id.UserID) event.Address {
	ghost := insider
	if people, err := c.rooms.people(ctx, insider, at); err == nil {
		ghost = ""
		for u := range people {
			if _, ok := c.names.author(u); !ok {
				continue
			}
			if ghost != "" {
				return ""
			}
			ghost = u
		}
	}
	a, _ := c.names.author(ghost)
	return a
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
