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
	stream, err := b.stream(s)
	if err != nil {
		return err
	}
	if err := b.scan(ctx, stream, since, f); err != nil {
		return fmt.Errorf("scan %s: %w", s, unavailable(err))
	}
	return nil
}

func (b *Bus) scan(ctx context.Context, stream jetstream.Stream, since time.Time, f func(Record) bool) error {
	info, err := stream.Info(ctx)
	if err != nil || info.State.Msgs == 0 || info.State.LastTime.Before(since) {
		return err
	}
	c, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
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
		e, err := decode(m.Headers(), nil)
		if err == nil && !f(Record{Event: e, Seq: meta.Sequence.Stream, Time: meta.Timestamp}) {
			return nil
		}
		if meta.Sequence.Stream >= info.State.LastSeq {
			return nil
		}
	}
}
