package matrix

import "sync"

// efforts remember of messages with files that are on their way what was tried.
// They can be lost: then a file is tried as often again.
type efforts struct {
	mu sync.Mutex
	of map[string]*effort // by Delivery.ID
}

// An effort is what was tried for one message.
type effort struct {
	begun  bool           // the host was told of the thread that it begins
	failed map[string]int // by key: how often a file has failed
}

func newEfforts() *efforts { return &efforts{of: map[string]*effort{}} }

// failed counts a failure of a file's own, and returns how many there were.
func (e *efforts) failed(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	one := e.get(key)
	one.failed[key]++
	return one.failed[key]
}

// begin tells whether the message is called to have begun for the first time.
func (e *efforts) begin(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	one := e.get(key)
	first := !one.begun
	one.begun = true
	return first
}

// forget drops what is remembered of a message that is done.
func (e *efforts) forget(message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.of, message)
}

// get is called with mu held.
func (e *efforts) get(key string) *effort {
	message := outbound(key)
	one := e.of[message]
	if one == nil {
		if len(e.of) >= maxKnown {
			clear(e.of)
		}
		one = &effort{failed: map[string]int{}}
		e.of[message] = one
	}
	return one
}
