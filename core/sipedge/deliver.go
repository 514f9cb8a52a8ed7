package sipedge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// Deliver sends a message to all phones of d.Target that are registered, at
// once; the first 2xx settles it. The others are given until their time-outs,
// and before that no other message goes to the same target (RFC 3428, section
// 8: one outstanding for each). A phone that does not answer is left out until
// it registers or sends something.
//
// A nil error means accepted (202) or delivered (200). Without a phone that
// could be tried the error is a Retry until woken. When ctx ends early the
// outcome is unknown. Deliver may be called from several goroutines; calls for
// one target wait for each other.
func (e *Edge) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	p, err := e.target(d)
	if err != nil {
		return event.Receipt{}, err
	}
	select {
	case p.gate <- struct{}{}:
	case <-ctx.Done():
		return event.Receipt{}, event.Retry(event.ScopeTarget, 0, fmt.Errorf("an earlier message is still under way: %w", ctx.Err()))
	}
	phones := p.reachable(time.Now())
	if len(phones) == 0 {
		<-p.gate
		return event.Receipt{}, absent()
	}
	receipt, err := settle(ctx, len(phones), e.tryAll(p, phones, d))
	if _, after, ok := event.AsRetry(err); ok && after == event.UntilWoken && len(p.reachable(time.Now())) > 0 {
		err = event.Retry(event.ScopeTarget, 0, err) // a phone came meanwhile: that wake is over
	}
	return receipt, err
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

// tryAll sends to all phones and opens the gate when the last is done. The
// channel has room for all results, so nobody needs to read it.
func (e *Edge) tryAll(p *phones, all []*binding, d event.Delivery) <-chan result {
	results := make(chan result, len(all))
	e.mu.Lock()
	life := e.life
	if life == nil || life.Err() != nil {
		e.mu.Unlock()
		<-p.gate
		for range all {
			results <- result{err: event.Retry(event.ScopeConnector, 0, errors.New("the SIP edge is not running"))}
		}
		return results
	}
	e.afloat.Add(1)
	e.mu.Unlock()
	go func() {
		defer e.afloat.Done()
		defer func() { <-p.gate }()
		done := make(chan struct{})
		for _, b := range all {
			go func() {
				defer func() { done <- struct{}{} }()
				receipt, err := e.try(life, p, b, d)
				results <- result{receipt, err}
			}()
		}
		for range all {
			<-done
		}
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
			return event.Receipt{}, fmt.Errorf("no phone has answered yet: %w", ctx.Err())
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

// try sends to one phone and waits for its final response. One that refuses
// CPIM gets the bare message at once.
func (e *Edge) try(life context.Context, p *phones, b *binding, d event.Delivery) (event.Receipt, error) {
	if d.Kind != event.KindMessage || !p.cpim(b) {
		return e.tryForm(life, p, b, d)
	}
	w, err := wrapped(d)
	if err == nil {
		if req, bad := e.compose(w, b, 0); bad != nil || fits(req, w) != nil {
			return e.tryForm(life, p, b, d) // the wrapper is not worth a message
		}
		var r event.Receipt
		if r, err = e.tryForm(life, p, b, w); !errors.Is(err, errType) {
			return r, err
		}
		p.refusesCPIM(b)
	}
	return e.tryForm(life, p, b, d)
}

// tryForm sends one form of a message.
func (e *Edge) tryForm(life context.Context, p *phones, b *binding, d event.Delivery) (event.Receipt, error) {
	if d.Kind == event.KindStatus && d.MessageID != "" {
		var err error
		if d, err = receipt(d); err != nil {
			return event.Receipt{}, event.Permanent(err)
		}
	}
	req, err := e.compose(d, b, p.turnOf(d.ID))
	if err == nil {
		err = fits(req, d)
	}
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	ctx, cancel := context.WithTimeoutCause(life, e.patience, errSilent)
	defer cancel()
	res, err := e.exchange(ctx, req, b)
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
	receipt, err := verdict(res, d)
	if err != nil {
		p.refuse(d.ID)
	}
	return receipt, err
}

var (
	errSilent = errors.New("no final response in time")
	errGone   = errors.New("its connection is gone")
	errSocket = errors.New("no UDP socket to send from") // our own trouble, not the phone's
)

// exchange sends a request on the phone's flow and returns the final response.
// It never opens a connection.
func (e *Edge) exchange(ctx context.Context, req *sip.Request, b *binding) (*sip.Response, error) {
	if !b.Path.alive() {
		return nil, errGone
	}
	if b.Path.Network == "udp" && req.Laddr.IP == nil {
		return nil, errSocket
	}
	tx, err := e.ua.TransactionLayer().NewClientTransaction(ctx, req)
	switch {
	case err != nil && b.Path.Network == "udp":
		return nil, fmt.Errorf("%w: %w", errSocket, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	defer tx.Terminate()
	if b.Path.flow != nil && flowOf(tx.Connection()) != b.Path.flow {
		return nil, errGone
	}
	if err := tx.Init(); err != nil {
		return nil, err
	}
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, nil
			}
		case <-tx.Done():
			return nil, tx.Err()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
