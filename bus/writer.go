package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	attempt    = 3 * time.Second       // one try to store; the embedded server is suspect afterwards
	pause      = 50 * time.Millisecond // before the next try
	maxBatch   = 256                   // writes that are committed together
	batchBytes = 4 << 20               // and their bodies
	atomicFrom = 24                    // as many as this go as one atomic batch, fewer singly
)

// write is one event that waits to be stored.
type write struct {
	ctx context.Context // when it ends nobody waits for the outcome
	id  string
	msg *nats.Msg
	seq uint64 // once the server has stored it

	tried time.Time // when it was sent first; zero if it was not
}

// writer commits the writes of one stream. What arrives while a commit is
// under way waits and goes together. The embedded server gets them singly, and
// they share one fsync. External servers, which sync each message, get them as
// one atomic batch, which costs a handful of fsyncs, when many wait.
type writer struct {
	bus    *Bus
	stream Stream
	in     chan *write
}

func newWriter(b *Bus, s Stream) *writer {
	return &writer{bus: b, stream: s, in: make(chan *write, maxBatch)}
}

func (w *writer) add(ctx context.Context, x *write) error {
	select {
	case w.in <- x:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run commits until ctx ends. The bus ends it when no publish is under way.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.in:
			w.commit(w.gather(first))
		}
	}
}

// gather takes what waits already, without waiting for more.
func (w *writer) gather(first *write) []*write {
	batch, size := []*write{first}, len(first.msg.Data)
	for len(batch) < maxBatch && size < batchBytes {
		select {
		case x := <-w.in:
			batch, size = append(batch, x), size+len(x.msg.Data)
		default:
			return batch
		}
	}
	return batch
}

// commit stores a batch and settles its ids. An unknown outcome is repeated
// with the same ids while somebody waits for it.
func (w *writer) commit(batch []*write) {
	atomic := w.bus.server == nil && len(batch) >= atomicFrom
	for {
		batch = w.wanted(batch)
		if len(batch) == 0 {
			return
		}
		if atomic {
			atomic = false // what it leaves goes singly
			batch = w.together(batch)
			continue
		}
		if batch = w.singly(batch); len(batch) > 0 {
			time.Sleep(pause)
		}
	}
}

// wanted drops the writes that nobody waits for any more, and all when storage
// is known to fail.
func (w *writer) wanted(batch []*write) []*write {
	var kept []*write
	for _, x := range batch {
		err := x.ctx.Err()
		if err == nil {
			err = w.bus.health.wait(x.ctx)
		}
		if err != nil {
			if !x.tried.IsZero() {
				w.bus.doubts.add(x.tried)
			}
			w.settle(x, 0, err)
			continue
		}
		if x.tried.IsZero() {
			x.tried = time.Now()
		}
		kept = append(kept, x)
	}
	return kept
}

func (w *writer) settle(x *write, seq uint64, err error) {
	w.bus.ids.settle(w.stream, x.id, seq, unavailableOrContext(err))
}

// unavailableOrContext keeps the end of a context recognizable.
func unavailableOrContext(err error) error {
	if isContext(err) {
		return err
	}
	return unavailable(err)
}

// singly sends each write on its own, all at once, and returns those whose
// outcome is unknown. A duplicate counts as stored.
func (w *writer) singly(batch []*write) (again []*write) {
	futures := make([]jetstream.PubAckFuture, len(batch))
	for i, x := range batch {
		m := *x.msg
		f, err := w.bus.js.PublishMsgAsync(&m)
		if err == nil {
			futures[i] = f
		}
	}
	var stored []*write
	var through uint64
	for i, x := range batch {
		if futures[i] == nil {
			again = append(again, x)
			continue
		}
		select {
		case ack := <-futures[i].Ok():
			x.seq, through = ack.Sequence, max(through, ack.Sequence)
			stored = append(stored, x)
		case err := <-futures[i].Err():
			if w.refused(x, err) {
				continue
			}
			again = append(again, x)
		}
	}
	return append(again, w.durable(stored, through)...)
}

// durable settles what the server has stored once it is on disk, and returns it
// if that failed.
func (w *writer) durable(stored []*write, through uint64) (again []*write) {
	if len(stored) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	if err := w.bus.durable(ctx, string(w.stream), through); err != nil {
		if isContext(err) {
			w.bus.suspect(fmt.Sprintf("no sync within %s", attempt))
		}
		return stored
	}
	for _, x := range stored {
		w.settle(x, x.seq, nil)
	}
	return nil
}

// refused settles a write that the server answered with a refusal; any other
// error leaves the outcome unknown. The embedded server answers nothing once it
// could not write: it is reopened.
func (w *writer) refused(x *write, err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) && (isFull(err) || api.Code == 400) {
		w.settle(x, 0, unavailable(err))
		return true
	}
	if errors.Is(err, jetstream.ErrAsyncPublishTimeout) || errors.Is(err, context.DeadlineExceeded) {
		w.bus.suspect(fmt.Sprintf("no answer within %s", attempt))
	}
	return false
}

// together sends the writes as one atomic batch and settles them when it is
// committed; otherwise it returns them, to go singly. A batch that contains an
// id that JetStream remembers is refused whole.
func (w *writer) together(batch []*write) (again []*write) {
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	ack, err := w.send(ctx, batch)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			w.bus.suspect(fmt.Sprintf("no answer within %s", attempt))
		}
		return batch
	}
	for i, x := range batch {
		w.settle(x, ack.Sequence-uint64(len(batch)-1-i), nil)
	}
	return nil
}

func (w *writer) send(ctx context.Context, batch []*write) (ack batchAck, err error) {
	id := nuid.Next()
	for i, x := range batch {
		m := *x.msg
		m.Header = maps.Clone(x.msg.Header)
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < len(batch)-1 {
			if err := w.bus.nc.PublishMsg(&m); err != nil {
				return ack, err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		reply, err := w.bus.nc.RequestMsgWithContext(ctx, &m)
		if err != nil {
			return ack, err
		}
		if err := json.Unmarshal(reply.Data, &ack); err != nil {
			return ack, fmt.Errorf("answer to a batch: %w", err)
		}
	}
	switch {
	case ack.Error != nil:
		return ack, ack.Error
	case ack.Count != len(batch) || ack.Sequence < uint64(len(batch)):
		return ack, fmt.Errorf("a batch of %d was acknowledged as %d", len(batch), ack.Count)
	}
	return ack, nil
}

// batchAck is the server's answer to the commit of an atomic batch.
type batchAck struct {
	Sequence uint64              `json:"seq"`
	Count    int                 `json:"count"`
	Error    *jetstream.APIError `json:"error"`
}
