package bus

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"
)

// Limits of a Bucket.
const (
	MaxKey   = 256      // bytes of a key
	MaxValue = 64 << 10 // bytes of a value
)

// markerAge is how long the log remembers that a key was deleted, for other
// hosts that follow it.
const markerAge = time.Hour

// headerRoom is what the log adds to a value for its own headers.
const headerRoom = 1024

// Entry is one key of a Bucket. Revisions rise with each write to the bucket.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Bucket is a durable key-value store with revisions. Keys are UTF-8 up to
// MaxKey bytes, values up to MaxValue. A write returns when it is stored at
// the bus's durability. Its methods may be called from several goroutines, and
// see at once what this Bus has written; what another host writes to a shared
// cluster is seen by Get at once and by List a moment later.
type Bucket struct {
	bus  *Bus
	name string
	kv   jetstream.KeyValue
	keys *keys
}

// Bucket opens a bucket, creating it where it is missing. Opening it again
// returns the same. The name is letters, digits, "-" and "_".
func (b *Bus) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if err := b.enter(); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	defer b.leave()
	if !token(name) {
		return nil, fmt.Errorf("bucket %q: %w", name, ErrInvalid)
	}
	b.bucketsMu.Lock()
	defer b.bucketsMu.Unlock()
	if k, ok := b.buckets[name]; ok {
		return k, nil
	}
	kv, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: bucketPrefix + name, MaxValueSize: MaxValue + headerRoom, History: 1, Storage: b.storage(),
		Replicas: b.cfg.Replicas, LimitMarkerTTL: markerAge,
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, unavailable(err))
	}
	if err := b.syncAll(folder(bucketStream + bucketPrefix + name)); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, unavailable(err))
	}
	k := &Bucket{bus: b, name: name, kv: kv, keys: newKeys()}
	if err := k.follow(ctx); err != nil {
		return nil, fmt.Errorf("bucket %s: read its keys: %w", name, unavailable(err))
	}
	b.buckets[name] = k
	return k, nil
}

// encodeKey makes a key of any bytes one token of a subject; the order of keys
// and their prefixes survive.
func encodeKey(key string) string { return hex.EncodeToString([]byte(key)) }

func decodeKey(s string) (string, bool) {
	key, err := hex.DecodeString(s)
	return string(key), err == nil
}

func checkKey(key string) error {
	if key == "" || len(key) > MaxKey || !utf8.ValidString(key) {
		return fmt.Errorf("%w: a key has 1 to %d bytes of UTF-8", ErrInvalid, MaxKey)
	}
	return nil
}

