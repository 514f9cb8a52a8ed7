package httpd

import (
	"net/netip"
	"sync"
	"time"
)

// Wrong passwords that a peer may give: a few at once, then one each
// tryEvery.
const (
	tries    = 5
	tryEvery = 10 * time.Second
	maxPeers = 4096
)

// throttle slows the guessing of passwords. Each bucket leaks with time, and
// what has leaked dry is forgotten.
type throttle struct {
	now   func() time.Time
	mu    sync.Mutex
	peers map[netip.Prefix]*bucket
	swept time.Time
}

// bucket is full until a moment that every wrong try moves on.
type bucket struct{ until time.Time }

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, peers: map[netip.Prefix]*bucket{}}
}

// try runs check unless peer has been wrong too often; then it returns the
// time to wait. Checks run one at a time, so that parallel guesses are counted
// like others.
func (t *throttle) try(peer netip.Prefix, check func() bool) (wait time.Duration, right bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	b := t.peers[peer]
	if b != nil {
		wait = b.wait(now, tries, tryEvery)
	}
	if wait > 0 {
		return wait, false
	}
	if check() {
		return 0, true
	}
	if b == nil {
		b = t.newBucket(peer, now)
	}
	b.add(now, tryEvery)
	return 0, false
}

// newBucket makes room by forgetting peers whose tries have leaked away, or
// any one when none has.
func (t *throttle) newBucket(peer netip.Prefix, now time.Time) *bucket {
	if len(t.peers) >= maxPeers && now.Sub(t.swept) >= tryEvery {
		t.swept = now
		for p, b := range t.peers {
			if !b.until.After(now) {
				delete(t.peers, p)
			}
		}
	}
	for p := range t.peers {
		if len(t.peers) < maxPeers {
			break
		}
		delete(t.peers, p)
	}
	b := &bucket{}
	t.peers[peer] = b
	return b
}

func (b *bucket) wait(now time.Time, n int, every time.Duration) time.Duration {
	return max(0, b.until.Sub(now)-time.Duration(n-1)*every)
}

func (b *bucket) add(now time.Time, every time.Duration) {
	if b.until.Before(now) {
		b.until = now
	}
	b.until = b.until.Add(every)
}
