package deliver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
)

// Whatever the far side does, and however often the host stops in the middle,
// each lane's messages arrive once and in order.
func TestNothingIsLostDoubledOrReorderedInAStorm(t *testing.T) {
	const lanes, each, targets = 24, 25, 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := &dice{r: rand.New(rand.NewPCG(seed, 1))}
	f := newFar(func(event.Delivery, int) error {
		switch n := random.roll(100); {
		case n < 60:
			return nil
		case n < 68:
			return event.Retry(event.ScopeMessage, 0, errors.New("busy"))
		case n < 76:
			return event.Retry(event.ScopeTarget, time.Duration(n)*time.Millisecond/10, errors.New("slow down"))
		case n < 84:
			return event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("not registered"))
		case n < 90:
			return event.Retry(event.ScopeConnector, time.Millisecond, errors.New("down"))
		case n < 95:
			return errLostAnswer
		}
		return errors.New("connection refused")
	})
	b := newBench(t, f, func(b *bench) {
		b.policy.Attempts, b.policy.LaneLimit, b.policy.MaxPending = 1000, 6, 64
		b.policy.ParkAfter, b.policy.Grace = 3*time.Millisecond, 20*time.Millisecond
		b.able.Outstanding = 1
	})
	for i := range each {
		for l := range lanes {
			b.message(fmt.Sprintf("%02d-%03d", l, i), fmt.Sprintf("c%02d", l), fmt.Sprintf("t%d", l%targets))
		}
		if i%6 == 5 {
			b.restart()
		}
	}
	stop := make(chan struct{})
	var waker sync.WaitGroup
	waker.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				b.stage.Wake(event.Address(fmt.Sprintf("far:t%d", random.roll(targets))))
			}
		}
	})
	for l := range lanes {
		b.seen.about(t, fmt.Sprintf("%02d-%03d", l, each-1), event.Delivered)
	}
	close(stop)
	waker.Wait()
	got := f.sees(t, lanes*each)
	for l := range lanes {
		prefix := fmt.Sprintf("%02d-", l)
		want(t, only(got, prefix), ids(prefix, each))
	}
}

type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}
