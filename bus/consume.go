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

// ConsumeConfig describes a durable reader of one stream.
type ConsumeConfig struct {
	Name       string        // letters, digits, - and _, not beginning with "reader_"; the same name goes on after the last acknowledged
	Stream     Stream        //
	Connector  string        // only this connector's events; empty means all
	MaxPending int           // messages handed out and not acknowledged; 0 means 1000
	AckWait    time.Duration // after which a message that was not acknowledged comes again; 0 means 30 s
}

// Consumer hands out the messages of a stream in order. Next may be called
// from one goroutine at a time.
type Consumer struct {
	bus      *Bus
	cfg      jetstream.ConsumerConfig
	stream   Stream
	prefetch int

	mu     sync.Mutex
	it     jetstream.MessagesContext
	next   uint64 // number that the server gives its next message for this reader
	closed bool
}

// Consume creates the durable reader, or takes over the one of that name from
// an earlier life: everything it had not acknowledged is offered again, in
// stream order and before anything newer. A name has one reader at a time.
func (b *Bus) Consume(ctx context.Context, c ConsumeConfig) (*Consumer, error) {
	if !token(c.Name) || strings.HasPrefix(c.Name, readerPrefix) || (c.Connector != "" && !token(c.Connector)) {
		return nil, fmt.Errorf("consume %q of %q: %w", c.Name, c.Connector, ErrInvalid)
	}
	if c.MaxPending <= 0 {
		c.MaxPending = 1000
	}
	if c.AckWait <= 0 {
		c.AckWait = 30 * time.Second
	}
	filter := event.StoredPrefix + c.Stream.root() + ".>"
	if c.Connector != "" {
		filter = event.StoredPrefix + c.Stream.root() + "." + c.Connector + ".>"
	}
	k := &Consumer{bus: b, stream: c.Stream, prefetch: min(c.MaxPending, 128), cfg: jetstream.ConsumerConfig{
		Durable: c.Name, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: c.AckWait, MaxAckPending: c.MaxPending, MaxDeliver: -1, FilterSubject: filter,
	}}
	if _, err := k.iterator(ctx); err != nil {
		return nil, fmt.Errorf("consume %s: %w", c.Name, err)
	}
	b.reading.add(k)
	return k, nil
}

// iterator returns the running iterator. When the last one broke it begins
// anew: what was on its way then would come again only after AckWait, behind
// newer messages.
func (c *Consumer) iterator(ctx context.Context) (jetstream.MessagesContext, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errConsumerClosed
	}
	if c.it != nil {
		return c.it, nil
	}
	stream, err := c.bus.stream(c.stream)
	if err != nil {
		return nil, err
	}
	if err := c.begin(ctx, stream); err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	k, err := c.create(ctx, stream)
	if unreadable(err) && c.bus.server != nil {
		c.bus.log.Error("bus: the state of a reader could not be read; it begins again where it is known to have been", "reader", c.cfg.Durable, "err", err)
		if err := c.bus.server.forgetReader(c.stream, c.cfg.Durable); err != nil {
			return nil, err
		}
		k, err = c.create(ctx, stream)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	c.next = 1
	c.it, err = k.Messages(jetstream.PullMaxMessages(c.prefetch), jetstream.PullExpiry(10*time.Second))
	return c.it, unavailable(err)
}

