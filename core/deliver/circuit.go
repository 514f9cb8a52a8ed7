package deliver

import (
	"context"
	"sync"
	"time"

	"parley.im/bus/event"
)

// A circuit stops all deliveries of a connector while its trouble concerns the
// whole connector. When its wait is over one delivery goes ahead as a probe;
// the others follow when it went well.
type circuit struct {
	policy Policy

	mu      sync.Mutex
	open    bool // no deliveries
	probing bool // but one
	until   time.Time
	forever bool // only a wake ends it
	trips   int  // in a row
	wakes   uint64
	cause   string
	since   time.Time
	changed chan struct{}
}

func newCircuit(p Policy) *circuit { return &circuit{policy: p, changed: make(chan struct{})} }

// enter waits until a delivery may begin, at most until deadline. It returns a
// number for trip, and false when ctx ended or the deadline passed.
func (c *circuit) enter(ctx context.Context, deadline time.Time) (wakes uint64, ok bool) {
	return c.await(ctx, deadline, func() { c.probing = c.open })
}

// ready waits until a delivery may begin without beginning one: the dispatcher
// takes nothing new while nothing can go.
func (c *circuit) ready(ctx context.Context) bool {
	_, ok := c.await(ctx, later(event.UntilWoken), func() {})
	return ok
}

func (c *circuit) await(ctx context.Context, deadline time.Time, begin func()) (wakes uint64, ok bool) {
	for ctx.Err() == nil && time.Now().Before(deadline) {
		c.mu.Lock()
		wait := time.Until(c.until)
		if !c.open || !c.forever && !c.probing && wait <= 0 {
			begin()
			wakes = c.wakes
			c.mu.Unlock()
			return wakes, true
		}
		if c.forever || c.probing {
			wait = time.Until(deadline)
		}
		changed := c.changed
		c.mu.Unlock()
		pause(ctx, max(min(wait, time.Until(deadline)), time.Millisecond), changed, nil)
	}
	return 0, false
}

// trip opens the circuit for the given time, or for a backoff when after is 0,
// unless the connector came back since the delivery began. It tells whether it
// was closed before.
func (c *circuit) trip(wakes uint64, after time.Duration, cause string) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wakes != wakes {
		return false
	}
	forever := after == event.UntilWoken
	first = !c.open
	if first {
		c.since = time.Now()
	}
	if after == 0 {
		after = backoff(c.policy, c.trips)
	}
	c.trips++
	c.open, c.probing, c.forever, c.cause = true, false, forever, cause
	c.until = later(after)
	c.broadcast()
	return first
}

// back closes the circuit because the connector came up again. It tells
// whether it was open before.
func (c *circuit) back() bool {
	c.mu.Lock()
	c.wakes++
	c.mu.Unlock()
	return c.well()
}

// well closes the circuit: a delivery reached the connector. It tells whether
// it was open before.
func (c *circuit) well() (was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was = c.open
	c.open, c.probing, c.forever, c.trips, c.cause = false, false, false, 0, ""
	if was {
		c.broadcast()
	}
	return was
}

// abandon gives up the place of a probe that learned nothing.
func (c *circuit) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probing {
		c.probing = false
		c.broadcast()
	}
}

func (c *circuit) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// state returns the cause of an open circuit and since when, "" when closed.
func (c *circuit) state() (cause string, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return "", time.Time{}
	}
	return c.cause, c.since
}
