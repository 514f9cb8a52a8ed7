package deliver

import (
	"context"
	"time"

	"parley.im/bus/event"
)

// settle brings one message to its outcome. It returns false when the lane's
// goroutine must end: the lane is asleep, or the stage stops.
func (l *lane) settle(ctx, grace context.Context, g *gate, it item) bool {
	s := l.s
	deadline := s.deadline(it.Outbound)
	for ctx.Err() == nil {
		if !time.Now().Before(deadline) {
			return l.fail(grace, it, event.ReasonExpired, "not delivered before it expired")
		}
		up, ok := s.circuit.enter(ctx, deadline)
		if !ok {
			continue
		}
		wakes, able := g.generation(), s.Abilities()
		if ok, wait, cause, changed := g.pass(able); !ok {
			s.circuit.abandon()
			if !l.hold(ctx, g, it, hold{wait, cause, changed, wakes, deadline}) {
				return false
			}
			continue
		}
		receipt, err := s.traced(grace, l, it, able)
		g.leave()
		switch {
		case err == nil:
			s.wellAfter()
			return l.succeed(grace, it, receipt)
		case event.IsPermanent(err):
			s.wellAfter()
			return l.fail(grace, it, event.ReasonOf(err), err.Error())
		}
		scope, after, _ := event.AsRetry(err)
		if scope == event.ScopeConnector {
			s.trip(up, after, it, err)
			continue
		}
		s.counts.retries.Add(1)
		s.wellAfter()
		attempts, failures := l.count(scope)
		if failures >= s.Policy.Attempts {
			return l.fail(grace, it, event.ReasonExhausted, err.Error())
		}
		if !l.retry(ctx, g, it, attempts, wakes, deadline, err) {
			return false
		}
	}
	return false
}

// count notes an attempt at the head that did not settle it, and returns how
// many there were, and how many of them failed for a cause of the message's own.
func (l *lane) count(scope event.Scope) (attempts, failures int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts++
	if scope == event.ScopeMessage {
		l.failures++
	}
	return l.attempts, l.failures
}

// retry waits as err asks after attempt n. It returns false when the goroutine
// must end.
func (l *lane) retry(ctx context.Context, g *gate, it item, n int, wakes uint64, deadline time.Time, err error) bool {
	s := l.s
	scope, after, _ := event.AsRetry(err)
	if after == 0 {
		after = backoff(s.Policy, n-1)
	}
	s.Log.Info("delivery put off", "message", it.ID, "scope", scope, "attempt", n, "wait", shown(after), "err", err)
	if scope == event.ScopeTarget {
		g.block(wakes, later(after), after == event.UntilWoken, err.Error())
		return true // the gate now says how long
	}
	return l.hold(ctx, g, it, hold{after, err.Error(), nil, wakes, deadline})
}

// trip stops all deliveries of the connector.
func (s *Stage) trip(up uint64, after time.Duration, it item, err error) {
	s.counts.retries.Add(1)
	if s.circuit.trip(up, after, err.Error()) {
		s.Log.Warn("the connector can't deliver, its messages wait", "message", it.ID, "wait", shown(after), "err", err)
	}
}

func shown(d time.Duration) string {
	if d == event.UntilWoken {
		return "until woken"
	}
	return d.Round(time.Millisecond).String()
}

// wellAfter notes that the connector gave an answer that is not about itself.
func (s *Stage) wellAfter() {
	if s.circuit.well() {
		s.Log.Info("connector delivers again")
	}
}

// A hold is a reason for a lane to wait.
type hold struct {
	wait     time.Duration // 0: until changed; event.UntilWoken: until a wake
	cause    string
	changed  <-chan struct{} // closed when waiting may be over; nil if only time ends it
	wakes    uint64          // of the gate, before the attempt
	deadline time.Time       // of the message
}

// end returns when the hold ends at the latest.
func (h hold) end() time.Time {
	if at := later(h.wait); at.Before(h.deadline) {
		return at
	}
	return h.deadline
}

// hold parks the lane for a long wait and waits in memory for a short one. It
// returns false when the lane is asleep or the stage stops.
func (l *lane) hold(ctx context.Context, g *gate, it item, h hold) bool {
	woken := func() bool { return g.generation() != h.wakes }
	if h.wait > l.s.Policy.ParkAfter && l.park(ctx, it, h.end(), h.cause, woken) {
		return false
	}
	if woken() {
		return true
	}
	if l.linger(ctx, h) {
		// It held up others, or waited long behind others: from now on its
		// messages wait in the log.
		l.park(ctx, it, time.Now(), h.cause, woken)
	}
	return ctx.Err() == nil
}

// linger waits in memory. It tells whether a lane that holds messages should
// give them back now.
func (l *lane) linger(ctx context.Context, h hold) (yield bool) {
	patience := l.s.Policy.ParkAfter
	limit := patience
	if h.wait > 0 {
		limit = min(limit, h.wait)
	}
	limit = min(limit, max(time.Until(h.deadline), time.Millisecond))
	if l.isParked() { // it holds nothing
		pause(ctx, limit, h.changed, nil)
		return false
	}
	squeeze, began := l.s.waiting.begin(l), time.Now()
	defer l.s.waiting.end(l)
	pause(ctx, limit, h.changed, squeeze)
	select {
	case <-squeeze:
		return true
	default:
		return h.wait == 0 && time.Since(began) >= patience
	}
}

// later returns the time after d; a wait without end is a year.
func later(d time.Duration) time.Time {
	return time.Now().Add(min(d, 365*24*time.Hour))
}

// deadline returns when o expires: its own expiry, but never later than the
// host's limit.
func (s *Stage) deadline(o event.Outbound) time.Time {
	limit := o.Time.Add(s.Policy.Expiry)
	if !o.Expires.IsZero() && o.Expires.Before(limit) {
		return o.Expires
	}
	return limit
}
