package notice

import (
	"time"

	"parley.im/bus/event"
)

// The pace of texts to one sender: a few at once, then one a minute.
const (
	burst      = 5
	every      = time.Minute
	maxSenders = 10_000 // that are remembered
)

// pace counts the texts that each sender got. Its zero value is ready; it is
// used from one goroutine. It is memory only: a restart forgives.
type pace struct{ until map[event.Address]time.Time }

// take tells whether a sender may get one more text at a moment, and counts it
// if so. A sender's time is that at which all its texts are paid for.
func (p *pace) take(sender event.Address, now time.Time) bool {
	until := p.until[sender]
	if until.Before(now) {
		until = now
	}
	if until.Sub(now) > (burst-1)*every {
		return false
	}
	if p.until == nil || len(p.until) >= maxSenders {
		p.until = map[event.Address]time.Time{}
	}
	p.until[sender] = until.Add(every)
	return true
}