// create makes the reader. While the server is still removing an earlier one of
// the name, whose deletion nobody waited for, it is asked again.
func (c *Consumer) create(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	for {
		k, err := stream.CreateOrUpdateConsumer(ctx, c.cfg)
		if !errors.Is(err, jetstream.ErrConsumerDoesNotExist) && !vanishing(err) {
			return k, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// vanishing tells that the folder of an earlier reader was removed under the new
// one.
func vanishing(err error) bool { return notCreated(err, "no such file or directory") }

// unreadable tells that a reader's file in the store is damaged.
func unreadable(err error) bool { return notCreated(err, "creating store") }

// notCreated tells whether the server could not make a reader, and says why.
func notCreated(err error, why string) bool {
	const code = 10012
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code && strings.Contains(api.Description, why)
}

var errConsumerClosed = errors.New("the consumer is closed")

// follows tells whether a message is the one that the server sent after the
// last: if not, one was lost on its way.
func (c *Consumer) follows(it jetstream.MessagesContext, m jetstream.Msg) (bool, error) {
	meta, err := m.Metadata()
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.it != it || meta.Sequence.Consumer != c.next {
		return false, nil
	}
	c.next++
	return true, nil
}

// again has the reader begin anew: the connection was lost, and with it perhaps
// messages.
func (c *Consumer) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.it != nil {
		c.it.Stop()
	}
}

// reading are the consumers of a bus that are in use.
type reading struct {
	mu  sync.Mutex
	all map[*Consumer]bool
}

func (r *reading) add(c *Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*Consumer]bool{}
	}
	r.all[c] = true
}

func (r *reading) remove(c *Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, c)
}

// again has all of them begin anew.
func (r *reading) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.all {
		c.again()
	}
}

// drop forgets an iterator that broke.
func (c *Consumer) drop(it jetstream.MessagesContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.it == it {
		c.it = nil
	}
	it.Stop()
}

// Next returns the next message in stream order; it blocks until there is one.
// It survives reconnections; only the end of ctx or of the consumer ends it
// with an error. A message that was handed out before and not acknowledged in
// time comes again, with Redelivered set. After a connection was lost
// everything that was not acknowledged comes again, in stream order, before
// anything newer.
func (c *Consumer) Next(ctx context.Context) (*Message, error) {
	for {
		it, err := c.iterator(ctx)
		if err == nil {
			var m jetstream.Msg
			if m, err = it.Next(jetstream.NextContext(ctx)); err == nil {
				var ok bool
				if ok, err = c.follows(it, m); ok {
					return c.handOut(ctx, m)
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errConsumerClosed) || c.bus.nc.IsClosed():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, errConsumerClosed)
		}
		if it != nil {
			c.drop(it)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// handOut returns a message once it can't be lost any more. While storage fails
// it waits.
func (c *Consumer) handOut(ctx context.Context, m jetstream.Msg) (*Message, error) {
	r, err := newMessage(m)
	if err != nil {
		return nil, err
	}
	for c.bus.durable(ctx, string(c.stream), r.Seq) != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.bus.life.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, errConsumerClosed)
		case <-time.After(pause):
		}
	}
	return r, nil
}

// Close stops reading; the durable reader stays and goes on where it stopped.
// Messages that were fetched and not handed out are given back at once.
func (c *Consumer) Close() error {
	c.mu.Lock()
	it := c.it
	c.closed, c.it = true, nil
	c.mu.Unlock()
	c.bus.reading.remove(c)
	if it == nil {
		return nil
	}
	it.Drain()
	for {
		m, err := it.Next(jetstream.NextMaxWait(attempt))
		if err != nil {
			return nil
		}
		if err := m.Nak(); err != nil {
			return nil // it comes again after AckWait
		}
	}
}

// Message is a record that a consumer was handed.
type Message struct {
	Record
	Redelivered bool  // it was handed out before
	Err         error // it could not be decoded (event.ErrUnknown: a later version); Event is nil
	msg         jetstream.Msg
}

func newMessage(m jetstream.Msg) (*Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("message without metadata: %w", err)
	}
	r := &Message{msg: m, Redelivered: meta.NumDelivered > 1}
	r.Seq, r.Time = meta.Sequence.Stream, meta.Timestamp
	r.Event, r.Err = decode(m.Headers(), m.Data())
	return r, nil
}

// Ack says that the message is settled. It returns before the bus has noted
// it, and may be forgotten after a crash: the message then comes again.
func (m *Message) Ack() error { return unavailable(m.msg.Ack()) }

// Working says that the message is still being worked on: AckWait begins anew.
func (m *Message) Working() error { return unavailable(m.msg.InProgress()) }
