package slack

import (
	"context"
	"sync"
	"time"
)

const (
	// maxLine is how many events of a channel wait at once, and maxQueued how
	// many of all. What is too much is left to Slack, which sends it again.
	maxLine   = 64
	maxQueued = 2048
	// settle is how long an event waits for an earlier one: two connections
	// can overtake each other.
	settle = 100 * time.Millisecond
	// maxWork is how long one event may be worked on.
	maxWork = 20 * time.Second
)

// queue works on the events of one channel one after another, in the order in
// which they were said, and on those of different channels at the same time.
type queue struct {
	ctx     context.Context
	working sync.WaitGroup

	mu     sync.Mutex
	queued int
	lines  map[string][]job
}

// A job is one event that waits.
type job struct {
	ts    string
	since time.Time
	run   func(context.Context)
}

func newQueue(ctx context.Context) *queue { return &queue{ctx: ctx, lines: map[string][]job{}} }

// add has f called in the turn of a message. It returns false, and f is never
// called, when too much waits already.
func (q *queue) add(at spot, f func(context.Context)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	line, busy := q.lines[at.channel]
	if len(line) >= maxLine || q.queued >= maxQueued || q.ctx.Err() != nil {
		return false
	}
	q.queued++
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
		q.do(q.first(channel))
	}
}

func (q *queue) do(j job) {
	ctx, cancel := context.WithTimeout(q.ctx, maxWork)
	defer cancel()
	j.run(ctx)
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
	q.queued--
	return found
}

// earlier compares timestamps, whose whole parts can differ in length.
func earlier(a, b string) bool { return moment(a).Before(moment(b)) }

// wait returns when nothing is under way any more.
func (q *queue) wait() { q.working.Wait() }
