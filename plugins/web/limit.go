package web

import (
	"crypto/hmac"
	"sync"
	"time"
)

// A limiter lets n things happen at once, and n in a time after that, for each
// key. It may be used from several goroutines.
type limiter struct {
	n    float64
	per  time.Duration
	now  func() time.Time
	mu   sync.Mutex
	keys map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(n int, per time.Duration) *limiter {
	return &limiter{n: float64(n), per: per, now: time.Now, keys: map[string]*bucket{}}
}

func (l *limiter) allow(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.keys[key]
	if b == nil {
		l.forget(now)
		b = &bucket{left: l.n, at: now}
		l.keys[key] = b
	}
	b.left = min(l.n, b.left+l.n*float64(now.Sub(b.at))/float64(l.per))
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// forget drops the keys whose buckets are full again.
func (l *limiter) forget(now time.Time) {
	if len(l.keys) < 1024 {
		return
	}
	for k, b := range l.keys {
		if now.Sub(b.at) > l.per {
			delete(l.keys, k)
		}
	}
}

// equal compares tokens in constant time.
func equal(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }
