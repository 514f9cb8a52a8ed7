package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// patience is how long a publish waits for a reopened server before it gives
// up, so that a full disk is answered quickly.
const patience = time.Second

// longestPause is the longest time between two tries to reopen a store that
// failed. A try writes one small file first, and ends there if it can't.
const longestPause = 2 * time.Second

// health knows whether storage failed, and lets goroutines wait for its
// recovery.
type health struct {
	mu      sync.Mutex
	err     error         // why storage failed; nil when it works
	since   time.Time     // of err
	mended  chan struct{} // closed when err becomes nil
	suspect chan struct{} // tells tend that there is something to do
}

func newHealth() *health { return &health{suspect: make(chan struct{}, 1)} }

// fail notes the first reason why storage does not work.
func (h *health) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err, h.since, h.mended = err, time.Now(), make(chan struct{})
	}
	select {
	case h.suspect <- struct{}{}:
	default:
	}
}

func (h *health) mend() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		h.err = nil
		close(h.mended)
	}
}

// now returns why storage does not work at present.
func (h *health) now() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// wait returns nil once storage works, and its failure when it has not worked
// for longer than patience.
func (h *health) wait(ctx context.Context) error {
	h.mu.Lock()
	err, left, mended := h.err, patience-time.Since(h.since), h.mended
	h.mu.Unlock()
	if err == nil || left <= 0 {
		return err
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-mended:
		return nil
	case <-timer.C:
		return h.now()
	case <-ctx.Done():
		return err
	}
}

// suspect is told that the embedded server could not write: it answers
// nothing more for that stream until it is opened anew.
func (b *Bus) suspect(text string) {
	if b.cfg.URL != "" {
		return // its operators mend it
	}
	kind := ErrUnavailable
	if strings.Contains(text, "no space left") {
		kind = ErrFull
	}
	b.health.fail(fmt.Errorf("%w: the store could not be written: %s", kind, text))
}

// tend reopens the embedded server after a write error, with growing pauses,
// until a probe is stored again. Nothing is accepted meanwhile.
func (b *Bus) tend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.health.suspect:
		}
		b.log.Error("bus: storage failed; reopening it", "error", b.health.now())
		for pause := 50 * time.Millisecond; ; pause = min(pause*2, longestPause) {
			err := b.recover(ctx)
			if err == nil {
				break
			}
			b.log.Error("bus: storage still fails", "error", err, "again", pause)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		select { // what was suspected of the old server does not concern the new one
		case <-b.health.suspect:
		default:
		}
		b.health.mend()
		b.log.Info("bus: storage works again")
	}
}

// recover opens the store anew once its disk takes writes again.
func (b *Bus) recover(ctx context.Context) error {
	b.mending.Lock()
	defer b.mending.Unlock()
	if b.cfg.Durability == Memory {
		return b.probe(ctx, patience) // a new server would have forgotten everything
	}
	if err := b.server.tryDisk(); err != nil {
		return err
	}
	if err := b.server.reopen(); err != nil {
		return err
	}
	if err := b.reconnected(ctx); err != nil {
		return err
	}
	return b.probe(ctx, patience)
}

// reconnected waits for the client to reach the new server.
func (b *Bus) reconnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !b.nc.IsConnected() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: reconnect: %w", ErrUnavailable, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// Healthy tells whether an Inbound could be stored now; it writes a probe
// unless storage is known to fail. The error says what is wrong.
func (b *Bus) Healthy(ctx context.Context) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := b.health.now(); err != nil {
		return err
	}
	if err := b.room(); err != nil {
		return err
	}
	return b.probe(ctx, attempt)
}
