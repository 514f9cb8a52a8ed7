package matrix

import (
	"errors"
	"sync"
	"time"

	"parley.im/plugins/sdk"
)

// noticeEvery is how often one person is told in one room that what they say
// there goes nowhere: people may talk among themselves at a desk.
const noticeEvery = time.Hour

// A throttle lets each key pass once in a while. What it remembers can be
// lost.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newThrottle() *throttle { return &throttle{last: map[string]time.Time{}} }

func (t *throttle) allow(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.last[key]) < noticeEvery {
		return false
	}
	if len(t.last) >= maxKnown {
		clear(t.last)
	}
	t.last[key] = time.Now()
	return true
}

func isNotFound(err error) bool { return errors.Is(err, sdk.ErrNotFound) }
func isConflict(err error) bool { return errors.Is(err, sdk.ErrConflict) }
