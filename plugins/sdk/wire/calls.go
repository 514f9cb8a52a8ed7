package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"parley.im/bus/event"
)

// Calls keeps one side's unanswered requests, at most MaxRequests. Its methods
// may be called from several goroutines.
type Calls struct {
	slots chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *Answer
	err     error // set before done is closed
}

// NewCalls returns an empty Calls.
func NewCalls() *Calls {
	return &Calls{
		slots:   make(chan struct{}, MaxRequests),
		done:    make(chan struct{}),
		waiting: map[uint64]chan *Answer{},
	}
}

// Do waits for a free place, lets send put the request on its way under a new
// id, and returns the other side's answer. When ctx ends first, cancel is told
// the id and ctx's error is returned: what the other side did is then unknown.
func (c *Calls) Do(ctx context.Context, send func(id uint64) error, cancel func(id uint64)) (*Answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.err
	}
	id, answer := c.begin()
	defer c.end(id)
	if err := send(id); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		return a, DecodeError(a.Error)
	case <-ctx.Done():
		cancel(id)
		return nil, ctx.Err()
	case <-c.done:
	}
	select {
	case a := <-answer: // it came before the end
		return a, DecodeError(a.Error)
	default:
		return nil, c.err
	}
}

func (c *Calls) begin() (uint64, chan *Answer) {
	answer := make(chan *Answer, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.waiting[c.last] = answer
	return c.last, answer
}

func (c *Calls) end(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// Answer hands a to whoever waits for id. It never blocks; an answer that
// nobody waits for, or a second one, is ignored.
func (c *Calls) Answer(id uint64, a *Answer) {
	c.mu.Lock()
	answer := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if answer == nil {
		return
	}
	if a == nil {
		a = &Answer{}
	}
	answer <- a
}

// Close ends all requests, and those to come, with err. The first call counts.
func (c *Calls) Close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// Queue carries one side's frames to the stream. Send may be called from
// several goroutines.
type Queue[F proto.Message] struct {
	frames chan F
	broken chan struct{}
}

// NewQueue returns a queue that holds a few frames and then pushes back.
func NewQueue[F proto.Message]() *Queue[F] {
	return &Queue[F]{frames: make(chan F, 64), broken: make(chan struct{})}
}

// errStream says that the stream ended under a frame.
var errStream = errors.New("the stream is closed")

// Send hands f over. It waits while the other side is slow, until ctx ends. A
// frame that is too large is refused for good.
func (q *Queue[F]) Send(ctx context.Context, f F) error {
	if n := proto.Size(f); n > MaxFrame {
		return event.Permanent(fmt.Errorf("frame of %d bytes; at most %d are allowed", n, MaxFrame))
	}
	select {
	case <-q.broken:
		return errStream
	default:
	}
	select {
	case q.frames <- f:
		return nil
	case <-q.broken:
		return errStream
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TrySend hands f over unless the other side is slow.
func (q *Queue[F]) TrySend(f F) {
	select {
	case q.frames <- f:
	default:
	}
}

// Run writes frames with send until ctx ends or send fails. It is called once.
func (q *Queue[F]) Run(ctx context.Context, send func(F) error) error {
	defer close(q.broken)
	for {
		select {
		case f := <-q.frames:
			if err := send(f); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Slots bounds and cancels the other side's requests that are being worked on.
type Slots struct {
	mu      sync.Mutex
	running map[uint64]context.CancelFunc
	wait    sync.WaitGroup
}

// NewSlots returns Slots with nothing under way.
func NewSlots() *Slots { return &Slots{running: map[uint64]context.CancelFunc{}} }

// Go runs f in a goroutine under a context that Cancel(id) ends. It returns
// false, and runs nothing, when MaxRequests are under way or id is one of them.
func (s *Slots) Go(ctx context.Context, id uint64, f func(context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.running[id]; twice || len(s.running) >= MaxRequests {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	s.running[id] = cancel
	s.wait.Go(func() {
		defer s.end(id)
		f(ctx)
	})
	return true
}

func (s *Slots) end(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[id]()
	delete(s.running, id)
}

// Cancel ends the context of the request with this id, if there is one.
func (s *Slots) Cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.running[id]; cancel != nil {
		cancel()
	}
}

// Wait returns when nothing is under way. Go is not called meanwhile.
func (s *Slots) Wait() { s.wait.Wait() }