// Get returns an entry, or ErrNotFound.
func (k *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	if err := checkKey(key); err != nil {
		return Entry{}, k.wrap("get", key, err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	e, err := k.kv.Get(ctx, encodeKey(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) { // ErrKeyDeleted is one of these
		return Entry{}, k.wrap("get", key, ErrNotFound)
	}
	if err != nil {
		return Entry{}, k.wrap("get", key, unavailable(err))
	}
	return Entry{Key: key, Value: e.Value(), Revision: e.Revision()}, nil
}

// Put stores value if the key still has revision (0: it does not exist) and
// returns the new revision; otherwise ErrConflict. After ErrUnavailable the
// value may or may not have been stored: Get tells.
func (k *Bucket) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return k.write(ctx, "put", key, value, func(ctx context.Context, code string) (uint64, error) {
		if revision == 0 {
			return k.kv.Create(ctx, code, value)
		}
		return k.kv.Update(ctx, code, value, revision)
	})
}

// Set stores value whatever was there before and returns the new revision.
func (k *Bucket) Set(ctx context.Context, key string, value []byte) (uint64, error) {
	return k.write(ctx, "set", key, value, func(ctx context.Context, code string) (uint64, error) {
		return k.kv.Put(ctx, code, value)
	})
}

// A put of write stores a value under an encoded key.
type put func(ctx context.Context, code string) (uint64, error)

func (k *Bucket) write(ctx context.Context, verb, key string, value []byte, put put) (uint64, error) {
	if err := k.bus.enter(); err != nil {
		return 0, k.wrap(verb, key, err)
	}
	defer k.bus.leave()
	if err := checkKey(key); err != nil {
		return 0, k.wrap(verb, key, err)
	}
	if len(value) > MaxValue {
		return 0, k.wrap(verb, key, fmt.Errorf("%w: a value of %d bytes; at most %d are allowed", ErrInvalid, len(value), MaxValue))
	}
	began := time.Now()
	ctx, cancel := bounded(ctx)
	defer cancel()
	revision, err := put(ctx, encodeKey(key))
	if err == nil {
		err = k.durable(ctx, revision)
	}
	if err != nil {
		return 0, k.wrap(verb, key, k.failed(err, began))
	}
	k.keys.put(key, revision)
	return revision, nil
}

// Delete removes a key; deleting a missing key is a success.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	return k.remove(ctx, key)
}

// DeleteAt removes a key if it still has revision, which is not 0; otherwise
// ErrConflict.
func (k *Bucket) DeleteAt(ctx context.Context, key string, revision uint64) error {
	if revision == 0 {
		return k.wrap("delete", key, ErrConflict)
	}
	return k.remove(ctx, key, jetstream.LastRevision(revision))
}

func (k *Bucket) remove(ctx context.Context, key string, o ...jetstream.KVDeleteOpt) error {
	if err := k.bus.enter(); err != nil {
		return k.wrap("delete", key, err)
	}
	defer k.bus.leave()
	if err := checkKey(key); err != nil {
		return k.wrap("delete", key, err)
	}
	known := k.keys.revision(key)
	if known == 0 && len(o) == 0 && !k.shared() && !k.keys.stale.Load() {
		return nil
	}
	began := time.Now()
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := k.kv.Purge(ctx, encodeKey(key), append(o, jetstream.PurgeTTL(markerAge))...)
	if err == nil {
		err = k.durable(ctx, 0)
	}
	if err != nil {
		return k.wrap("delete", key, k.failed(err, began))
	}
	if k.shared() {
		k.keys.dropHere(key, known)
	} else {
		k.keys.drop(key, known)
	}
	return nil
}

func (k *Bucket) durable(ctx context.Context, revision uint64) error {
	return k.bus.durable(ctx, bucketStream+bucketPrefix+k.name, revision)
}

// failed gives the error of a write its meaning. A write whose answer did not
// come may have happened: the keys are read anew before the next List. The
// server is suspect when it had its time; the caller may have had less patience.
func (k *Bucket) failed(err error, began time.Time) error {
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return ErrConflict
	}
	k.keys.stale.Store(true)
	if errors.Is(err, context.DeadlineExceeded) && time.Since(began) >= attempt && !k.shared() {
		k.bus.suspect("no answer to a write of bucket " + k.name)
	}
	return unavailable(err)
}

// List returns up to limit entries whose keys begin with prefix and come after
// after, in key order (the order of their bytes); limit 0 or less means all.
func (k *Bucket) List(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if k.keys.stale.Load() {
		if err := k.reread(ctx); err != nil {
			return nil, fmt.Errorf("list %s: %w", k.name, unavailable(err))
		}
	}
	var list []Entry
	for limit <= 0 || len(list) < limit {
		page := k.keys.list(prefix, after, limit-len(list))
		if len(page) == 0 {
			break
		}
		for _, key := range page {
			after = key
			e, err := k.Get(ctx, key)
			if errors.Is(err, ErrNotFound) {
				continue // deleted meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", k.name, err)
			}
			list = append(list, e)
		}
	}
	return list, nil
}

func (k *Bucket) wrap(verb, key string, err error) error {
	return fmt.Errorf("%s %s/%q: %w", verb, k.name, key, err)
}

// shared tells whether other hosts may write to the bucket.
func (k *Bucket) shared() bool { return k.bus.server == nil }
