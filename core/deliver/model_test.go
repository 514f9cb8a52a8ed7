package deliver

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parley.im/bus"
	"parley.im/bus/event"
)

// A fate is what the far side answers to the tries of one message. The model of
// the whole stage is: a message arrives when its troubles are over, or with
// the first answer that is lost; unless it is refused in the end; each lane's
// in the order of the log, and no lane waits for another target's troubles.
type fate struct {
	troubles []string
	refused  bool
}

func (f fate) arrives() bool { return !f.refused || slices.Contains(f.troubles, "lost answer") }

// answers are what each trouble is to the stage.
var answers = map[string]error{
	"message":     event.Retry(event.ScopeMessage, 0, errors.New("busy")),
	"target":      event.Retry(event.ScopeTarget, 2*time.Millisecond, errors.New("slow down")),
	"off":         event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("not registered")),
	"connector":   event.Retry(event.ScopeConnector, time.Millisecond, errors.New("down")),
	"lost answer": errLostAnswer,
	"unknown":     errors.New("connection refused"),
}

// fates answers by message.
type fates struct {
	mu sync.Mutex
	of map[string]fate
}

func (f *fates) set(id string, one fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[id] = one
}

func (f *fates) answer(d event.Delivery, try int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.of[d.ID]
	switch {
	case try <= len(one.troubles):
		return answers[one.troubles[try-1]]
	case one.refused:
		return event.Permanent(errors.New("no"))
	}
	return nil
}

func drawFate(t *rapid.T) fate {
	kinds := []string{"message", "target", "off", "connector", "lost answer", "unknown"}
	return fate{
		troubles: rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 3).Draw(t, "troubles"),
		refused:  rapid.IntRange(0, 9).Draw(t, "refused") == 0,
	}
}

func TestTheStageDoesWhatItsModelSays(t *testing.T) {
	all := &fates{of: map[string]fate{}}
	f := newFar(all.answer)
	b := newBench(t, f, func(b *bench) {
		b.policy.Attempts, b.policy.LaneLimit, b.policy.MaxPending = 1000, 4, 8 // less than all lanes together would hold
		b.policy.ParkAfter, b.policy.Grace = 3*time.Millisecond, 20*time.Millisecond
		b.able.Outstanding = 1
	})
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		const lanes, targets = 5, 3
		sent := map[string][]string{} // by lane
		n := rapid.IntRange(1, 30).Draw(rt, "messages")
		for i := range n {
			lane := rapid.IntRange(0, lanes-1).Draw(rt, "lane")
			name, target := fmt.Sprintf("%d-%d", round, lane), fmt.Sprintf("%d-%d", round, lane%targets)
			id := fmt.Sprintf("%s-%02d", name, i)
			all.set(id, drawFate(rt))
			b.message(id, name, target)
			sent[name] = append(sent[name], id)
			if rapid.IntRange(0, 14).Draw(rt, "restart") == 0 {
				b.restart()
			}
		}
		calm := fmt.Sprintf("%d-calm", round) // nothing is wrong with it, and nobody wakes the others yet
		for i := range 3 {
			id := fmt.Sprintf("%s-%02d", calm, i)
			all.set(id, fate{})
			b.message(id, calm, calm)
			sent[calm] = append(sent[calm], id)
		}
		b.seen.about(t, calm+"-02", event.Delivered)

		stop := b.wakeAll(round, targets)
		defer stop()
		for name, list := range sent {
			var arrive []string
			for _, id := range list {
				state := event.Failed
				if all.of[id].arrives() {
					state, arrive = event.Delivered, append(arrive, id)
				}
				b.seen.about(t, id, state)
			}
			if got := only(f.all(), name+"-"); !slices.Equal(got, arrive) {
				rt.Fatalf("lane %s shows %q, want %q", name, got, arrive)
			}
		}
	})
	b.until("nothing is held or parked", func() bool {
		a := b.stage.Stats()
		return a.Held == 0 && a.Parked == 0 && a.Lanes == 0
	})
	b.until("no lane is in memory", func() bool {
		b.stage.mu.Lock()
		var list []*lane
		for _, l := range b.stage.lanes {
			list = append(list, l)
		}
		b.stage.mu.Unlock()
		for _, l := range list {
			b.stage.forget(l)
		}
		return len(list) == 0
	})
	b.stop() // from here on the log stays as it is
	b.settledOnce(all)
}

// settledOnce reads in the log that each message has one outcome, the one of
// its fate, and that a dead letter is kept of those that failed and no other.
func (b *bench) settledOnce(all *fates) {
	b.t.Helper()
	outcomes, dead := map[string][]event.State{}, map[string]int{}
	for _, s := range []bus.Stream{bus.Statuses, bus.Deads} {
		err := b.bus.Scan(b.t.Context(), s, time.Time{}, func(r bus.Record) bool {
			switch e := r.Event.(type) {
			case event.Status:
				outcomes[e.Outbound] = append(outcomes[e.Outbound], e.State)
			case event.Dead:
				dead[e.ID]++
			}
			return true
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	for id, one := range all.of {
		state, letters := event.Delivered, 0
		if !one.arrives() {
			state, letters = event.Failed, 1
		}
		if !slices.Equal(outcomes[id], []event.State{state}) || dead[id] != letters {
			b.t.Errorf("%s became %q with %d dead letters, want %q with %d: %+v", id, outcomes[id], dead[id], state, letters, one)
		}
	}
}

// wakeAll wakes the targets of a round again and again until stop is called.
func (b *bench) wakeAll(round, targets int) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			for n := range targets {
				b.stage.Wake(event.Address(fmt.Sprintf("far:%d-%d", round, n)))
			}
		}
	}()
	return func() { close(end); <-done }
}

// all returns what has arrived, in order.
func (f *far) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}
