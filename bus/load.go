package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"parley.im/bus/event"
)

// loadIDs fills the id index from the headers of what was stored since a time,
// so that no second durable list of ids has to be written.
func (b *Bus) loadIDs(ctx context.Context, since time.Time) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range Streams() {
		g.Go(func() error {
			if err := b.loadStream(ctx, s, since); err != nil {
				return fmt.Errorf("read the ids of %s: %w", s, unavailable(err))
			}
			return nil
		})
	}
	return g.Wait()
}

func (b *Bus) loadStream(ctx context.Context, s Stream, since time.Time) error {
	info, err := b.streams[s].Info(ctx)
	if err != nil {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	if first := info.State.LastSeq - min(info.State.LastSeq, uint64(b.cfg.IDs)) + 1; info.State.Msgs > uint64(b.cfg.IDs) {
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, first
	}
	return walk(ctx, b.streams[s], cfg, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		if id := m.Headers().Get(nats.MsgIdHdr); id != "" {
			b.ids.load(s, id, meta.Sequence.Stream, meta.Timestamp)
		}
		if s == Statuses {
			b.loadSubject(m.Headers(), meta.Timestamp)
		}
		return true
	})
}

// loadSubject loads the ids of the messages that a Status is about: they may
// have been trimmed since.
func (b *Bus) loadSubject(h nats.Header, at time.Time) {
	e, err := decode(h, nil)
	if st, ok := e.(event.Status); ok && err == nil {
		b.ids.load(Statuses, st.Inbound, 0, at) // in the order of the Statuses
		b.ids.load(Statuses, st.Outbound, 0, at)
	}
}
