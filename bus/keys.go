package bus

import (
	"context"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// keys is the ordered list of a bucket's keys, so that List asks the log only
// for what it returns. It is fed by the bucket's own writes, and on a shared
// cluster by everybody's.
type keys struct {
	mu        sync.RWMutex
	sorted    []string
	revisions map[string]uint64
	gone      map[string]uint64 // shared only: deleted here up to this revision, not yet heard of
	stale     atomic.Bool       // some write may have been missed
}

func newKeys() *keys {
	return &keys{revisions: map[string]uint64{}, gone: map[string]uint64{}}
}

func (x *keys) put(key string, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if revision <= x.gone[key] || revision <= x.revisions[key] {
		return
	}
	if _, ok := x.revisions[key]; !ok {
		i := sort.SearchStrings(x.sorted, key)
		x.sorted = slices.Insert(x.sorted, i, key)
	}
	x.revisions[key] = revision
}

// drop forgets key unless it was written after revision.
func (x *keys) drop(key string, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(key, revision)
}

// dropHere is drop for a deletion of which the log will tell later.
func (x *keys) dropHere(key string, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone[key] = max(x.gone[key], revision)
	x.remove(key, revision)
}

// heard notes that the log told of a deletion with this revision.
func (x *keys) heard(key string, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.gone, key)
	x.remove(key, revision)
}

func (x *keys) remove(key string, revision uint64) {
	if known, ok := x.revisions[key]; !ok || known > revision {
		return
	}
	delete(x.revisions, key)
	if i, found := slices.BinarySearch(x.sorted, key); found {
		x.sorted = slices.Delete(x.sorted, i, i+1)
	}
}

func (x *keys) revision(key string) uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.revisions[key]
}

// list returns the first limit keys (all for 0 or less) with prefix, after after.
func (x *keys) list(prefix, after string, limit int) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	first := sort.SearchStrings(x.sorted, prefix)
	if after >= prefix {
		first = sort.Search(len(x.sorted), func(i int) bool { return x.sorted[i] > after })
	}
	end := first
	for end < len(x.sorted) && strings.HasPrefix(x.sorted[end], prefix) && (limit <= 0 || end-first < limit) {
		end++
	}
	return slices.Clone(x.sorted[first:end])
}

// replace takes over what was read from the log.
func (x *keys) replace(revisions map[string]uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for key, r := range x.revisions { // written while the log was read
		if seen, ok := revisions[key]; ok && r > seen {
			revisions[key] = r
		}
	}
	x.revisions, x.sorted = revisions, make([]string, 0, len(revisions))
	for key := range revisions {
		x.sorted = append(x.sorted, key)
	}
	slices.Sort(x.sorted)
}

// follow reads all keys of the bucket; on a shared cluster it goes on hearing
// of changes until the bus is closed.
func (k *Bucket) follow(ctx context.Context) error {
	if !k.shared() {
		return k.reread(ctx)
	}
	w, err := k.read(ctx, k.bus.life)
	if err != nil {
		return err
	}
	k.bus.running.Go(func() { k.hear(w) })
	return nil
}

// reread reads all keys once.
func (k *Bucket) reread(ctx context.Context) error {
	k.keys.stale.Store(false)
	w, err := k.read(ctx, k.bus.life)
	if err != nil {
		k.keys.stale.Store(true)
		return err
	}
	return w.Stop()
}

// read loads the keys and returns the watcher that did, which lives as long as
// life.
func (k *Bucket) read(ctx, life context.Context) (jetstream.KeyWatcher, error) {
	w, err := k.kv.WatchAll(life, jetstream.MetaOnly())
	if err != nil {
		return nil, err
	}
	revisions := map[string]uint64{}
	for {
		select {
		case <-ctx.Done():
			w.Stop()
			return nil, ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return nil, ErrUnavailable
			}
			if e == nil {
				k.keys.replace(revisions)
				return w, nil
			}
			key, ok := decodeKey(e.Key())
			if !ok {
				continue // not written by this program
			}
			if e.Operation() == jetstream.KeyValuePut {
				revisions[key] = e.Revision()
			} else {
				delete(revisions, key)
			}
		}
	}
}

// hear applies what any host writes to the bucket until the bus is closed.
func (k *Bucket) hear(w jetstream.KeyWatcher) {
	for {
		select {
		case <-k.bus.life.Done():
			w.Stop()
			return
		case e, ok := <-w.Updates():
			if !ok {
				if w = k.again(); w == nil {
					return
				}
				continue
			}
			k.apply(e)
		}
	}
}

// again opens a watcher that broke; nil when the bus is closed.
func (k *Bucket) again() jetstream.KeyWatcher {
	for {
		select {
		case <-k.bus.life.Done():
			return nil
		case <-time.After(pause):
		}
		if w, err := k.read(k.bus.life, k.bus.life); err == nil {
			return w
		}
	}
}

func (k *Bucket) apply(e jetstream.KeyValueEntry) {
	if e == nil {
		return
	}
	key, ok := decodeKey(e.Key())
	switch {
	case !ok:
	case e.Operation() == jetstream.KeyValuePut:
		k.keys.put(key, e.Revision())
	default:
		k.keys.heard(key, e.Revision())
	}
}
