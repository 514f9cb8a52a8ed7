package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// remember is how long a delivery may come again: the host's longest expiry
// and a day.
const remember = 8 * 24 * time.Hour

// A claim says which message a delivery became, or will become: it is written
// first, the message second. A crash between leaves a claim without a message,
// which the repeated delivery then writes in the same place; so nothing is
// lost and nothing is doubled.
type claim struct {
	Conv string     `json:"conv"`
	Seq  int64      `json:"seq"`
	Done bool       `json:"done,omitempty"` // the message was shown and has been trimmed since; or it was changed
	Kind event.Kind `json:"kind,omitempty"` // of a delivery that changed the message
	Made int64      `json:"made,omitempty"` // microseconds since 1970, of a change
}

func claimKey(delivery string) string { return "id/" + hash("delivery", delivery) }

func (c claim) age() time.Duration { return time.Since(time.UnixMicro(max(c.Seq, c.Made))) }

// claim returns the place of a delivery in conv: the one it already has, or
// seq.
func (s *store) claim(ctx context.Context, delivery, conv string, seq int64) (claim, error) {
	c := claim{Conv: conv, Seq: seq}
	_, err := s.state.Put(ctx, claimKey(delivery), marshal(c), 0)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, sdk.ErrConflict) {
		return c, fmt.Errorf("claim: %w", err)
	}
	old, found, _, err := s.claimed(ctx, delivery)
	if err == nil && !found {
		err = sdk.ErrConflict
	}
	return old, err
}

// claimed returns the place of an earlier delivery.
func (s *store) claimed(ctx context.Context, delivery string) (c claim, found bool, revision uint64, err error) {
	e, err := s.state.Get(ctx, claimKey(delivery))
	if errors.Is(err, sdk.ErrNotFound) {
		return c, false, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &c)
	}
	if err != nil {
		return c, false, 0, fmt.Errorf("read claim: %w", err)
	}
	return c, true, e.Revision, nil
}

// trim removes the oldest messages beyond the history that is kept, in steps,
// so that most messages remove none. What could not be removed is tried again
// with the next message.
func (s *store) trim(ctx context.Context, c *conversation) {
	c.mu.Lock()
	n := len(c.list) - s.keep
	if n < max(1, s.keep/20) {
		c.mu.Unlock()
		return
	}
	old := append([]*message(nil), c.list[:n]...)
	c.mu.Unlock()
	for _, m := range old {
		if m.Mark == markSending || len(m.Pending) > 0 {
			return
		}
		if err := s.remove(ctx, m); err != nil {
			s.log.Warn("old message not removed", "key", messageKey(m.Conv, m.Seq), "err", err)
			return
		}
		c.forget(m.Seq)
	}
}

func (c *conversation) forget(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range c.list {
		if m.Seq == seq {
			c.list = append(c.list[:i:i], c.list[i+1:]...)
			return
		}
	}
}

// remove deletes a message. A delivery that may still come again leaves a
// claim that says so, written before the message goes.
func (s *store) remove(ctx context.Context, m *message) error {
	done := claim{Conv: m.Conv, Seq: m.Seq, Done: true}
	if m.Delivery != "" && done.age() < remember {
		if _, err := overwrite(ctx, s.state, claimKey(m.Delivery), marshal(done), 0); err != nil {
			return err
		}
	}
	return discard(ctx, s.state, messageKey(m.Conv, m.Seq), m.revision)
}

// discard deletes a key whatever its revision; it may be gone already.
func discard(ctx context.Context, s sdk.State, key string, revision uint64) error {
	err := s.Delete(ctx, key, revision)
	if !errors.Is(err, sdk.ErrConflict) && !errors.Is(err, sdk.ErrNotFound) {
		return err
	}
	e, err := s.Get(ctx, key)
	if errors.Is(err, sdk.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Delete(ctx, key, e.Revision)
}

// sweep deletes the claims of deliveries that cannot come again.
func (s *store) sweep(ctx context.Context) error {
	return each(ctx, s.state, "id/", func(e sdk.Entry) error {
		var c claim
		if err := json.Unmarshal(e.Value, &c); err != nil || c.age() < remember {
			return nil
		}
		return discard(ctx, s.state, e.Key, e.Revision)
	})
}
