package slacktest

import (
	"maps"
	"net/http"
	"time"
)

// faults are what a test asks the workspace to do wrong.
type faults struct {
	events   []*delivery
	lose     int                      // answers to posts to be lost after they are stored
	status   int                      // of every answer, if not 0
	after    time.Duration            // posts get 429 with this Retry-After, if not 0
	slow     map[string]time.Duration // before every answer of a method
	mute     map[string]int           // answers of a method that are to be lost
	revoked  bool
	held     chan struct{} // closed to release answers to posts; nil: none is held
	stored   chan string   // told the id of a post whose answer is held
	requests map[string]int
	largest  int  // file, if not 0
	kept     bool // files may not be deleted
}

// release is called with mu held.
func (f *faults) release() {
	if f.held != nil {
		close(f.held)
		f.held = nil
	}
}

// LoseAnswers has the next n posts stored and the connection broken instead of
// an answer.
func (s *Server) LoseAnswers(n int) { s.set(func(f *faults) { f.lose = n }) }

// Limit has posts answered with 429 and this Retry-After; 0 ends it.
func (s *Server) Limit(after time.Duration) { s.set(func(f *faults) { f.after = after }) }

// Fail has every method answered with an HTTP status; 0 ends it.
func (s *Server) Fail(status int) { s.set(func(f *faults) { f.status = status }) }

// Slow has every answer of a method wait; "upload" is that of a file itself.
func (s *Server) Slow(method string, d time.Duration) {
	s.set(func(f *faults) {
		f.slow = maps.Clone(f.slow)
		if f.slow == nil {
			f.slow = map[string]time.Duration{}
		}
		f.slow[method] = d
	})
}

// Mute has the next n answers of a method lost after it was done.
func (s *Server) Mute(method string, n int) {
	s.set(func(f *faults) { f.mute = map[string]int{method: n} })
}

// unheard tells whether the answer of a method is to be lost. It is called with
// mu held.
func (f *faults) unheard(method string) bool {
	if f.mute[method] == 0 {
		return false
	}
	f.mute[method]--
	return true
}

// LimitFiles has larger files refused.
func (s *Server) LimitFiles(bytes int) { s.set(func(f *faults) { f.largest = bytes }) }

// KeepFiles has no file deleted.
func (s *Server) KeepFiles(kept bool) { s.set(func(f *faults) { f.kept = kept }) }

// Revoke takes the app's tokens away, or gives them back.
func (s *Server) Revoke(revoked bool) { s.set(func(f *faults) { f.revoked = revoked }) }

// Hold keeps the answers to posts back from now on, until release is called.
// stored gets the delivery's id of each post that is stored meanwhile.
func (s *Server) Hold() (stored <-chan string, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.release()
	s.faults.held, s.faults.stored = make(chan struct{}), make(chan string, 1000)
	return s.faults.stored, func() { s.set((*faults).release) }
}

// Requests returns how often a method was called.
func (s *Server) Requests(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.requests[method]
}

func (s *Server) set(change func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.faults)
}

// lost tells whether the answer to a stored post is to be lost, after waiting
// while answers are held.
func (s *Server) lost(r *http.Request, id string) bool {
	s.mu.Lock()
	lose := s.faults.lose > 0
	if lose {
		s.faults.lose--
	}
	held, stored := s.faults.held, s.faults.stored
	s.mu.Unlock()
	if held == nil {
		return lose
	}
	stored <- id
	select {
	case <-held:
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	return lose
}
