package sipedge

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxBans is how many sources are banned at once; a further one takes the
// place of any.
const maxBans = 1 << 14

// bans are the sources from which nothing is taken, until a time.
type bans struct {
	some atomic.Bool // there are any: most of the time there are none
	mu   sync.Mutex
	ends map[netip.Prefix]time.Time
}

// add tells whether the ban is new.
func (b *bans) add(source netip.Prefix, end, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ends[source].After(now) {
		return false
	}
	if b.ends == nil {
		b.ends = map[netip.Prefix]time.Time{}
	}
	if len(b.ends) >= maxBans {
		for any := range b.ends {
			delete(b.ends, any)
			break
		}
	}
	b.ends[source] = end
	b.some.Store(true)
	return true
}

func (b *bans) has(source netip.Prefix, now time.Time) bool {
	if !b.some.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ends[source].After(now)
}

// size forgets those that are over and returns how many are left.
func (b *bans) size(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, end := range b.ends {
		if !end.After(now) {
			delete(b.ends, s)
		}
	}
	b.some.Store(len(b.ends) > 0)
	return len(b.ends)
}
