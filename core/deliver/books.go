package deliver

import (
	"context"
	"errors"
	"sync"

	"parley.im/bus"
	"parley.im/bus/event"
)

// An Account says where the Outbounds are that this run has taken from the
// log. At all times Taken is the sum of the others: see Missing.
type Account struct {
	Taken     int64
	Before    int64 // an earlier run had settled them
	Accepted  int64 // settled by this run
	Delivered int64
	Failed    int64
	Held      int64 // in memory, waiting or being delivered
	Parked    int64 // in the log, for a lane that waits
	Kept      int64 // not understood
	Gone      int64 // erased while their lane waited
}

// Missing is how many of the taken are nowhere; it is 0 unless there is a
// mistake in this program.
func (a Account) Missing() int64 {
	return a.Taken - a.Before - a.Accepted - a.Delivered - a.Failed - a.Held - a.Parked - a.Kept - a.Gone
}

// books keep an Account. Each change is one fact, so that it balances whenever
// it is read.
type books struct {
	mu  sync.Mutex
	now Account
}

func (b *books) enter(change func(a *Account)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.now)
}

func (b *books) read() Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// settle moves one message out of what is held or parked.
func (b *books) settle(s event.State, held bool) {
	b.enter(func(a *Account) {
		if held {
			a.Held--
		} else {
			a.Parked--
		}
		switch s {
		case event.Accepted:
			a.Accepted++
		case event.Delivered:
			a.Delivered++
		case event.Failed:
			a.Failed++
		}
	})
}

// first tells whether a message of the lane is seen for the first time in this
// run. A parked lane is read again beside the dispatcher, each in order: so one
// mark does for what was stored before the start, and one for what came later.
func (l *lane) first(seq uint64) bool {
	mark := &l.seenOld
	if seq > l.s.start {
		mark = &l.seenNew
	}
	if seq <= *mark {
		return false
	}
	*mark = seq
	return true
}

// takes tells whether the dispatcher is the first to see a message. What was
// in the log when a lane was found parked is counted there.
func (l *lane) takes(seq uint64) bool {
	if l.inherited && seq <= l.s.start || seq <= l.s.pos.Load() {
		return false
	}
	return l.first(seq)
}

// countParked enters a message of the parked lane that nobody has seen yet.
func (l *lane) countParked(seq uint64) {
	if l.first(seq) {
		l.waiting++
		l.s.books.enter(func(a *Account) { a.Taken++; a.Parked++ })
	}
}

// countInherited enters what lies in the log for the lanes that an earlier run
// has parked. One for which nothing is left, because that run ended just before
// it could say so, is live again.
func (s *Stage) countInherited(ctx context.Context) error {
	from := s.oldestParked()
	if from == 0 {
		return nil
	}
	err := s.scanInherited(ctx, from)
	s.parked.each(func(l *lane) {
		l.mu.Lock()
		over := err == nil && l.inherited && l.waiting == 0
		l.mu.Unlock()
		if over {
			l.wake()
		}
	})
	return err
}

func (s *Stage) scanInherited(ctx context.Context, from uint64) error {
	if err := s.loadInherited(ctx); err != nil {
		return err
	}
	r, err := s.Bus.At(ctx, bus.Outbounds, from)
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Bus.Scan(ctx, bus.Outbounds, r.Time, func(r bus.Record) bool {
		if o, ok := r.Event.(event.Outbound); ok && o.Connector == s.Connector && r.Seq <= s.start {
			s.countInLane(o.Lane, r.Seq)
		}
		return r.Seq < s.start
	})
}

// loadInherited learns how far the parked lanes were settled.
func (s *Stage) loadInherited(ctx context.Context) (err error) {
	s.parked.each(func(l *lane) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			err = l.load(ctx, false)
		}
	})
	return err
}

func (s *Stage) countInLane(name string, seq uint64) {
	s.mu.Lock()
	l := s.lanes[name]
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inherited && l.record != nil && seq >= l.record.First && seq > l.settled {
		l.countParked(seq)
	}
}

// oldestParked returns the lowest sequence that a parked lane waits with, 0 if
// none is parked.
func (s *Stage) oldestParked() (seq uint64) {
	s.parked.each(func(l *lane) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.record != nil && (seq == 0 || l.record.First < seq) {
			seq = l.record.First
		}
	})
	return seq
}
