package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// TailOptions choose what Tail shows.
type TailOptions struct {
	Streams []Stream // none means all four
	Signals bool     // typing as well
	Ready   func()   // called once, when everything from now on will be seen; may be nil
}

// Tail calls f with each event from now on, as any subscriber of the public
// subjects sees it, until ctx ends; it then returns nil. Events of a stream
// come in order and without a gap: what a slow f or a broken connection made
// it miss is read from the stream. f is called from one goroutine.
func (b *Bus) Tail(ctx context.Context, o TailOptions, f func(Record)) error {
	if len(o.Streams) == 0 {
		o.Streams = Streams()
	}
	roots := map[string]Stream{}
	for _, s := range o.Streams {
		if _, err := b.stream(s); err != nil {
			return fmt.Errorf("tail: %w", err)
		}
		roots[s.root()] = s
	}
	if o.Signals {
		roots["parley.signal"] = ""
	}
	t := &tail{bus: b, show: f, last: map[Stream]uint64{}}
	in := make(chan *nats.Msg, 1024)
	for root := range roots {
		sub, err := b.nc.ChanSubscribe(root+".>", in)
		if err != nil {
			return fmt.Errorf("tail: %w", unavailable(err))
		}
		defer sub.Unsubscribe()
	}
	if err := b.flush(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("tail: %w", unavailable(err))
	}
	if o.Ready != nil {
		o.Ready()
	}
	return t.run(ctx, in)
}

type tail struct {
	bus  *Bus
	show func(Record)
	last map[Stream]uint64
}

func (t *tail) run(ctx context.Context, in <-chan *nats.Msg) error {
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-alive.C:
			if t.bus.nc.IsClosed() {
				return fmt.Errorf("tail: %w: closed", ErrUnavailable)
			}
		case m := <-in:
			t.one(ctx, m)
		}
	}
}

func (t *tail) one(ctx context.Context, m *nats.Msg) {
	e, err := decode(m.Header, m.Data)
	if err != nil {
		t.bus.log.Warn("bus: tail met an event it cannot read", "subject", m.Subject, "error", err)
		return
	}
	s := Stream(m.Header.Get("Nats-Stream"))
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if s == "" || err != nil {
		t.show(Record{Event: e, Time: time.Now()})
		return
	}
	if last := t.last[s]; last > 0 {
		if seq <= last {
			return
		}
		t.fill(ctx, s, last+1, seq)
	}
	t.last[s] = seq
	at, _ := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	t.show(Record{Event: e, Seq: seq, Time: at})
}

// fill shows what lies between two events that were seen.
func (t *tail) fill(ctx context.Context, s Stream, from, before uint64) {
	for seq := from; seq < before && ctx.Err() == nil; seq++ {
		if r, err := t.bus.At(ctx, s, seq); err == nil {
			t.show(r)
		}
	}
}

// flush returns when the server has taken everything that was sent before.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return b.nc.FlushWithContext(ctx)
}
