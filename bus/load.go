package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// loadIDs fills the id index from the headers of what was stored within its
// age, so that no second durable list of ids has to be written.
func (b *Bus) loadIDs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range Streams() {
		g.Go(func() error {
			if err := b.loadStream(ctx, s); err != nil {
				return fmt.Errorf("read the ids of %s: %w", s, unavailable(err))
			}
			return nil
		})
	}
	return g.Wait()
}

func (b *Bus) loadStream(ctx context.Context, s Stream) error {
	since := time.Now().Add(-b.cfg.IDAge)
	info, err := b.streams[s].Info(ctx)
	if err != nil {
		return err
	}
	if info.State.Msgs == 0 || info.State.LastTime.Before(since) {
		return nil
	}
	cfg := jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}
	if first := info.State.LastSeq - min(info.State.LastSeq, uint64(b.cfg.IDs)) + 1; info.State.Msgs > uint64(b.cfg.IDs) {
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, first
	}
	c, err := b.streams[s].OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	it, err := c.Messages(jetstream.PullMaxMessages(2048))
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if id := m.Headers().Get(nats.MsgIdHdr); id != "" {
			b.ids.load(s, id, meta.Sequence.Stream, meta.Timestamp)
		}
		if meta.Sequence.Stream >= info.State.LastSeq {
			return nil
		}
	}
}
