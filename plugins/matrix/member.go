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

// joinFor is how long joining may take when somebody invites: a room far away
// can be slow, and what others say waits behind it.
const joinFor = 20 * time.Second

// member works on a change of who is in a room.
func (c *connector) member(ctx context.Context, h happening) error {
	c.rooms.forgetMembers(h.Room)
	var content struct {
		Membership string `json:"membership"`
	}
	if h.StateKey == nil || json.Unmarshal(h.Content, &content) != nil {
		return nil
	}
	who := id.UserID(*h.StateKey)
	if _, ghost := c.names.author(who); ghost && (content.Membership == "leave" || content.Membership == "ban") {
		return c.absent(ctx, h.Room, who)
	}
	if content.Membership != "invite" || !c.names.owns(who) || c.names.owns(h.Sender) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinFor)
	defer cancel()
	if who == c.names.bot {
		return c.botInvited(ctx, h)
	}
	return c.ghostInvited(ctx, h, who)
}

// botInvited has the bot join the rooms that routes name, and no others.
func (c *connector) botInvited(ctx context.Context, h happening) error {
	c.places.askAgain()
	place, err := c.placeOf(ctx, h)
	if err != nil {
		return err
	}
	if place == "" {
		return c.decline(ctx, h, c.names.bot, "No route names this room. Ask whoever runs the bridge for one.")
	}
	return c.accept(ctx, h, c.names.bot)
}

// ghostInvited has a ghost join if a message to its author would be taken.
func (c *connector) ghostInvited(ctx context.Context, h happening, ghost id.UserID) error {
	a, ok := c.names.author(ghost)
	if !ok {
		return nil // nobody; the homeserver has been told so
	}
	if _, err := c.ghosts.ensure(ctx, a, ""); err != nil {
		return c.passOver("invitation not answered", h, err)
	}
	place, err := c.placeOf(ctx, h)
	if err != nil {
		return err
	}
	if place != "" {
		return c.accept(ctx, h, ghost) // the bot, or somebody, brings it in
	}
	err = c.host.Accepts(ctx, event.Inbound{Envelope: event.Envelope{Sender: userAddress(h.Sender), Recipient: a}})
	if errors.Is(err, sdk.ErrRefused) {
		return c.decline(ctx, h, ghost, strings.TrimPrefix(err.Error(), sdk.ErrRefused.Error()+": "))
	}
	if err != nil {
		return err
	}
	if err := c.present(ctx, h.Room, ghost); err != nil {
		return err
	}
	return c.accept(ctx, h, ghost)
}

func (c *connector) accept(ctx context.Context, h happening, as id.UserID) error {
	_, server, _ := strings.Cut(string(h.Sender), ":")
	if err := c.rooms.join(ctx, as, h.Room, []string{server}); err != nil {
		return c.passOver("invitation not accepted; invite again", h, err)
	}
	c.log.Info("invitation accepted", "room", h.Room, "user", as, "by", h.Sender)
	return nil
}

func (c *connector) decline(ctx context.Context, h happening, as id.UserID, why string) error {
	c.log.Info("invitation declined", "room", h.Room, "user", as, "by", h.Sender, "reason", why)
	if err := c.rooms.leave(ctx, as, h.Room, short(clean(why, false), 500)); err != nil {
		return c.passOver("invitation not declined", h, err)
	}
	return nil
}

// openRoom makes a room of the bridge's own that a route names and somebody
// looks for.
func (c *connector) openRoom(ctx context.Context, alias string) error {
	local := strings.TrimSuffix(strings.TrimPrefix(alias, "#"), ":"+c.names.domain)
	err := c.api.call(ctx, "", http.MethodPost, []any{"v3", "createRoom"}, nil, map[string]any{
		"preset": "public_chat", "visibility": "private", "room_alias_name": local,
	}, nil)
	if is(err, "M_ROOM_IN_USE") {
		return nil
	}
	return err
}
