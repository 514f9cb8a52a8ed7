package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus/event"
)

const (
	// fresh is how old an event is at least before a lack of room ends it: a
	// connector that was added a moment ago may not read yet.
	fresh = time.Minute
	// clockJump is how far the times of an Outbound and of what became of it
	// may be out of order.
	clockJump = 2 * time.Hour
	trimLimit = time.Minute // for one stream
)

// Keep says what a Trim leaves in the log.
type Keep struct {
	Now      time.Time     // the present
	Messages time.Duration // Inbounds and Outbounds are kept this long; 0: for ever
	Statuses time.Duration // Statuses likewise
	Dead     time.Duration // and dead letters
	Bytes    int64         // a stream near this size loses its oldest events before their time; 0: no limit
	// Held returns the lowest sequence of an Outbound that is acknowledged and
	// yet unsettled, 0 if there is none. It is asked after the consumers, and
	// only if there is something to remove. Nil means none.
	Held func(ctx context.Context) (uint64, error)
}

// Trimmed is what a Trim removed from one stream.
type Trimmed struct {
	Stream Stream
	Events uint64
	First  uint64 // the first sequence that is left
	Full   bool   // it is larger than Keep.Bytes all the same: what is unsettled stays
}

// Trim removes the beginning of each stream, as far as it is older than keep
// says and settled: acknowledged by every consumer the stream ever had, and
// for Outbounds not held. A Status stays as long as an unsettled Outbound can
// be older. It returns an entry for each stream. It may be called again after
// an error.
func (b *Bus) Trim(ctx context.Context, keep Keep) ([]Trimmed, error) {
	var done []Trimmed
	open := sync.OnceValues(func() (uint64, error) { return b.unsettled(ctx, keep) })
	for _, s := range Streams() {
		floor := func() (uint64, error) { return b.floor(ctx, s) }
		switch s {
		case Outbounds:
			floor = open
		case Statuses:
			floor = func() (uint64, error) { return b.statusFloor(ctx, open) }
		}
		t, err := b.trim(ctx, s, keep, floor)
		if err != nil {
			return done, fmt.Errorf("trim %s: %w", s, unavailable(err))
		}
		done = append(done, t)
	}
	b.crowded.Store(crowded(done))
	return done, nil
}

// crowded says which stream is too large; nil for none. Inbound has a limit of
// its own, which is never passed.
func crowded(list []Trimmed) *Stream {
	for _, t := range list {
		if t.Full && t.Stream != Inbounds {
			return &t.Stream
		}
	}
	return nil
}

// room returns ErrFull when no more may be taken in.
func (b *Bus) room() error {
	if err := b.space.check(); err != nil {
		return err
	}
	if s := b.crowded.Load(); s != nil {
		return fmt.Errorf("%w: %s has reached its size, and what it holds is not settled", ErrFull, *s)
	}
	return nil
}

// trim removes what of s lies before floor and before its time.
func (b *Bus) trim(ctx context.Context, s Stream, keep Keep, floor func() (uint64, error)) (Trimmed, error) {
	ctx, cancel := context.WithTimeout(ctx, trimLimit)
	defer cancel()
	t := Trimmed{Stream: s}
	info, err := b.streams[s].Info(ctx)
	if err != nil {
		return t, err
	}
	st := info.State
	cut := uint64(0)
	if age := map[Stream]time.Duration{Inbounds: keep.Messages, Outbounds: keep.Messages, Statuses: keep.Statuses, Deads: keep.Dead}[s]; age > 0 {
		if cut, err = b.firstSince(ctx, s, st, keep.Now.Add(-age)); err != nil {
			return t, err
		}
	}
	if n := crowd(st, keep.Bytes); n > 0 {
		young, err := b.firstSince(ctx, s, st, keep.Now.Add(-fresh))
		if err != nil {
			return t, err
		}
		cut = max(cut, min(n, young))
	}
	if cut > st.FirstSeq && st.Msgs > 0 {
		limit, err := floor()
		if err != nil {
			return t, err
		}
		cut = min(cut, limit)
	}
	if cut > st.FirstSeq && st.Msgs > 0 {
		if err := b.streams[s].Purge(ctx, jetstream.WithPurgeSequence(cut)); err != nil {
			return t, err
		}
		before := st.Msgs
		if info, err = b.streams[s].Info(ctx); err != nil {
			return t, err
		}
		st = info.State
		t.Events = before - min(st.Msgs, before)
	}
	t.First, t.Full = st.FirstSeq, keep.Bytes > 0 && st.Bytes > uint64(keep.Bytes)
	return t, nil
}

