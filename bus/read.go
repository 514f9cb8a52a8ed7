package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus/event"
)

// Record is an event as it stands in its stream.
type Record struct {
	Event event.Event // nil when it could not be decoded
	Seq   uint64      // in its stream
	Time  time.Time   // when it was stored
}

// Next returns the first event on a lane whose sequence is from or higher, or
// ErrNotFound. It is cheap: one question to the stream's subject index.
func (b *Bus) Next(ctx context.Context, s Stream, connector, lane string, from uint64) (Record, error) {
	if !token(connector) || !token(lane) {
		return Record{}, fmt.Errorf("next on %s.%s: %w", connector, lane, ErrInvalid)
	}
	r, err := b.get(ctx, s, max(from, 1), jetstream.WithGetMsgSubject(s.lane(connector, lane)))
	if err != nil {
		return Record{}, fmt.Errorf("next on %s.%s from %d: %w", connector, lane, from, err)
	}
	return r, nil
}

// Last returns the last event on a lane, or ErrNotFound.
func (b *Bus) Last(ctx context.Context, s Stream, connector, lane string) (Record, error) {
	if !token(connector) || !token(lane) {
		return Record{}, fmt.Errorf("last on %s.%s: %w", connector, lane, ErrInvalid)
	}
	stream, err := b.stream(s)
	if err != nil {
		return Record{}, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	m, err := stream.GetLastMsgForSubject(ctx, s.lane(connector, lane))
	if err != nil {
		return Record{}, fmt.Errorf("last on %s.%s: %w", connector, lane, readError(err))
	}
	return b.record(ctx, s, m)
}

// At returns the event with a sequence, or ErrNotFound.
func (b *Bus) At(ctx context.Context, s Stream, seq uint64) (Record, error) {
	r, err := b.get(ctx, s, max(seq, 1))
	if err != nil {
		return Record{}, fmt.Errorf("%s at %d: %w", s, seq, err)
	}
	return r, nil
}

// LastSeq returns the highest sequence that s has given out; 0 when none.
func (b *Bus) LastSeq(ctx context.Context, s Stream) (uint64, error) {
	stream, err := b.stream(s)
	if err != nil {
		return 0, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("last sequence of %s: %w", s, unavailable(err))
	}
	return info.State.LastSeq, nil
}

func (b *Bus) get(ctx context.Context, s Stream, seq uint64, o ...jetstream.GetMsgOpt) (Record, error) {
	stream, err := b.stream(s)
	if err != nil {
		return Record{}, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	m, err := stream.GetMsg(ctx, seq, o...)
	if err != nil {
		return Record{}, readError(err)
	}
	return b.record(ctx, s, m)
}

func (b *Bus) stream(s Stream) (jetstream.Stream, error) {
	stream, ok := b.streams[s]
	if !ok {
		return nil, fmt.Errorf("stream %q: %w", string(s), ErrNotFound)
	}
	return stream, nil
}

// bounded gives a context without deadline the time of one attempt.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, attempt)
}

func readError(err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ErrNotFound
	}
	return unavailable(err)
}

// record returns a message once it can't be lost any more: nobody acts on what a
// power cut could still take back.
func (b *Bus) record(ctx context.Context, s Stream, m *jetstream.RawStreamMsg) (Record, error) {
	if err := b.durable(ctx, string(s), m.Sequence); err != nil {
		return Record{}, err
	}
	r := Record{Seq: m.Sequence, Time: m.Time}
	var err error
	r.Event, err = decode(m.Header, m.Data)
	return r, err
}

func decode(h nats.Header, data []byte) (event.Event, error) {
	w := event.Wire{Header: make(map[string]string, len(h)), Data: data}
	for k, v := range h {
		if len(v) > 0 {
			w.Header[k] = v[0]
		}
	}
	return event.Decode(w)
}
