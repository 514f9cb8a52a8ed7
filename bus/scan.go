package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Scan calls f with the events of a stream since a time, oldest first and
// without their bodies, up to what is stored when it is called. It ends early
// when f returns false. An event that this version cannot read is passed over.
func (b *Bus) Scan(ctx context.Context, s Stream, since time.Time, f func(Record) bool) error {
	return b.scan(ctx, s, jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}, f)
}

// scan calls f with the events that cfg chooses and this version can read.
func (b *Bus) scan(ctx context.Context, s Stream, cfg jetstream.OrderedConsumerConfig, f func(Record) bool) error {
	stream, err := b.stream(s)
	if err != nil {
		return err
	}
	err = walk(ctx, stream, cfg, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		data := m.Data()
		if cfg.HeadersOnly {
			data = nil
		}
		e, err := decode(m.Headers(), data)
		return err != nil || f(Record{Event: e, Seq: meta.Sequence.Stream, Time: meta.Timestamp})
	})
	if err != nil {
		return fmt.Errorf("scan %s: %w", s, unavailable(err))
	}
	return nil
}

// walk calls f with the messages that cfg chooses, in stream order, up to the
// last one when it is called, until f returns false. The last ones may have
// been deleted: the consumer knows how many are left.
func walk(ctx context.Context, stream jetstream.Stream, cfg jetstream.OrderedConsumerConfig, f func(jetstream.Msg, *jetstream.MsgMetadata) bool) error {
	info, err := stream.Info(ctx)
	if err != nil || info.State.Msgs == 0 {
		return err
	}
	if at := cfg.OptStartTime; at != nil && !info.State.LastTime.IsZero() && info.State.LastTime.Before(*at) {
		return nil
	}
	c, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	if begun := c.CachedInfo(); begun.NumPending == 0 {
		return stream.DeleteConsumer(ctx, begun.Name)
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
		if meta.Sequence.Stream > info.State.LastSeq || !f(m, meta) {
			return nil
		}
		if meta.Sequence.Stream == info.State.LastSeq || meta.NumPending == 0 {
			return nil
		}
	}
}
