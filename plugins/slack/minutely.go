package slack

import (
	"sync"
	"time"
)

// minutely keeps what strangers can bring about from filling the log. Its zero
// value is ready; it may be used from several goroutines.
type minutely struct {
	mu   sync.Mutex
	last time.Time
}

// due tells whether a minute has passed since it last said so.
func (m *minutely) due() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.last) < time.Minute {
		return false
	}
	m.last = time.Now()
	return true
}
