package bus

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// idKey is the beginning of an id's SHA-256: ids are of any length, and there
// may be millions.
type idKey [16]byte

func keyOf(id string) (k idKey) {
	h := sha256.Sum256([]byte(id))
	copy(k[:], h[:])
	return k
}

// flight is an id on its way into the log.
type flight struct {
	done chan struct{} // closed when seq and err are set
	seq  uint64
	err  error
}

// index knows the ids of the events that were stored lately, and those on
// their way. It is asked before JetStream, whose own window is shorter.
type index struct {
	limit int
	age   time.Duration

	mu     sync.Mutex
	stored map[idKey]uint64
	ages   map[Stream]*queue
	flying map[string]*flight
}

func newIndex(limit int, age time.Duration) *index {
	x := &index{
		limit: limit, age: age,
		stored: map[idKey]uint64{}, ages: map[Stream]*queue{}, flying: map[string]*flight{},
	}
	for _, s := range Streams() {
		x.ages[s] = &queue{}
	}
	return x
}

// claim returns the sequence of a stored id (f is nil), or the flight it is
// on; first tells that the caller has to make that flight happen.
func (x *index) claim(id string) (seq uint64, f *flight, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seq, ok := x.stored[keyOf(id)]; ok {
		return seq, nil, false
	}
	if f, ok := x.flying[id]; ok {
		return 0, f, false
	}
	f = &flight{done: make(chan struct{})}
	x.flying[id] = f
	return 0, f, true
}

// settle ends the flight of id; with a nil err it is stored from now on.
func (x *index) settle(s Stream, id string, seq uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.add(s, keyOf(id), seq, time.Now())
	}
	if f, ok := x.flying[id]; ok {
		delete(x.flying, id)
		f.seq, f.err = seq, err
		close(f.done)
	}
}

// load adds an id that the log already holds, or has held: then seq is 0.
func (x *index) load(s Stream, id string, seq uint64, at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.add(s, keyOf(id), seq, at)
}

func (x *index) add(s Stream, k idKey, seq uint64, at time.Time) {
	if known, ok := x.stored[k]; ok {
		if known == 0 {
			x.stored[k] = seq
		}
		return
	}
	x.stored[k] = seq
	x.ages[s].push(aged{k, at.Unix()})
	x.trim(time.Now().Add(-x.age).Unix())
}

// trim forgets what is too old, and the oldest while there are too many.
func (x *index) trim(before int64) {
	for {
		var oldest *queue
		for _, q := range x.ages {
			if q.len() > 0 && (oldest == nil || q.head().at < oldest.head().at) {
				oldest = q
			}
		}
		if oldest == nil || (len(x.stored) <= x.limit && oldest.head().at >= before) {
			return
		}
		delete(x.stored, oldest.pop().key)
	}
}

func (x *index) lookup(id string) (uint64, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	seq, ok := x.stored[keyOf(id)]
	return seq, ok
}

func (x *index) size() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.stored)
}

// aged is a stored id and the second it was stored in.
type aged struct {
	key idKey
	at  int64
}

// queue is a first-in first-out list that gives its room back.
type queue struct {
	items []aged
	first int
}

func (q *queue) len() int    { return len(q.items) - q.first }
func (q *queue) head() aged  { return q.items[q.first] }
func (q *queue) push(a aged) { q.items = append(q.items, a) }

func (q *queue) pop() aged {
	a := q.items[q.first]
	q.first++
	if q.first > 1024 && q.first*2 > len(q.items) {
		q.items, q.first = append([]aged(nil), q.items[q.first:]...), 0
	}
	return a
}

// Stored tells whether an event with this id was stored within the reach of
// the id index, and under which sequence of its stream: 0 if it was trimmed
// before the start. An id on its way counts as not stored.
func (b *Bus) Stored(id string) (seq uint64, ok bool) { return b.ids.lookup(id) }

// wait returns the outcome of a flight, or the end of ctx.
func (f *flight) wait(ctx context.Context) (uint64, error) {
	select {
	case <-f.done:
		return f.seq, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
