package sipedge

import "sync"

// sharing lets copies of one request that arrive while the first is in work
// wait for its answer, so that they have one effect and one answer.
type sharing struct {
	mu  sync.Mutex
	all map[string]*share
}

type share struct {
	done   chan struct{}
	answer answer
}

// do returns what work returns, or what it returned for a copy that was in
// work already.
func (s *sharing) do(id string, work func() answer) answer {
	s.mu.Lock()
	if first := s.all[id]; first != nil {
		s.mu.Unlock()
		<-first.done
		return first.answer
	}
	mine := &share{done: make(chan struct{}), answer: say(500, "Server Internal Error")}
	s.all[id] = mine
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.all, id)
		s.mu.Unlock()
		close(mine.done)
	}()
	mine.answer = work()
	return mine.answer
}