// crowd returns the first sequence to keep so that a stream that is nearly
// full becomes a fifth smaller than its limit; 0 when it is not. Events are
// taken to be of one size: the next Trim mends that.
func crowd(st jetstream.StreamState, limit int64) uint64 {
	if limit <= 0 || st.Bytes < uint64(limit)/10*9 {
		return 0
	}
	surplus := 1 - 0.8*float64(limit)/float64(st.Bytes)
	return st.FirstSeq + 1 + uint64(surplus*float64(st.LastSeq-st.FirstSeq+1))
}

// unsettled returns the lowest unsettled Outbound.
func (b *Bus) unsettled(ctx context.Context, keep Keep) (uint64, error) {
	floor, err := b.floor(ctx, Outbounds)
	if err != nil || keep.Held == nil {
		return floor, err
	}
	held, err := keep.Held(ctx)
	if held > 0 {
		floor = min(floor, held)
	}
	return floor, err
}

// statusFloor keeps the Statuses that tell how far a lane with an unsettled
// Outbound was settled: they are younger than that Outbound.
func (b *Bus) statusFloor(ctx context.Context, outbounds func() (uint64, error)) (uint64, error) {
	floor, err := b.floor(ctx, Statuses)
	if err != nil {
		return 0, err
	}
	open, err := outbounds()
	if err != nil {
		return 0, err
	}
	r, err := b.raw(ctx, Outbounds, open)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return floor, nil
	}
	if err != nil {
		return 0, err
	}
	info, err := b.streams[Statuses].Info(ctx)
	if err != nil {
		return 0, err
	}
	seq, err := b.firstSince(ctx, Statuses, info.State, r.Time.Add(-clockJump))
	return min(floor, seq), err
}

// floor returns the lowest sequence of s that a consumer has not acknowledged:
// the one after the last when there is none, and 0 when s has no consumer yet.
// Dead letters need none.
func (b *Bus) floor(ctx context.Context, s Stream) (uint64, error) {
	last, err := b.LastSeq(ctx, s) // first: what comes later may be unsettled
	if err != nil || s == Deads {
		return last + 1, err
	}
	readers, err := b.readers(ctx, s)
	if err != nil || len(readers) == 0 {
		return 0, err
	}
	floor := last + 1
	for _, r := range readers {
		m, err := b.raw(ctx, s, r.acked+1, jetstream.WithGetMsgSubject(r.filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		floor = min(floor, m.Sequence)
	}
	return floor, nil
}

// durable is a consumer of the host: those of subscribers hold nothing back.
type durable struct {
	acked  uint64 // everything up to this sequence
	filter string
}

// readers returns the durable consumers of s, and those that are being made
// anew at this moment.
func (b *Bus) readers(ctx context.Context, s Stream) (map[string]durable, error) {
	floors, err := b.Bucket(ctx, "floors")
	if err != nil {
		return nil, err
	}
	prefix := string(s) + "/"
	entries, err := floors.List(ctx, prefix, "", 0)
	if err != nil {
		return nil, err
	}
	all := map[string]durable{}
	for _, e := range entries {
		acked, err := readFloor(ctx, floors, e.Key)
		if err != nil {
			return nil, err
		}
		all[strings.TrimPrefix(e.Key, prefix)] = durable{acked, event.StoredPrefix + s.root() + ".>"}
	}
	consumers := b.streams[s].ListConsumers(ctx)
	for c := range consumers.Info() {
		if name := c.Config.Durable; name != "" && !strings.HasPrefix(name, readerPrefix) {
			all[name] = durable{c.AckFloor.Stream, c.Config.FilterSubject}
		}
	}
	return all, consumers.Err()
}

// firstSince returns the first sequence of s that was stored at or after a
// time; the one after the last if there is none.
func (b *Bus) firstSince(ctx context.Context, s Stream, st jetstream.StreamState, since time.Time) (uint64, error) {
	if st.Msgs == 0 || st.LastTime.Before(since) {
		return st.LastSeq + 1, nil
	}
	low, high := st.FirstSeq, st.LastSeq // the answer is in between
	for low < high {
		middle := low + (high-low)/2
		m, err := b.raw(ctx, s, middle)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // nothing is left from here on
			high = middle
		case err != nil:
			return 0, err
		case m.Time.Before(since):
			low = m.Sequence + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// raw returns the first message of s with a sequence of at least seq.
func (b *Bus) raw(ctx context.Context, s Stream, seq uint64, o ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	if len(o) == 0 {
		o = []jetstream.GetMsgOpt{jetstream.WithGetMsgSubject(event.StoredPrefix + s.root() + ".>")}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return b.streams[s].GetMsg(ctx, max(seq, 1), o...)
}
