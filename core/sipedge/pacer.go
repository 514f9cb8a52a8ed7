package sipedge

import (
	"sync"
	"time"
)

// maxPaced is how many keys a pacer knows at most; when there are more it
// forgets those that it has not seen for longest.
const maxPaced = 1 << 15

// rate is how often something may be done: at once, and again in each period.
type rate struct {
	times  int
	period time.Duration
}

// pacer keeps each of many to a rate. It counts in time: each take is paid for
// by period/times of waiting, and period is the longest debt.
type pacer[K comparable] struct {
	mu      sync.Mutex
	debts   map[K]time.Time // when each will have paid
	older   map[K]time.Time // the same, not looked at since turned
	turning time.Time
}

// take takes one for a key. If there is none left it returns how long until
// there is.
func (p *pacer[K]) take(k K, r rate, now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	paid := p.debt(k, now).Add(r.period / time.Duration(r.times))
	if over := paid.Sub(now) - r.period; over > 0 {
		return over
	}
	p.turn(r, now)
	p.debts[k] = paid
	return 0
}

// spent tells how long it is until take gives one again, and takes none.
func (p *pacer[K]) spent(k K, r rate, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.debt(k, now).Add(r.period/time.Duration(r.times)).Sub(now)-r.period)
}

// debt needs mu.
func (p *pacer[K]) debt(k K, now time.Time) time.Time {
	paid, known := p.debts[k]
	if !known {
		paid = p.older[k]
	}
	if paid.Before(now) {
		return now
	}
	return paid
}

// turn forgets who has paid: nobody's debt is longer than a period. It needs
// mu.
func (p *pacer[K]) turn(r rate, now time.Time) {
	if now.Before(p.turning) && len(p.debts) < maxPaced/2 {
		return
	}
	p.older, p.debts, p.turning = p.debts, map[K]time.Time{}, now.Add(r.period)
}

// size returns how many keys are known.
func (p *pacer[K]) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.debts) + len(p.older)
}
