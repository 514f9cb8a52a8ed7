package core

import (
	"maps"
	"sync"
)

// An account says where the Inbounds of one origin are that this run has read
// from the log. At all times taken is the sum of the others.
type account struct {
	taken   int64
	routed  int64 // stored as an Outbound for each target
	refused int64 // no route takes it any more: a dead letter
	underWay,
	kept int64 // not understood
}

// missing is how many of the taken are nowhere; it is 0 unless there is a
// mistake in this program.
func (a account) missing() int64 { return a.taken - a.routed - a.refused - a.underWay - a.kept }

// books keep an account for each origin. Each change is one fact, so that they
// balance whenever they are read.
type books struct {
	mu  sync.Mutex
	now map[string]account
}

func (b *books) enter(origin string, change func(a *account)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now == nil {
		b.now = map[string]account{}
	}
	a := b.now[origin]
	change(&a)
	b.now[origin] = a
}

func (b *books) read() map[string]account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.now)
}
