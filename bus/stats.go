package bus

import (
	"context"
	"fmt"
	"time"
)

// Stats is what the bus holds at one time.
type Stats struct {
	Durability Durability
	IDs        int   // size of the id index
	Free       int64 // bytes free for the embedded server; -1 when the servers are external
	Streams    []StreamStats
	Consumers  []ConsumerStats
}

// StreamStats is what one stream holds.
type StreamStats struct {
	Stream      Stream
	Messages    uint64
	Bytes       uint64
	First, Last uint64    // sequences
	Oldest      time.Time // when the first was stored; zero if there is none
}

// ConsumerStats is how far one consumer has come.
type ConsumerStats struct {
	Stream      Stream
	Name        string
	Acked       uint64 // every message of its up to this sequence is acknowledged
	Pending     uint64 // messages it has not been handed
	AckPending  int    // handed out, not acknowledged
	Redelivered int    // of these, handed out again
}

// Stats asks the servers for the present figures.
func (b *Bus) Stats(ctx context.Context) (Stats, error) {
	st := Stats{Durability: b.cfg.Durability, IDs: b.ids.size(), Free: -1}
	if b.space != nil {
		free, err := b.space.read()
		if err != nil {
			return st, fmt.Errorf("stats: %w", err)
		}
		st.Free = free
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	for _, s := range Streams() {
		info, err := b.streams[s].Info(ctx)
		if err != nil {
			return st, fmt.Errorf("stats of %s: %w", s, unavailable(err))
		}
		st.Streams = append(st.Streams, StreamStats{
			Stream: s, Messages: info.State.Msgs, Bytes: info.State.Bytes,
			First: info.State.FirstSeq, Last: info.State.LastSeq, Oldest: info.State.FirstTime,
		})
		consumers := b.streams[s].ListConsumers(ctx)
		for c := range consumers.Info() {
			st.Consumers = append(st.Consumers, ConsumerStats{
				Stream: s, Name: c.Name, Acked: c.AckFloor.Stream, Pending: c.NumPending, AckPending: c.NumAckPending, Redelivered: c.NumRedelivered,
			})
		}
		if err := consumers.Err(); err != nil {
			return st, fmt.Errorf("stats of %s: %w", s, unavailable(err))
		}
	}
	return st, nil
}
