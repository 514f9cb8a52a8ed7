package deliver

import (
	"sync"
	"time"
)

// waiting knows the live lanes that wait and hold unacknowledged messages, so
// that the longest-waiting can be parked before they fill the window.
type waiting struct {
	mu    sync.Mutex
	since map[*lane]*wait
}

type wait struct {
	began   time.Time
	squeeze chan struct{} // closed: park
}

func (w *waiting) begin(l *lane) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := &wait{time.Now(), make(chan struct{})}
	w.since[l] = at
	return at.squeeze
}

func (w *waiting) end(l *lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.since, l)
}

// squeeze asks the longest-waiting lane to park.
func (w *waiting) squeeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest *lane
	for l, at := range w.since {
		if longest == nil || at.began.Before(w.since[longest].began) {
			longest = l
		}
	}
	if longest != nil {
		close(w.since[longest].squeeze)
		delete(w.since, longest)
	}
}

// relieve parks a waiting lane when the lanes hold more than half of what the
// bus hands out unacknowledged.
func (s *Stage) relieve() {
	if s.books.read().Held > int64(s.Policy.MaxPending/2) {
		s.waiting.squeeze()
	}
}
