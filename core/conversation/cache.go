package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
)

// maxCached bounds what a Store keeps in memory.
const maxCached = 10_000

// A cache reads and writes a bucket as JSON and keeps the last known values.
// Readers and writers of one key take turns, so that what is kept is what the
// bucket has; different keys rarely wait for each other.
type cache struct {
	bucket Bucket
	max    int
	seed   maphash.Seed
	turns  [64]sync.Mutex

	mu    sync.Mutex
	known map[string]string // "" for a key that the bucket does not have
}

func newCache(b Bucket, max int) *cache {
	return &cache{bucket: b, max: max, seed: maphash.MakeSeed(), known: map[string]string{}}
}

// turn waits until nobody else is busy with key.
func (c *cache) turn(key string) (done func()) {
	m := &c.turns[maphash.String(c.seed, key)%uint64(len(c.turns))]
	m.Lock()
	return m.Unlock
}

// Forget drops what is known: others have changed the bucket.
func (c *cache) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
}

func (c *cache) get(ctx context.Context, key string, v any) (found bool, err error) {
	text, known := c.recall(key)
	if !known {
		defer c.turn(key)()
		if text, err = c.load(ctx, key); err != nil {
			return false, err
		}
	}
	if text == "" {
		return false, nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}

// set returns when v is stored. A value that is stored already is not written
// again.
func (c *cache) set(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	defer c.turn(key)()
	was, err := c.load(ctx, key)
	if err != nil || was == string(b) {
		return err
	}
	if err := c.bucket.Set(ctx, key, b); err != nil {
		c.forget(key) // it may have been stored all the same
		return fmt.Errorf("store %s: %w", key, err)
	}
	c.keep(key, string(b))
	return nil
}

// load returns what the bucket has. The caller has the key's turn.
func (c *cache) load(ctx context.Context, key string) (string, error) {
	if text, known := c.recall(key); known {
		return text, nil
	}
	b, err := c.bucket.Get(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	c.keep(key, string(b))
	return string(b), nil
}

func (c *cache) recall(key string) (text string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, known = c.known[key]
	return text, known
}

func (c *cache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, key)
}

// keep makes room by forgetting any other keys.
func (c *cache) keep(key, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other := range c.known {
		if len(c.known) < c.max {
			break
		}
		delete(c.known, other)
	}
	c.known[key] = text
}
