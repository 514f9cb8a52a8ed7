package core

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A stack runs components on top of one another: they are started in order
// and stopped in reverse, each layer only when those above it have ended.
type stack struct {
	layers []*layer
	failed chan error // the first component that returned before it was stopped
}

// A layer is components that run beside each other. Some may be added and
// stopped while the others run.
type layer struct {
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	failed chan<- error

	mu    sync.Mutex // held to add one, and to stop all
	group sync.WaitGroup
}

func newStack() *stack { return &stack{failed: make(chan error, 1)} }

// start runs components together as the next layer.
func (s *stack) start(ctx context.Context, name string, runs ...func(context.Context) error) *layer {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &layer{name: name, ctx: ctx, cancel: cancel, failed: s.failed}
	s.layers = append(s.layers, l)
	for _, run := range runs {
		l.add(run)
	}
	return l
}

// add runs one more component. It returns what stops this one alone, and waits
// for its end.
func (l *layer) add(run func(context.Context) error) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithCancel(l.ctx)
	done := make(chan struct{})
	l.group.Go(func() {
		defer close(done)
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		select {
		case l.failed <- fmt.Errorf("%s: %w", l.name, err):
		default:
		}
	})
	return func() {
		cancel()
		<-done
	}
}

// stop ends all components. One that is added later ends at once.
func (l *layer) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	l.group.Wait()
}

// stop ends the layers from the top down and returns when all have ended.
func (s *stack) stop() {
	for i := len(s.layers) - 1; i >= 0; i-- {
		s.layers[i].stop()
	}
}
