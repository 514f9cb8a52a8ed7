package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// A transaction is what the homeserver pushes at once, in order.
type transaction struct {
	events    []happening
	ephemeral []happening
}

// A happening is an event as it came. Its content is read by type, for it says
// what its sender liked.
type happening struct {
	ID       id.EventID      `json:"event_id"`
	Room     id.RoomID       `json:"room_id"`
	Type     string          `json:"type"`
	Sender   id.UserID       `json:"sender"`
	StateKey *string         `json:"state_key"`
	Time     int64           `json:"origin_server_ts"`
	Content  json.RawMessage `json:"content"`
	Redacts  id.EventID      `json:"redacts"` // before room version 11
}

// readTransaction reads a transaction. An event that can't be read is left
// out: the homeserver would otherwise repeat it for ever.
func readTransaction(data []byte) (transaction, error) {
	var body struct {
		Events    []json.RawMessage `json:"events"`
		Ephemeral []json.RawMessage `json:"ephemeral"`
		Old       []json.RawMessage `json:"de.sorunome.msc2409.ephemeral"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return transaction{}, fmt.Errorf("the transaction is not JSON as it should be: %w", err)
	}
	if len(body.Ephemeral) == 0 {
		body.Ephemeral = body.Old
	}
	return transaction{readAll(body.Events), readAll(body.Ephemeral)}, nil
}

func readAll(list []json.RawMessage) (all []happening) {
	for _, data := range list {
		var h happening
		if json.Unmarshal(data, &h) == nil && h.Type != "" && h.Room != "" {
			all = append(all, h)
		}
	}
	return all
}

// waitFor is how long an event waits for what the homeserver fails to give,
// such as a file on a server that is away. All that happens later waits too.
const waitFor = time.Minute

// goesWithout tells whether an event goes on without something that could not
// be had: it is not there, or the homeserver has failed to give it for a while.
// Only while nothing can be asked of the homeserver at all, or the host stores
// nothing, everything waits.
func (h happening) goesWithout(err error) bool {
	var f *failure
	if !errors.As(err, &f) {
		return event.IsPermanent(err)
	}
	return event.IsPermanent(unsent("", f)) || !f.unreachable() && time.Since(time.UnixMilli(h.Time)).Abs() > waitFor
}

// A progress is how far a transaction has come that could not be taken as a
// whole. The homeserver repeats it; what was worked on is not done again, so
// that each repetition comes further.
type progress struct {
	mu   sync.Mutex
	done map[id.EventID]bool
}

func (p *progress) has(ev id.EventID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[ev]
}

func (p *progress) add(ev id.EventID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		p.done = map[id.EventID]bool{}
	}
	p.done[ev] = ev != ""
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.done)
}

// signalsFor is how long typing and receipts of one transaction may take: they
// are best effort, and what people say waits behind them.
const signalsFor = 5 * time.Second

// take works on a transaction in order and returns when the host has stored
// what was said in it.
func (c *connector) take(ctx context.Context, t transaction) error {
	for _, h := range t.events {
		if c.progress.has(h.ID) {
			continue
		}
		if err := c.happened(ctx, h); err != nil {
			return fmt.Errorf("%s %s: %w", h.Type, h.ID, err)
		}
		c.progress.add(h.ID)
	}
	c.progress.clear()
	if len(t.ephemeral) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, signalsFor)
	defer cancel()
	for _, h := range t.ephemeral {
		if err := c.signalled(ctx, h); err != nil {
			c.log.Debug("signal not passed on", "type", h.Type, "room", h.Room, "err", err)
		}
	}
	return nil
}

// happened works on one event. An error means that it must come again.
func (c *connector) happened(ctx context.Context, h happening) error {
	switch h.Type {
	case "m.room.member":
		return c.member(ctx, h)
	case "m.room.encryption":
		c.rooms.setEncrypted(h.Room)
	case "m.room.tombstone", "m.room.canonical_alias":
		c.rooms.forget(h.Room)
	case "m.room.encrypted":
		if !c.names.owns(h.Sender) {
			return c.unreadable(ctx, h)
		}
	case "m.room.message", "m.sticker", "m.reaction", "m.room.redaction":
		if c.names.owns(h.Sender) || h.ID == "" || h.StateKey != nil {
			return nil
		}
		if about, ok := concernOf(h); ok {
			return c.concerned(ctx, h, about)
		}
		if h.Type == "m.room.message" || h.Type == "m.sticker" {
			return c.said(ctx, h)
		}
	}
	return nil
}

func (c *connector) signalled(ctx context.Context, h happening) error {
	switch h.Type {
	case "m.typing":
		return c.composing(ctx, h)
	case "m.receipt":
		return c.read(ctx, h)
	}
	return nil
}

// unreadable says once in an encrypted room that the bridge can't read it.
func (c *connector) unreadable(ctx context.Context, h happening) error {
	c.rooms.setEncrypted(h.Room)
	key := "encrypted/" + hash(string(h.Room))
	_, err := c.host.State().Get(ctx, key)
	if err == nil || !isNotFound(err) {
		return err
	}
	c.log.Warn("a room is encrypted; what is said there is not bridged", "room", h.Room)
	m := post{txn: "encrypted-" + hash(string(h.Room)), content: map[string]any{
		"msgtype": "m.notice", "m.mentions": map[string]any{},
		"body": "This room is encrypted, so the bridge can't read it: nothing said here goes out. Use a room without encryption.",
	}}
	if m.as, err = c.inside(ctx, h.Room); err != nil {
		return err
	}
	err = c.rooms.enter(ctx, m.as, h.Room, nil) // it may be just about to join
	if err == nil {
		_, err = c.put(ctx, m, h.Room)
	}
	if err != nil {
		return c.passOver("encrypted room not told", h, err)
	}
	_, err = c.host.State().Put(ctx, key, []byte(h.ID), 0)
	if isConflict(err) {
		return nil
	}
	return err
}

// passOver logs why something that is a courtesy could not be done, and lets
// the rest go on; it returns err when the homeserver seems to be away, so that
// the event comes again.
func (c *connector) passOver(what string, h happening, err error) error {
	var f *failure
	if errors.As(err, &f) && f.away() && !h.goesWithout(err) {
		return err
	}
	c.log.Warn(what, "room", h.Room, "event", h.ID, "err", err)
	return nil
}
