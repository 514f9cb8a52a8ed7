package matrixtest

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// faults are what goes wrong with the next sends.
type faults struct {
	lose    int // answers lost after the event was stored
	drop    int // requests lost before it was
	refuse  []*refusal
	slow    time.Duration
	revoked bool
	hold    *Hold
	largest int64 // file
	broken  bool  // files end in the middle
	at      []*fault
}

// A fault is what goes wrong with requests of one sort.
type fault struct {
	part  string // of METHOD URL
	n     int    // how many more times
	with  *refusal
	stall chan struct{} // closed by Restore
}

// Lose loses the answers of the next n sends: each is stored, and the
// connection breaks.
func (s *Server) Lose(n int) { s.fault(func(f *faults) { f.lose = n }) }

// Drop breaks the connections of the next n sends before anything is stored.
func (s *Server) Drop(n int) { s.fault(func(f *faults) { f.drop = n }) }

// Limit refuses the next n sends as too fast.
func (s *Server) Limit(n int, after time.Duration) {
	s.refuse(n, refusal{http.StatusTooManyRequests, "M_LIMIT_EXCEEDED", "Too many requests", after.Milliseconds()})
}

// Fail refuses the next n sends with a status; without a code the answer has
// no Matrix error, as that of a proxy.
func (s *Server) Fail(n, status int, code string) { s.refuse(n, refusal{status, code, "failed", 0}) }

func (s *Server) refuse(n int, r refusal) {
	s.fault(func(f *faults) {
		for range n {
			f.refuse = append(f.refuse, &r)
		}
	})
}

// FailAt refuses the next n requests whose method and URL have part in them, as
// Fail does with sends.
func (s *Server) FailAt(part string, n, status int, code string) {
	s.fault(func(f *faults) {
		f.at = append(f.at, &fault{part: part, n: n, with: &refusal{status, code, "failed", 0}})
	})
}

// StallAt has such requests never answered, until Restore.
func (s *Server) StallAt(part string) {
	s.fault(func(f *faults) { f.at = append(f.at, &fault{part: part, n: 1 << 30, stall: make(chan struct{})}) })
}

// BreakFiles has the fetching of files break off in the middle.
func (s *Server) BreakFiles() { s.fault(func(f *faults) { f.broken = true }) }

// trouble is what FailAt and StallAt have asked for. It tells whether the
// request was answered, or its asker has gone.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	i := slices.IndexFunc(s.faults.at, func(f *fault) bool { return f.n > 0 && strings.Contains(r.Method+" "+r.URL.String(), f.part) })
	if i < 0 {
		s.mu.Unlock()
		return false
	}
	f := s.faults.at[i]
	f.n--
	s.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body) // that the asker goes is seen only then
	if f.stall != nil {
		select {
		case <-f.stall:
		case <-r.Context().Done():
		}
		return true
	}
	f.with.write(w)
	return true
}

// Slow has each send take a while.
func (s *Server) Slow(d time.Duration) { s.fault(func(f *faults) { f.slow = d }) }

// Revoke has the homeserver not know the application service's token any more.
func (s *Server) Revoke() { s.fault(func(f *faults) { f.revoked = true }) }

// Forget has the homeserver not know the transaction ids of earlier sends any
// more, as after a restart.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sent)
}

// Restore ends all faults, and lets go what is held.
func (s *Server) Restore() {
	s.fault(func(f *faults) {
		if f.hold != nil {
			close(f.hold.release)
		}
		for _, at := range f.at {
			if at.stall != nil {
				close(at.stall)
			}
		}
		*f = faults{}
	})
}

// Hold holds back the answers of sends whose events are stored.
type Hold struct {
	Stored  <-chan Event // what was stored
	release chan struct{}
	stored  chan Event
}

// HoldAnswers holds back answers until Restore.
func (s *Server) HoldAnswers() *Hold {
	h := &Hold{release: make(chan struct{}), stored: make(chan Event, 1000)}
	h.Stored = h.stored
	s.fault(func(f *faults) { f.hold = h })
	return h
}

func (s *Server) fault(change func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.faults)
}

// before is what happens to a send before it is looked at. gone means that the
// connection was broken, or the answer given.
func (s *Server) before(w http.ResponseWriter) (gone bool) {
	s.mu.Lock()
	f := &s.faults
	drop, slow := f.drop > 0, f.slow
	var r *refusal
	switch {
	case drop:
		f.drop--
	case len(f.refuse) > 0:
		r, f.refuse = f.refuse[0], f.refuse[1:]
	}
	s.mu.Unlock()
	if slow > 0 {
		<-time.After(slow)
	}
	switch {
	case drop:
		hangUp(w)
		return true
	case r != nil:
		r.write(w)
		return true
	}
	return false
}

// after is what happens to the answer of a send.
func (s *Server) after(w http.ResponseWriter, r *http.Request, ev Event) (gone bool) {
	s.mu.Lock()
	f := &s.faults
	lose, hold := f.lose > 0, f.hold
	if lose {
		f.lose--
	}
	s.mu.Unlock()
	if hold != nil {
		hold.stored <- ev
		select {
		case <-hold.release:
		case <-r.Context().Done():
			return true
		}
	}
	if lose {
		hangUp(w)
	}
	return lose
}

// hangUp breaks a connection without an answer.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			conn.Close()
		}
	}
}
