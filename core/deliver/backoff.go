package deliver

import (
	"math/rand/v2"
	"time"
)

// backoff returns the wait after n earlier failures: doubling from BackoffMin
// to BackoffMax, spread over half of its length so that waiters do not return
// together.
func backoff(p Policy, n int) time.Duration {
	d := p.BackoffMin
	for range n {
		if d >= p.BackoffMax {
			break
		}
		d *= 2
	}
	d = min(d, p.BackoffMax)
	return d/2 + rand.N(d/2+1)
}
