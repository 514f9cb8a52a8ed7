package deliver

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

var (
	// errEvicted tells the dispatcher that a lane's state was dropped between
	// its look-up and its use.
	errEvicted = errors.New("lane is no longer in memory")
	// errCaughtUp tells that a lane was read to its end and is live again.
	errCaughtUp = errors.New("lane is live again")
)

// A lane is one conversation towards one target. It is live, with its
// unsettled messages in queue; or parked, with a record; a parked lane is
// either asleep or being read again from the log. One goroutine at a time
// works for it.
type lane struct {
	s      *Stage
	name   string
	target event.Address

	facts sync.Mutex // held while a status is published: they go out in the order of settled

	mu       sync.Mutex
	loaded   bool   // settled is known
	settled  uint64 // highest settled sequence
	last     uint64 // highest sequence the dispatcher has offered
	queue    []item
	record   *record
	busy     bool // a goroutine works for the lane
	evicted  bool
	alarm    *time.Timer
	attempts int  // of the head
	failures int  // of these, for a cause of its own
	trying   bool // an attempt is under way
	suspect  bool // the head may have reached the far side already

	inherited bool   // an earlier run has parked it
	seenOld   uint64 // highest sequence of this lane in the books, stored before the start
	seenNew   uint64 // and since
	waiting   int64  // messages in the books as parked
}

// An item is one unsettled message. m is nil when it was read from the log.
type item struct {
	event.Outbound
	seq uint64
	m   *bus.Message
}

func newLane(s *Stage, name string, target event.Address) *lane {
	return &lane{s: s, name: name, target: target}
}

// offer takes a message from the dispatcher: it is queued, or acknowledged at
// once when it is settled already or when the lane is parked.
func (l *lane) offer(ctx context.Context, m *bus.Message, o event.Outbound) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.evicted {
		return errEvicted
	}
	// A server that was killed may have forgotten what it had offered: what
	// comes again is not marked so.
	fresh := m.Seq > max(l.s.start, l.s.pos.Load()) && !m.Redelivered
	if err := l.load(ctx, fresh); err != nil {
		return err
	}
	if l.record == nil && len(l.queue) == 0 && m.Seq <= min(l.s.mark.atStart, l.s.start) {
		l.suspect = true
	}
	held := m.Seq <= l.last && l.record == nil
	l.last = max(l.last, m.Seq)
	first := l.takes(m.Seq)
	switch {
	case m.Seq <= l.settled:
		if first {
			l.s.books.enter(func(a *Account) { a.Taken++; a.Before++ })
		}
		return m.Ack()
	case l.record != nil:
		if first {
			l.waiting++
			l.s.books.enter(func(a *Account) { a.Taken++; a.Parked++ })
		}
		return m.Ack()
	case held: // offered twice
		return nil
	}
	l.queue = append(l.queue, item{o, m.Seq, m})
	l.s.books.enter(func(a *Account) { a.Taken++; a.Held++ })
	if len(l.queue) > l.s.Policy.LaneLimit {
		l.parkLocked(ctx, l.queue[0], time.Now(), "backlog")
	}
	l.startLocked()
	return nil
}

// load learns from the log how far the lane was settled in an earlier life.
// A fresh message of a lane not in memory needs no look-up: whatever was
// settled lies before it.
func (l *lane) load(ctx context.Context, fresh bool) error {
	if l.loaded || fresh {
		l.loaded = true
		return nil
	}
	last, err := l.s.Bus.Last(ctx, bus.Statuses, l.s.Connector, l.name)
	switch {
	case errors.Is(err, bus.ErrNotFound):
	case err != nil:
		return err
	default:
		// A damaged log may end before what was settled, and give out those
		// sequences again.
		if st, ok := last.Event.(event.Status); ok {
			l.settled = max(l.settled, min(st.SettledThrough, max(l.s.start, l.s.pos.Load())))
		}
	}
	l.loaded = true
	return nil
}

// startLocked sets a goroutine to work for the lane if none does.
func (l *lane) startLocked() {
	if !l.busy {
		l.busy = l.s.running.run(l.work)
	}
}

// work settles the lane's messages, first to last, until there is none, the
// lane is asleep or the stage stops.
func (l *lane) work(ctx, grace context.Context) {
	g := l.s.gates.use(l.target)
	defer l.s.gates.release(l.target, g)
	for {
		it, ok := l.head(ctx)
		if !ok || !l.settle(ctx, grace, g, it) {
			return
		}
	}
}

// head returns the first unsettled message. When there is none, or when ctx
// ended, the lane is no longer busy.
func (l *lane) head(ctx context.Context) (item, bool) {
	for {
		l.mu.Lock()
		if ctx.Err() != nil || (l.record == nil && len(l.queue) == 0) {
			l.busy = false
			l.mu.Unlock()
			return item{}, false
		}
		if l.record == nil {
			it := l.queue[0]
			l.mu.Unlock()
			return it, true
		}
		l.mu.Unlock()
		it, err := l.reread(ctx)
		if err == nil {
			return it, true
		}
		if !errors.Is(err, errCaughtUp) {
			l.s.Log.Warn("wait for the bus", "lane", l.name, "err", err)
			sleep(ctx, l.s.Policy.StatusRetry)
		}
	}
}

// reread returns the parked lane's first unsettled message from the log. When
// it has caught up with everything stored for the lane, the lane is live again
// and the error is errCaughtUp.
func (l *lane) reread(ctx context.Context) (item, error) {
	l.mu.Lock()
	err := l.load(ctx, false)
	from := max(l.record.First, l.settled+1)
	l.mu.Unlock()
	if err != nil {
		return item{}, err
	}
	it, err := l.next(ctx, from)
	if !errors.Is(err, bus.ErrNotFound) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.counted(it, err)
	}
	// Nothing is offered to the lane while its lock is held: what the second
	// look does not find has not been passed over by the dispatcher.
	l.mu.Lock()
	defer l.mu.Unlock()
	it, err = l.next(ctx, from)
	if !errors.Is(err, bus.ErrNotFound) {
		return l.counted(it, err)
	}
	return item{}, l.unparkLocked(ctx)
}

// counted enters a message that was read from the log.
func (l *lane) counted(it item, err error) (item, error) {
	if err == nil {
		l.countParked(it.seq)
	}
	return it, err
}

// next reads from the log the lane's first message at or after a sequence.
func (l *lane) next(ctx context.Context, from uint64) (item, error) {
	r, err := l.s.Bus.Next(ctx, bus.Outbounds, l.s.Connector, l.name, from)
	if err != nil {
		return item{}, err
	}
	o, ok := r.Event.(event.Outbound)
	if !ok {
		return item{}, event.ErrUnknown
	}
	return item{o, r.Seq, nil}, nil
}

// done moves the lane past a settled message.
func (l *lane) done(it item, s event.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = max(l.settled, it.seq)
	l.attempts, l.failures, l.suspect = 0, 0, false
	held := len(l.queue) > 0 && l.queue[0].seq == it.seq
	l.s.books.settle(s, held)
	if held {
		l.dropLocked(1)
	} else {
		l.waiting--
	}
}

// dropLocked acknowledges the first n queued messages.
func (l *lane) dropLocked(n int) {
	for _, it := range l.queue[:n] {
		if err := it.m.Ack(); err != nil {
			l.s.Log.Debug("acknowledgement not sent; it will be offered again", "message", it.ID, "err", err)
		}
	}
	l.queue = l.queue[n:]
}

func (l *lane) isParked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record != nil
}

// keep tells the bus that the queued messages are being worked on.
func (l *lane) keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range l.queue {
		_ = it.m.Working()
	}
}
