package bus

import (
	"sync"
	"time"
)

// calmLines is how many lines a second a calm lets through.
const calmLines = 10

// A calm keeps what others can bring about at will from filling the log. It
// may be used from several goroutines.
type calm struct {
	mu     sync.Mutex
	second int64 // that is being counted
	lines  int   // in it
	more   int   // left out since the last line
}

// may tells whether a line may be logged now, and how many were left out
// since the last one.
func (c *calm) may(now time.Time) (ok bool, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := now.Unix(); s != c.second {
		c.second, c.lines = s, 0
	}
	if c.lines++; c.lines > calmLines {
		c.more++
		return false, 0
	}
	more, c.more = c.more, 0
	return true, more
}
