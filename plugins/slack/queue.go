package slack

import (
	"context"
	"sync"
	"time"
)

const (
	// maxQueued is how many events are worked on or wait at once. Slack keeps
	// what is not taken, and sends it again.
	maxQueued = 256
	// settle is how long an event waits for an earlier one: two connections
	// can overtake each other.
	settle = 100 * time.Millisecond
)

// queue works on the events of one channel one after another, in the order in
// which they were said, and on those of different channels at the same time.
type queue struct {
	ctx     context.Context
	places  chan struct{}
	working sync.WaitGroup

	mu    sync.Mutex
	lines map[string][]job
}

// A job is one event that waits.
type job struct {
	ts    string
	since time.Time
	run   func(context.Context)
}

func newQueue(ctx context.Context) *queue {
	return &queue{ctx: ctx, places: make(chan struct{}, maxQueued), lines: map[string][]job{}}
}

// add has f called in the turn of a message. It waits while too much is under
// way, and returns false if ctx ended first.
func (q *queue) add(ctx context.Context, at spot, f func(context.Context)) bool {
	select {
	case q.places <- struct{}{}:
	case <-ctx.Done():
		return false
	case <-q.ctx.Done():
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	line, busy := q.lines[at.channel]
	q.lines[at.channel] = append(line, job{at.ts, time.Now(), f})
	if !busy {
		q.working.Go(func() { q.work(at.channel) })
	}
	return true
}

// work does the jobs of a channel until there are none.
func (q *queue) work(channel string) {
	for {
		wait, ok := q.oldest(channel)
		if !ok {
			return
		}
		select {
		case <-time.After(wait):
		case <-q.ctx.Done():
		}
		q.first(channel).run(q.ctx)
		<-q.places
	}
}

// oldest returns how long the job that waits longest has still to wait. It
// ends the line when it is empty.
func (q *queue) oldest(channel string) (wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.lines[channel]
	if len(line) == 0 {
		delete(q.lines, channel)
		return 0, false
	}
	return settle - time.Since(line[0].since), true
}

// first takes the job of what was said first off the line.
func (q *queue) first(channel string) job {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.lines[channel]
	at := 0
	for i, j := range line {
		if earlier(j.ts, line[at].ts) {
			at = i
		}
	}
	found := line[at]
	q.lines[channel] = append(line[:at:at], line[at+1:]...)
	return found
}

// earlier compares timestamps, whose whole parts can differ in length.
func earlier(a, b string) bool { return moment(a).Before(moment(b)) }

// wait returns when nothing is under way any more.
func (q *queue) wait() { q.working.Wait() }
