package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"parley.im/bus/event"
)

// ErrNotFound is what a Bucket returns for a key it does not have.
var ErrNotFound = errors.New("not found")

// Bucket is the durable key-value store that a Store needs. Set returns when
// the value is stored.
type Bucket interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
}

// Known is what is remembered of a conversation.
type Known struct {
	Route         string        `json:"route"`
	Correspondent event.Address `json:"correspondent"` // the SIP user of a desk conversation
}

// thread is what a thread at a place belongs to.
type thread struct {
	Conversation string `json:"conversation"`
	Known
}

// maxCached bounds what a Store keeps in memory.
const maxCached = 10_000

// Store remembers conversations. Its methods may be called from several
// goroutines, and all writes may be repeated.
type Store struct {
	bucket Bucket

	mu     sync.Mutex
	cached map[string]string // the last known values, "" for none
}

// NewStore returns a store on a bucket that nobody else writes to.
func NewStore(b Bucket) *Store { return &Store{bucket: b, cached: map[string]string{}} }

// Remember keeps what a conversation is. What does not change costs no write.
func (s *Store) Remember(ctx context.Context, conversation string, k Known) error {
	return s.set(ctx, "conversation/"+conversation, k)
}

// Anchor returns the thread in which a conversation goes on at a target, or ""
// if none is known.
func (s *Store) Anchor(ctx context.Context, connector, conversation string, target event.Address) (string, error) {
	var a string
	_, err := s.get(ctx, anchorKey(connector, conversation, target), &a)
	return a, err
}

// SetAnchor remembers the thread in which a conversation goes on at a target,
// so that later messages join it, and answers in it find the conversation. The
// second is written first: an anchor in use can always be answered.
func (s *Store) SetAnchor(ctx context.Context, connector, conversation string, target event.Address, anchor string) error {
	var k Known
	found, err := s.get(ctx, "conversation/"+conversation, &k)
	if err != nil {
		return err
	}
	if found {
		if err := s.set(ctx, threadKey(connector, target, anchor), thread{conversation, k}); err != nil {
			return err
		}
	}
	return s.set(ctx, anchorKey(connector, conversation, target), anchor)
}

// ByThread returns the conversation that a thread at a place belongs to.
func (s *Store) ByThread(ctx context.Context, connector string, at event.Address, anchor string) (k Known, conversation string, found bool, err error) {
	var t thread
	found, err = s.get(ctx, threadKey(connector, at, anchor), &t)
	return t.Known, t.Conversation, found, err
}

// The parts of a key that come from outside are hashed: keys are short and
// hold no personal data.
func anchorKey(connector, conversation string, target event.Address) string {
	return "anchor/" + connector + "/" + conversation + "/" + digest(string(target))
}

func threadKey(connector string, at event.Address, anchor string) string {
	return "thread/" + connector + "/" + digest(string(at), anchor)
}

func digest(parts ...string) string { return Tokens{}.name("key", parts...) }

func (s *Store) get(ctx context.Context, key string, v any) (found bool, err error) {
	s.mu.Lock()
	text, known := s.cached[key]
	s.mu.Unlock()
	if !known {
		b, err := s.bucket.Get(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, fmt.Errorf("read %s: %w", key, err)
		}
		text = string(b)
		s.learn(key, text)
	}
	if text == "" {
		return false, nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}

func (s *Store) set(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.mu.Lock()
	same := s.cached[key] == string(b)
	s.mu.Unlock()
	if same {
		return nil
	}
	if err := s.bucket.Set(ctx, key, b); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	s.learn(key, string(b))
	return nil
}

// learn keeps a value in memory, and forgets any other when there are many. A
// value that was written is not replaced by one that was read before.
func (s *Store) learn(key, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" {
		if _, known := s.cached[key]; known {
			return
		}
	}
	for other := range s.cached {
		if len(s.cached) < maxCached {
			break
		}
		delete(s.cached, other)
	}
	s.cached[key] = text
}
