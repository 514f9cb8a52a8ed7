package bus

import (
	"context"
	"sync"
	"time"
)

// skew is how far the clock of a server may be from ours, and more than a write
// takes.
const skew = time.Minute

// doubts remember that the outcome of writes is unknown: nobody waits for them
// any more, and they may be in the log all the same. The server would recognise
// a repetition only for a while.
type doubts struct {
	mu    sync.Mutex
	since time.Time // when the first of them was begun; zero if there are none
	last  int       // the number of the latest
}

func (d *doubts) add(since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	if d.since.IsZero() || since.Before(d.since) {
		d.since = since
	}
}

// first returns when the first was begun, and the number of the latest.
func (d *doubts) first() (since time.Time, last int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since, d.last
}

// clear forgets them, unless there are newer ones than last.
func (d *doubts) clear(last int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == last {
		d.since = time.Time{}
	}
}

// resolve has the id index learn from the log what became of writes whose
// outcome is unknown, as soon as storage works and the server is there. As a
// write does, it tries again while somebody waits for it.
func (b *Bus) resolve(ctx context.Context) error {
	for {
		if since, _ := b.doubts.first(); since.IsZero() {
			return nil
		}
		if err := b.health.wait(ctx); err != nil {
			return err
		}
		err := b.learn(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (b *Bus) learn(ctx context.Context) error {
	b.resolving.Lock()
	defer b.resolving.Unlock()
	since, last := b.doubts.first()
	if since.IsZero() {
		return nil // somebody else was quicker
	}
	if err := b.loadIDs(ctx, since.Add(-skew)); err != nil {
		return err
	}
	b.doubts.clear(last)
	return nil
}
