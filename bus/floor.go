package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// begin makes the durable reader offer everything that was not acknowledged
// once more, in stream order. A reader that simply went on would offer what an
// earlier life had taken only after AckWait, behind newer messages of the same
// lane. So it is made anew from its acknowledgement floor, which is written
// down first: a crash in between does not begin at the start of the log.
func (c *Consumer) begin(ctx context.Context, stream jetstream.Stream) error {
	floors, err := c.bus.Bucket(ctx, "floors")
	if err != nil {
		return err
	}
	key := string(c.stream) + "/" + c.cfg.Durable
	floor, err := readFloor(ctx, floors, key)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	old, err := stream.Consumer(ctx, c.cfg.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return unavailable(err)
	default:
		if read := old.CachedInfo().Delivered.Stream; read > stream.CachedInfo().State.LastSeq {
			c.bus.tellLoss(ctx, c.stream, c.cfg.Durable, read)
		}
		floor = max(floor, old.CachedInfo().AckFloor.Stream)
		if _, err := floors.Set(ctx, key, strconv.AppendUint(nil, floor, 10)); err != nil {
			return err
		}
		if err := stream.DeleteConsumer(ctx, c.cfg.Durable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return unavailable(err)
		}
	}
	c.cfg.DeliverPolicy, c.cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, floor+1
	return nil
}

// tellLoss says that a stream is shorter than what a reader has seen of it: the
// disk, or a power cut that the disk did not tell of, has damaged the store.
func (b *Bus) tellLoss(ctx context.Context, s Stream, reader string, read uint64) {
	if last, err := b.LastSeq(ctx, s); err == nil && last < read { // what was known of the stream may be old
		b.log.Error("bus: the store has lost events: it was damaged", "stream", string(s), "ends", last, "reader", reader, "had read", read)
	}
}

func readFloor(ctx context.Context, floors *Bucket, name string) (uint64, error) {
	e, err := floors.Get(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(e.Value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("acknowledgement floor of %s: %w", name, err)
	}
	return n, nil
}
