package deliver

import (
	"context"
	"sync"
	"time"

	"parley.im/bus/event"
)

// gates holds the gates that are in use, or that have something to remember.
type gates struct {
	mu       sync.Mutex
	byTarget map[event.Address]*gate
}

// A gate paces the deliveries to one target address.
type gate struct {
	mu      sync.Mutex
	busy    int
	next    time.Time // earliest start of the next delivery
	blocked time.Time // nothing goes before this
	forever bool      // nothing goes until a wake
	cause   string
	wakes   uint64
	changed chan struct{} // closed and replaced at each change
	users   int           // guarded by gates.mu
}

// use returns the gate of target until release.
func (g *gates) use(target event.Address) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.byTarget[target]
	if t == nil {
		t = &gate{changed: make(chan struct{})}
		g.byTarget[target] = t
	}
	t.users++
	return t
}

// release forgets a gate that nobody uses and that holds nobody back.
func (g *gates) release(target event.Address, t *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.users--
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.users == 0 && t.busy == 0 && !t.forever && now.After(t.blocked) && now.After(t.next) {
		delete(g.byTarget, target)
	}
}

// wake lets deliveries to target go again.
func (g *gates) wake(target event.Address) {
	g.mu.Lock()
	t := g.byTarget[target]
	if t != nil && t.users == 0 {
		delete(g.byTarget, target)
	}
	g.mu.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakes++
	t.blocked, t.forever, t.cause = time.Time{}, false, ""
	t.broadcast()
}

func (t *gate) broadcast() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// block holds back all deliveries to the target, unless it was woken after
// the attempt that led here began.
func (t *gate) block(wakes uint64, until time.Time, forever bool, cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wakes == wakes {
		t.blocked, t.forever, t.cause = until, forever, cause
	}
}

// generation counts the wakes of the target.
func (t *gate) generation() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wakes
}

// pass tries to begin a delivery. When it may not begin yet, wait is how long
// the gate is closed for certain (event.UntilWoken: until a wake) and cause
// why; a wait of 0 with a channel means that others are under way.
func (t *gate) pass(a Abilities) (ok bool, wait time.Duration, cause string, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.forever:
		return false, event.UntilWoken, t.cause, t.changed
	case t.blocked.After(now):
		return false, t.blocked.Sub(now), t.cause, t.changed
	case t.next.After(now):
		return false, t.next.Sub(now), "pace of the target", t.changed
	case a.Outstanding > 0 && t.busy >= a.Outstanding:
		return false, 0, "earlier deliveries to the target", t.changed
	}
	t.busy++
	t.next = now.Add(a.Every)
	return true, 0, "", nil
}

// leave ends a delivery that pass let begin.
func (t *gate) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	t.broadcast()
}

// pause waits for a change, for squeeze, for d (0: without limit) or for the
// end of ctx, whichever comes first.
func pause(ctx context.Context, d time.Duration, changed, squeeze <-chan struct{}) {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(min(d, 365*24*time.Hour))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-changed:
	case <-timer:
	case <-squeeze:
	case <-ctx.Done():
	}
}
