package core

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A stack runs components on top of one another: they are started in order
// and stopped in reverse, each only when those above it have returned.
type stack struct {
	layers []layer
	failed chan error // the first component that returned before it was stopped
}

type layer struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

func newStack() *stack { return &stack{failed: make(chan error, 1)} }

// start runs components together as the next layer.
func (s *stack) start(ctx context.Context, name string, runs ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := layer{name: name, cancel: cancel, done: make(chan struct{})}
	var all sync.WaitGroup
	for _, run := range runs {
		all.Go(func() {
			err := run(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("ended by itself")
			}
			select {
			case s.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		})
	}
	go func() {
		all.Wait()
		close(l.done)
	}()
	s.layers = append(s.layers, l)
}

// stop ends the layers from the top down and returns when all have ended.
func (s *stack) stop() {
	for i := len(s.layers) - 1; i >= 0; i-- {
		s.layers[i].cancel()
		<-s.layers[i].done
	}
}
