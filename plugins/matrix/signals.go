package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// typists remembers who was composing where. It may be used from several
// goroutines.
type typists struct {
	mu    sync.Mutex
	rooms map[id.RoomID]map[id.UserID]bool
}

func newTypists() *typists { return &typists{rooms: map[id.RoomID]map[id.UserID]bool{}} }

// change notes who composes now, and returns who has begun or goes on, and who
// has stopped.
func (t *typists) change(at id.RoomID, now []id.UserID) (active, stopped []id.UserID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.rooms[at]
	after := map[id.UserID]bool{}
	for _, u := range now {
		if !after[u] {
			active = append(active, u)
		}
		after[u] = true
	}
	for u := range before {
		if !after[u] {
			stopped = append(stopped, u)
		}
	}
	delete(t.rooms, at)
	if len(after) > 0 && len(t.rooms) < maxKnown {
		t.rooms[at] = after
	}
	return active, stopped
}

// maxTypists is how many people at once are passed on from one room.
const maxTypists = 16

// composing passes on who is composing. Matrix specification, client API,
// "Typing Notifications".
func (c *connector) composing(ctx context.Context, h happening) error {
	var content struct {
		Users []id.UserID `json:"user_ids"`
	}
	if err := json.Unmarshal(h.Content, &content); err != nil {
		return err
	}
	var people []id.UserID
	for _, u := range content.Users {
		if !c.names.owns(u) && len(people) < maxTypists {
			people = append(people, u)
		}
	}
	active, stopped := c.typing.change(h.Room, people)
	if len(active)+len(stopped) == 0 {
		return nil
	}
	insider, to, err := c.whereabouts(ctx, h)
	if err == nil && to == "" {
		to = c.correspondent(ctx, h.Room, insider)
	}
	if err != nil || to == "" {
		return err
	}
	signal := func(u id.UserID, on bool) error {
		return c.host.Signal(ctx, event.Typing{Sender: userAddress(u), Recipient: to, Active: on, Refresh: typingFor})
	}
	for _, u := range active {
		err = errors.Join(err, signal(u, true))
	}
	for _, u := range stopped {
		err = errors.Join(err, signal(u, false))
	}
	return err
}

// maxReceipts is how many receipts of one event are looked at.
const maxReceipts = 32

// read reports that somebody has read a message of ours. The message itself
// says which delivery it was. Matrix specification, client API, "Receipts".
func (c *connector) read(ctx context.Context, h happening) error {
	var content map[id.EventID]struct {
		Read map[id.UserID]struct {
			Time int64 `json:"ts"`
		} `json:"m.read"`
	}
	if err := json.Unmarshal(h.Content, &content); err != nil {
		return err
	}
	n := 0
	for message, receipts := range content {
		for u, r := range receipts.Read {
			if n++; n > maxReceipts {
				return nil
			}
			if c.names.owns(u) {
				continue
			}
			if err := c.displayed(ctx, h, message, r.Time); err != nil {
				return err
			}
			break // one reader is enough
		}
	}
	return nil
}

func (c *connector) displayed(ctx context.Context, h happening, message id.EventID, ms int64) error {
	insider, _, err := c.whereabouts(ctx, h)
	if err != nil {
		return err
	}
	about, err := c.fetch(ctx, insider, h.Room, message)
	if err != nil {
		return err
	}
	key := keyOf(about.Content)
	if key == "" || !c.names.owns(about.Sender) {
		return nil
	}
	r := event.Report{Outbound: outbound(key), State: event.Displayed, Time: time.Now()}
	if ms > 0 && ms < 1<<42 {
		r.Time = time.UnixMilli(ms)
	}
	return c.host.Report(ctx, r)
}
