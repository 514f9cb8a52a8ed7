package sipedge

import "sync"

// sharing lets copies of one request that arrive while the first is in work
// wait for its answer, so that they have one effect.
type sharing struct {
	mu  sync.Mutex
	all map[string]*share
}

type share struct {
	branch string
	copies int // that wait
	done   chan struct{}
	answer answer
}

// do returns what work returns, or what it returned for a copy that was in
// work already. mine is false for a copy that has gone another way than the
// first: a merged request (RFC 3261, section 8.2.2.2).
func (s *sharing) do(id, branch string, work func() answer) (mine bool, a answer) {
	s.mu.Lock()
	if first := s.all[id]; first != nil {
		first.copies++
		s.mu.Unlock()
		<-first.done
		return first.branch == branch, first.answer
	}
	first := &share{branch: branch, done: make(chan struct{}), answer: say(500, "Server Internal Error")}
	s.all[id] = first
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.all, id)
		s.mu.Unlock()
		close(first.done)
	}()
	first.answer = work()
	return true, first.answer
}
