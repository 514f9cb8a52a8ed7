package deliver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley.im/bus/event"
)

// A record says that a lane is parked: from which message on it is unsettled,
// and what it waits for. It is stored before the lane's messages are
// acknowledged, under <connector>.<target token>.<lane>.
type record struct {
	Lane     string        `json:"lane"`
	Target   event.Address `json:"target"`
	First    uint64        `json:"first"`
	Wake     time.Time     `json:"wake"` // at the latest
	Cause    string        `json:"cause"`
	Attempts int           `json:"attempts,omitempty"`
	Failures int           `json:"failures,omitempty"` // of the attempts, for a cause of the message's own
	Suspect  bool          `json:"suspect,omitempty"`  // the first may have reached the far side
	Since    time.Time     `json:"since"`
}

// parked finds the parked lanes of a target.
type parked struct {
	mu       sync.Mutex
	byTarget map[event.Address]map[*lane]bool
	count    int
}

func (p *parked) add(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byTarget[l.target] == nil {
		p.byTarget[l.target] = map[*lane]bool{}
	}
	if !p.byTarget[l.target][l] {
		p.byTarget[l.target][l] = true
		p.count++
	}
}

func (p *parked) remove(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.byTarget[l.target][l] {
		return
	}
	p.count--
	delete(p.byTarget[l.target], l)
	if len(p.byTarget[l.target]) == 0 {
		delete(p.byTarget, l.target)
	}
}

func (p *parked) of(target event.Address) []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lanes []*lane
	for l := range p.byTarget[target] {
		lanes = append(lanes, l)
	}
	return lanes
}

func (p *parked) each(f func(*lane)) {
	p.mu.Lock()
	var lanes []*lane
	for _, of := range p.byTarget {
		for l := range of {
			lanes = append(lanes, l)
		}
	}
	p.mu.Unlock()
	for _, l := range lanes {
		f(l)
	}
}

// TargetStatus is a target that lanes wait for.
type TargetStatus struct {
	Target event.Address
	Cause  string
	Since  time.Time // the longest waiting lane
	Wake   time.Time // the next try, at the latest
	Lanes  int
}

// Waiting returns the targets that parked lanes wait for, the longest waiting
// first, at most limit of them.
func (s *Stage) Waiting(limit int) []TargetStatus {
	by := map[event.Address]*TargetStatus{}
	s.parked.each(func(l *lane) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.record == nil {
			return
		}
		t := by[l.target]
		if t == nil {
			t = &TargetStatus{Target: l.target, Since: l.record.Since, Wake: l.record.Wake, Cause: l.record.Cause}
			by[l.target] = t
		}
		t.count(l.record)
	})
	list := make([]TargetStatus, 0, len(by))
	for _, t := range by {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b TargetStatus) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Target, b.Target))
	})
	return list[:min(len(list), limit)]
}

// count adds one parked lane.
func (t *TargetStatus) count(r *record) {
	t.Lanes++
	if r.Since.Before(t.Since) {
		t.Since, t.Cause = r.Since, r.Cause
	}
	if r.Wake.Before(t.Wake) {
		t.Wake = r.Wake
	}
}

func (p *parked) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Wake tells that deliveries to target may go: it registered, or an operator
// says so. Its parked lanes are read again, in order.
func (s *Stage) Wake(target event.Address) {
	s.gates.wake(target)
	for _, l := range s.parked.of(target) {
		l.wake()
	}
}

// WakeAll tells that the connector is up again.
func (s *Stage) WakeAll() {
	if s.circuit.back() {
		s.Log.Info("connector is back, deliveries go on")
	}
}

func (s *Stage) loadParked(ctx context.Context) error {
	entries, err := s.bucket.List(ctx, s.Connector+".", "", 0)
	if err != nil {
		return fmt.Errorf("list parked lanes: %w", err)
	}
	for _, e := range entries {
		var r record
		if err := json.Unmarshal(e.Value, &r); err != nil {
			return fmt.Errorf("parked lane %s: %w", e.Key, err)
		}
		l := s.lane(r.Lane, r.Target)
		l.mu.Lock()
		l.record, l.attempts, l.failures, l.suspect, l.inherited = &r, r.Attempts, r.Failures, r.Suspect, true
		l.mu.Unlock()
		s.parked.add(l)
	}
	if n := len(entries); n > 0 {
		s.Log.Info("lanes are parked since an earlier run", "lanes", n)
	}
	return nil
}

func (l *lane) key() string {
	return l.s.Connector + "." + l.s.Token(l.target) + "." + l.name
}

// park stores why and from where on the lane waits, and acknowledges what it
// holds. It tells whether the lane is now asleep: then its goroutine must end.
// When the record can't be stored the lane stays as it is.
func (l *lane) park(ctx context.Context, it item, wake time.Time, cause string, woken func() bool) (asleep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.parkLocked(ctx, it, wake, cause) {
		return false
	}
	// The cause is looked at once more: a REGISTER may have come while the
	// record was written. Later ones find the lane among the parked.
	if woken() || !wake.After(time.Now()) {
		return false
	}
	l.busy = false
	l.alarmLocked()
	return true
}

func (l *lane) parkLocked(ctx context.Context, it item, wake time.Time, cause string) bool {
	r := record{
		Lane: l.name, Target: l.target, First: it.seq, Wake: wake.Round(time.Millisecond).UTC(), Cause: cause,
		Attempts: l.attempts, Failures: l.failures, Suspect: l.suspect || l.trying, Since: time.Now().UTC(),
	}
	if old := l.record; old != nil {
		r.Since = old.Since
		if r == *old {
			return true
		}
	}
	if err := l.write(ctx, r); err != nil {
		l.s.Log.Warn("lane could not be parked", "message", it.ID, "err", err)
		return false
	}
	if l.record == nil {
		l.s.counts.parks.Add(1)
		l.s.Log.Debug("lane parked", "message", it.ID, "lane", l.name, "cause", cause, "until", wake)
	}
	l.record = &r
	l.s.parked.add(l)
	n := int64(len(l.queue))
	l.waiting += n
	l.s.books.enter(func(a *Account) { a.Held -= n; a.Parked += n })
	l.dropLocked(len(l.queue))
	return true
}

func (l *lane) write(ctx context.Context, r record) error {
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = l.s.bucket.Set(ctx, l.key(), v)
	return err
}

// unparkLocked makes the lane live again.
func (l *lane) unparkLocked(ctx context.Context) error {
	if err := l.s.bucket.Delete(ctx, l.key()); err != nil {
		return fmt.Errorf("delete the record of lane %s: %w", l.name, err)
	}
	l.record = nil
	l.s.parked.remove(l)
	if n := l.waiting; n != 0 {
		l.waiting = 0
		l.s.books.enter(func(a *Account) { a.Parked -= n; a.Gone += n })
		l.s.Log.Warn("messages of a lane are gone from the log: they were erased, or the store was damaged", "lane", l.name, "messages", n)
	}
	return errCaughtUp
}

// wake sets a parked lane to work, or has Run do it when the stage starts.
func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record == nil || l.busy {
		return
	}
	if l.alarm != nil {
		l.alarm.Stop()
	}
	if l.startLocked(); !l.busy {
		l.record.Wake = time.Now()
	}
}

func (l *lane) setAlarm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarmLocked()
}

// alarmLocked wakes the lane at the time in its record, if nothing does before.
func (l *lane) alarmLocked() {
	if l.alarm != nil {
		l.alarm.Stop()
	}
	if l.record != nil && !l.busy {
		l.alarm = time.AfterFunc(time.Until(l.record.Wake), l.wake)
	}
}
