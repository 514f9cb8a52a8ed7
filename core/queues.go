package core

import "sync"

// queues runs jobs that each belong to some lanes: one after another where
// they share a lane, in the order in which they were added, else at the same
// time. add is called from one goroutine.
type queues struct {
	slots chan struct{} // one for each job that has been added and is not done
	all   sync.WaitGroup

	mu   sync.Mutex
	last map[string]chan struct{} // by lane: closed when its latest job is done
}

func newQueues(limit int) *queues {
	return &queues{slots: make(chan struct{}, limit), last: map[string]chan struct{}{}}
}

// add runs f when the earlier jobs of its lanes are done. It blocks while too
// many jobs are under way.
func (q *queues) add(lanes []string, f func()) {
	q.slots <- struct{}{}
	done := make(chan struct{})
	before := q.enter(lanes, done)
	q.all.Go(func() {
		for _, b := range before {
			<-b
		}
		f()
		q.leave(lanes, done)
		<-q.slots
	})
}

// enter makes a job the latest of its lanes and returns those before it.
func (q *queues) enter(lanes []string, done chan struct{}) (before []chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range lanes {
		if b := q.last[l]; b != nil && b != done {
			before = append(before, b)
		}
		q.last[l] = done
	}
	return before
}

func (q *queues) leave(lanes []string, done chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range lanes {
		if q.last[l] == done {
			delete(q.last, l)
		}
	}
	close(done)
}

// wait returns when all jobs are done.
func (q *queues) wait() { q.all.Wait() }
