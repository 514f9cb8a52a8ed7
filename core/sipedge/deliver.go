package sipedge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"parley.im/bus/event"
)

// Deliver sends a message to d.Target.
//
// If that is an account, the message goes to all its phones that are
// registered, at once; the first 2xx settles it. The others are given until their time-outs,
// and before that no other message goes to the same target (RFC 3428, section
// 8: one outstanding for each). A phone that does not answer is left out until
// it registers or sends something.
//
// If it is in the domain of a trunk, the message goes to the trunk's servers,
// one after the other, until one gives an answer that is not about itself.
//
// A nil error means accepted (202) or delivered (200). Without a phone that
// could be tried the error is a Retry until woken. When ctx ends early the
// outcome is unknown. Deliver may be called from several goroutines; calls for
// one target wait for each other.
func (e *Edge) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	if t := e.trunkTo(d.Target); t != nil {
		return e.toTrunk(ctx, t, d)
	}
	p, err := e.target(d)
	if err != nil {
		return event.Receipt{}, err
	}
	return e.toPhones(ctx, p, d)
}

func (e *Edge) toTrunk(ctx context.Context, t *trunk, d event.Delivery) (event.Receipt, error) {
	end, err := e.turns.take(ctx, d.Target)
	if err != nil {
		return event.Receipt{}, err
	}
	leave, err := t.enter(ctx)
	if err != nil {
		end()
		return event.Receipt{}, event.Retry(event.ScopeTarget, 0, fmt.Errorf("the pace of the trunk %s: %w", t.Name, err))
	}
	over := func() bool { return e.late(ctx) }
	one := func(life context.Context) (event.Receipt, error) { return e.byTrunk(life, t, d, over) }
	return settle(ctx, 1, e.tryAll([]try{one}, func() { leave(); end() }))
}

func (e *Edge) toPhones(ctx context.Context, p *phones, d event.Delivery) (event.Receipt, error) {
	end, err := e.turns.take(ctx, p.aor)
	if err != nil {
		return event.Receipt{}, err
	}
	some := p.reachable(time.Now())
	if len(some) == 0 {
		end()
		return event.Receipt{}, absent()
	}
	var taken atomic.Bool // there won't be another attempt: the other phones get all of it in this one
	over := func() bool { return !taken.Load() && e.late(ctx) }
	tries := make([]try, len(some))
	for i, b := range some {
		tries[i] = func(life context.Context) (event.Receipt, error) {
			receipt, err := e.try(life, p, b, d, over)
			if err == nil {
				taken.Store(true)
			}
			return receipt, err
		}
	}
	receipt, err := settle(ctx, len(some), e.tryAll(tries, end))
	if _, after, ok := event.AsRetry(err); ok && after == event.UntilWoken && len(p.reachable(time.Now())) > 0 {
		err = event.Retry(event.ScopeTarget, 0, err) // a phone came meanwhile: that wake is over
	}
	return receipt, err
}

// late tells whether an attempt has ended, or will before a request that is
// sent now must have been answered.
func (e *Edge) late(ctx context.Context) bool {
	end, ends := ctx.Deadline()
	return ctx.Err() != nil || ends && time.Until(end) < e.patience
}

func absent() error { return event.Retry(event.ScopeTarget, event.UntilWoken, ErrNotRegistered) }

// target returns the phones of the account that a delivery is for.
func (e *Edge) target(d event.Delivery) (*phones, error) {
	aor, err := e.AOR(string(d.Target))
	if err != nil {
		return nil, event.Permanent(err)
	}
	p := e.phones.of(aor)
	if p == nil {
		return nil, event.Permanent(fmt.Errorf("%s is no account here", aor))
	}
	return p, nil
}

// result is what became of the try at one phone.
type result struct {
	receipt event.Receipt
	err     error
}

// try is one way to bring a message to its target. It goes on when Deliver has
// returned, until life ends.
type try func(life context.Context) (event.Receipt, error)

