package deliver

import (
	"context"
	"sync"
	"time"
)

// runners are the goroutines of a stage. None starts after the stage began to
// stop, and Run waits for all.
type runners struct {
	mu    sync.Mutex
	ctx   context.Context // ends when the stage stops
	grace context.Context // ends a little later, for what is under way
	all   sync.WaitGroup
	done  []func()
}

func (r *runners) open(ctx context.Context, grace time.Duration) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(late, func() { t.Stop() })
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx, r.grace = ctx, late
	r.done = []func(){cancel, func() { stop() }}
}

// run starts f unless the stage has begun to stop, and tells whether it did.
// f gets a context that ends with the stage and one that ends after the grace.
func (r *runners) run(f func(ctx, grace context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil || r.ctx.Err() != nil {
		return false
	}
	ctx, grace := r.ctx, r.grace
	r.all.Go(func() { f(ctx, grace) })
	return true
}

// wait returns when no goroutine is left.
func (r *runners) wait() {
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.all.Wait()
	for _, f := range r.done {
		f()
	}
}
