package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

// succeed stores that the message was accepted or delivered and moves the lane
// past it. It returns false when the stage stopped before it was stored.
func (l *lane) succeed(ctx context.Context, it item, r event.Receipt) bool {
	state := r.State
	if state != event.Delivered {
		state = event.Accepted
	}
	st := it.Status(state, time.Now())
	st.RemoteIDs, st.Anchor, st.Losses = r.RemoteIDs, r.Anchor, r.Losses
	if !l.publish(ctx, it, st) {
		return false
	}
	l.s.Log.Info(string(state), "message", it.ID, "inbound", it.Inbound, "sequence", it.seq)
	return true
}

// fail stores the dead letter, then that the message failed, and moves the
// lane past it. It returns false when the stage stopped before it was stored.
func (l *lane) fail(ctx context.Context, it item, reason event.Reason, detail string) bool {
	if it.Kind != event.KindStatus {
		dead := event.Dead{DeadID: event.DeadID(it.ID), At: time.Now(), Reason: reason, Detail: detail, Outbound: it.Outbound}
		if !l.s.store(ctx, it.ID, dead) {
			return false
		}
		l.s.counts.dead.Add(1)
	}
	st := it.Status(event.Failed, time.Now())
	st.Reason, st.Detail = reason, detail
	if !l.publish(ctx, it, st) {
		return false
	}
	l.s.Log.Warn("failed", "message", it.ID, "inbound", it.Inbound, "reason", reason, "err", detail)
	return true
}

// publish stores an outcome, with how far the lane is settled by it.
func (l *lane) publish(ctx context.Context, it item, st event.Status) bool {
	l.facts.Lock()
	defer l.facts.Unlock()
	st.SettledThrough = it.seq
	if !l.s.store(ctx, it.ID, st) {
		return false
	}
	l.done(it, st.State)
	return true
}

// store publishes e, again until it is stored or ctx ends.
func (s *Stage) store(ctx context.Context, message string, e event.Event) bool {
	for {
		seq, err := s.Bus.Publish(ctx, e)
		if err == nil {
			if st, ok := e.(event.Status); ok && s.Settled != nil {
				s.Settled(st, seq)
			}
			return true
		}
		if ctx.Err() != nil {
			s.Log.Warn("stopped before an outcome was stored; it will be looked for", "message", message, "type", e.Type())
			return false
		}
		s.Log.Warn("outcome not stored yet", "message", message, "type", e.Type(), "err", err)
		sleep(ctx, s.Policy.StatusRetry)
	}
}

// Report stores what the network said later about a delivery of this
// connector: delivered, displayed, or failed although it had been accepted.
// Then a dead letter is kept, too. It returns once stored.
func (s *Stage) Report(ctx context.Context, r event.Report) error {
	o, err := s.Outbound(ctx, r.Outbound)
	if err != nil {
		return err
	}
	st := o.Status(r.State, r.Time)
	if st.Time.IsZero() {
		st.Time = time.Now()
	}
	switch r.State {
	case event.Delivered, event.Displayed:
	case event.Failed:
		st.Reason, st.Detail = r.Reason, r.Detail
		if st.Reason == "" {
			st.Reason = event.ReasonPermanent
		}
		dead := event.Dead{DeadID: event.DeadID(o.ID), At: st.Time, Reason: st.Reason, Detail: st.Detail, Outbound: o}
		if _, err := s.Bus.Publish(ctx, dead); err != nil {
			return err
		}
	default:
		return fmt.Errorf("report of state %q; delivered, displayed or failed can be reported", r.State)
	}
	for err = errEvicted; errors.Is(err, errEvicted); {
		err = s.lane(o.Lane, o.Target).report(ctx, st)
	}
	return err
}

// report stores a later fact about a message of the lane.
func (l *lane) report(ctx context.Context, st event.Status) error {
	l.facts.Lock()
	defer l.facts.Unlock()
	l.mu.Lock()
	err := errEvicted
	if !l.evicted {
		err = l.load(ctx, false)
	}
	st.SettledThrough = l.settled
	l.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = l.s.Bus.Publish(ctx, st)
	return err
}

// Outbound returns a delivery of this connector by its id.
func (s *Stage) Outbound(ctx context.Context, id string) (event.Outbound, error) {
	seq, ok := s.Bus.Stored(id)
	if !ok {
		return event.Outbound{}, fmt.Errorf("delivery %q: %w", id, bus.ErrNotFound)
	}
	rec, err := s.Bus.At(ctx, bus.Outbounds, seq)
	if err != nil {
		return event.Outbound{}, err
	}
	o, ok := rec.Event.(event.Outbound)
	if !ok || o.ID != id || o.Connector != s.Connector {
		return event.Outbound{}, errors.New("not a delivery of this connector")
	}
	return o, nil
}

type counts struct {
	dead, retries, parks, found, repeats atomic.Int64
}

// Stats is what a stage has done since it was made, and what it holds.
type Stats struct {
	Account
	Dead         int64
	Retries      int64
	Found        int64 // interrupted deliveries that Find saw had arrived
	Repeats      int64 // delivered again without knowing: possible duplicates
	Parks        int64
	Lanes        int // parked now
	Circuit      string
	CircuitSince time.Time
	Position     uint64 // last sequence taken from the bus
}

// Stats returns the figures of the moment.
func (s *Stage) Stats() Stats {
	c := &s.counts
	cause, since := s.circuit.state()
	return Stats{
		Account: s.books.read(), Dead: c.dead.Load(),
		Retries: c.retries.Load(), Found: c.found.Load(), Repeats: c.repeats.Load(), Parks: c.parks.Load(),
		Lanes: s.parked.size(), Circuit: cause, CircuitSince: since, Position: s.pos.Load(),
	}
}