// tryAll tries all ways at once and calls end when the last is done. The
// channel has room for all results, so nobody needs to read it.
func (e *Edge) tryAll(all []try, end func()) <-chan result {
	results := make(chan result, len(all))
	e.mu.Lock()
	life := e.life
	if life == nil || life.Err() != nil {
		e.mu.Unlock()
		end()
		for range all {
			results <- result{err: event.Retry(event.ScopeConnector, 0, errors.New("the SIP edge is not running"))}
		}
		return results
	}
	e.afloat.Add(1)
	e.mu.Unlock()
	go func() {
		defer e.afloat.Done()
		defer end()
		var trying sync.WaitGroup
		for _, t := range all {
			trying.Go(func() {
				receipt, err := t(life)
				results <- result{receipt, err}
			})
		}
		trying.Wait()
	}()
	return results
}

// settle returns the first success, or when all have failed the failure that
// says most about the message.
func settle(ctx context.Context, n int, results <-chan result) (event.Receipt, error) {
	var worst error
	for range n {
		select {
		case r := <-results:
			if r.err == nil {
				return r.receipt, nil
			}
			if worst == nil || rank(r.err) < rank(worst) {
				worst = r.err
			}
		case <-ctx.Done():
			return event.Receipt{}, fmt.Errorf("nobody has answered yet: %w", ctx.Err())
		}
	}
	return event.Receipt{}, worst
}

// rank orders failures: a refusal by a person counts for all their phones; as
// long as one phone may still take the message it is not given up.
func rank(err error) int {
	_, after, again := event.AsRetry(err)
	switch {
	case event.IsPermanent(err) && event.ReasonOf(err) == event.ReasonRefused:
		return 0
	case again && after != event.UntilWoken:
		return 1
	case again:
		return 3
	case !event.IsPermanent(err):
		return 2 // nobody knows
	}
	return 4
}

// try sends to one phone and waits for its final response.
func (e *Edge) try(life context.Context, p *phones, b *binding, d event.Delivery, over func() bool) (event.Receipt, error) {
	one := func(d event.Delivery, part string) (event.Receipt, error) { return e.tryPart(life, p, b, d, part) }
	most := int64(maxCarried)
	if b.Path.Network == "udp" || !e.direct(b) {
		most = maxRequest
	}
	return e.inForms(life, d, way{
		taste: b.taste, wraps: true, most: most,
		learn: func() { e.learn(life, b) },
		keep:  func() { e.keepTastes(life, p.aor) },
		send: func(d event.Delivery) (event.Receipt, error) {
			return e.inParts(text{d, cmp.Or(b.phone(), b.Contact), over, one})
		},
	})
}

// direct tells whether all of the way to a phone is known to take large
// requests: there is nothing between, or what is between is known.
func (e *Edge) direct(b *binding) bool { return len(b.Routes) == 0 || e.large(hostOf(b.Path)) }

// tryPart sends one request to a phone.
func (e *Edge) tryPart(life context.Context, p *phones, b *binding, d event.Delivery, part string) (event.Receipt, error) {
	at := b.hop
	at.part, at.turn = part, p.turnOf(d.ID+part)
	req, err := e.compose(d, at)
	if err == nil {
		err = fits(req, d, e.direct(b))
	}
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	ctx, cancel := context.WithTimeoutCause(life, e.patience, errSilent)
	defer cancel()
	res, err := e.exchange(ctx, req, b.Path)
	if life.Err() != nil && err != nil {
		return event.Receipt{}, fmt.Errorf("stopped while waiting for the phone: %w", err)
	}
	if errors.Is(err, errSocket) {
		return event.Receipt{}, event.Retry(event.ScopeTarget, 0, err)
	}
	if err != nil {
		p.suspend(b)
		e.log.Info("phone does not answer", "message", d.ID, "aor", p.aor, "error", err)
		return event.Receipt{}, event.Retry(event.ScopeTarget, event.UntilWoken, fmt.Errorf("the phone does not answer: %w", err))
	}
	if res.StatusCode == 408 || res.StatusCode == 430 {
		p.suspend(b)
	}
	receipt, err := verdict(res, d, d.Attempt > 1)
	if err != nil {
		p.refuse(d.ID + part)
	}
	return receipt, err
}
