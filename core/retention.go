package core

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"parley.im/bus"
	"parley.im/core/config"
	"parley.im/core/deliver"
)

const (
	sizeEvery = time.Minute // between two looks at the streams' sizes
	ageEvery  = time.Hour   // between two at what is old, at most
)

// retain removes what is settled and has been kept long enough, until ctx ends.
func (h *Host) retain(ctx context.Context) error {
	r := h.Config.Bus.Retention
	size, age := time.NewTicker(sizeEvery), time.NewTicker(agePause(r))
	defer size.Stop()
	defer age.Stop()
	for ctx.Err() == nil {
		h.trim(ctx, h.keep(r, time.Now()))
		h.sweep(ctx, r, time.Now())
		for aged := false; !aged; {
			select {
			case <-ctx.Done():
				return nil
			case <-size.C:
				h.trim(ctx, bus.Keep{Now: time.Now(), Bytes: r.Size, Held: h.held})
			case <-age.C:
				aged = true
			}
		}
	}
	return nil
}

// agePause is between two looks at what is old: short bodies go when they are
// a tenth older than they may be.
func agePause(r config.Retention) time.Duration {
	return min(max(messageAge(r)/10, sizeEvery), ageEvery)
}

// keep is what a configuration has the bus keep at a time.
func (h *Host) keep(r config.Retention, now time.Time) bus.Keep {
	return bus.Keep{Now: now, Messages: messageAge(r), Statuses: r.Age, Dead: r.Dead, Bytes: r.Size, Held: h.held}
}

func (h *Host) held(ctx context.Context) (uint64, error) { return deliver.Held(ctx, h.bus) }

// messageAge is how long settled Inbounds and Outbounds are kept. What became
// of a message is known from its Statuses, which have no body.
func messageAge(r config.Retention) time.Duration {
	if r.Bodies > 0 {
		return min(r.Bodies, r.Age)
	}
	return r.Age
}

func (h *Host) trim(ctx context.Context, k bus.Keep) {
	done, err := h.bus.Trim(ctx, k)
	for _, t := range done {
		if t.Events > 0 {
			h.trimmed.add(t.Stream, t.Events)
			h.Log.Info("trimmed", "stream", string(t.Stream), "events", t.Events, "first", t.First)
		}
		if t.Full {
			h.Log.Warn("a stream has reached its size with what is not settled or a minute old", "stream", string(t.Stream))
		}
	}
	if err != nil && ctx.Err() == nil {
		h.Log.Warn("could not remove what is old; it is tried again", "err", err)
	}
}

// sweep removes what only events refer to that are gone.
func (h *Host) sweep(ctx context.Context, r config.Retention, now time.Time) {
	n, size, err := h.bus.Media().Sweep(ctx, now.Add(-messageAge(r)))
	if n > 0 {
		h.Log.Info("removed large bodies that no event refers to", "bodies", n, "bytes", size)
	}
	if err == nil {
		err = h.forgetClosings(ctx, now.Add(-r.Dead))
	}
	if err != nil && ctx.Err() == nil {
		h.Log.Warn("could not remove what is not referred to; it is tried again", "err", err)
	}
}

// forgetClosings removes the notes on dead letters that were closed before a
// time. The letters are older, and gone.
func (h *Host) forgetClosings(ctx context.Context, before time.Time) error {
	b, err := h.closings(ctx)
	if err != nil {
		return err
	}
	list, err := b.List(ctx, "", "", 0)
	if err != nil {
		return err
	}
	for _, e := range list {
		var c closing
		if err := json.Unmarshal(e.Value, &c); err != nil {
			return fmt.Errorf("what was done about dead letter %s: %w", e.Key, err)
		}
		if !c.At.Before(before) {
			continue
		}
		if err := b.Delete(ctx, e.Key); err != nil {
			return err
		}
	}
	return nil
}

// tally counts events by stream.
type tally struct {
	mu sync.Mutex
	n  map[bus.Stream]uint64
}

func (t *tally) add(s bus.Stream, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[bus.Stream]uint64{}
	}
	t.n[s] += n
}

func (t *tally) of(s bus.Stream) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[s]
}
