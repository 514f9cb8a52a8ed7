package sdktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/client"
)

func inOrder(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	const count = 20
	mark := "order " + b.run
	for i := range count {
		d, _ := b.message()
		d.Data = fmt.Appendf(nil, "%s: %d of %d", mark, i, count)
		if err := patiently(ctx, p, d); err != nil {
			return fmt.Errorf("deliver: %w", err)
		}
	}
	got, err := b.o.Network.(Reader).Shown(ctx, mark)
	if err != nil {
		return fmt.Errorf("ask the network: %w", err)
	}
	if len(got) != count {
		return fmt.Errorf("the network shows %d messages, not %d: %q", len(got), count, got)
	}
	for i, text := range got {
		if want := fmt.Sprintf("%s: %d of %d", mark, i, count); !strings.Contains(text, want) {
			return fmt.Errorf("the network shows %q where %q should be", text, want)
		}
	}
	return nil
}

// pause is what a Limiter is asked to ask for.
const pause = 2 * time.Second

func pauses(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	lift := b.o.Network.(Limiter).Limit(pause)
	defer lift()
	d, text := b.message()
	_, err = p.Deliver(ctx, d)
	scope, after, later := event.AsRetry(err)
	switch {
	case !later:
		return fmt.Errorf("got error %v; want event.Retry", err)
	case scope == event.ScopeMessage:
		return errors.New("the scope is this message; other messages would not get through either: target or connector")
	case after < pause/2 || after > 3*pause:
		return fmt.Errorf("it says to wait for %v; the network said %v", after, pause)
	}
	if err := b.arrived(ctx, text, 0, 0); err != nil {
		return err
	}
	lift()
	if err := patiently(ctx, p, d); err != nil {
		return fmt.Errorf("after the pause: %w", err)
	}
	return b.arrived(ctx, text, 1, 1)
}

func waits(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	mend := b.o.Network.(Breaker).Break()
	d, text := b.message()
	err = deliverShortly(ctx, p, d)
	back := mend()
	switch scope, _, later := event.AsRetry(err); {
	case back != nil:
		return fmt.Errorf("bring the network back: %w", back)
	case err == nil:
		return errors.New("it gave a receipt for what nobody can have taken")
	case event.IsPermanent(err):
		return fmt.Errorf("it refuses for good what would work later: %w", err)
	case later && scope != event.ScopeConnector:
		return fmt.Errorf("got event.Retry of scope %s; nothing goes through this connector: %w", scope, err)
	}
	if err := p.Ping(ctx); err != nil {
		return err
	}
	if err := patiently(ctx, p, d); err != nil {
		return fmt.Errorf("when the network is back: %w", err)
	}
	return b.arrived(ctx, text, 1, b.most(p))
}

// deliverShortly does not wait for long timeouts of the network.
func deliverShortly(ctx context.Context, p *client.Process, d event.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := p.Deliver(ctx, d)
	return err
}

// patiently delivers d as the host does: it comes again after the time that
// the connector names.
func patiently(ctx context.Context, p *client.Process, d event.Delivery) error {
	for {
		_, err := p.Deliver(ctx, d)
		_, after, later := event.AsRetry(err)
		if !later {
			return err
		}
		select {
		case <-time.After(max(after, 100*time.Millisecond)):
		case <-ctx.Done():
			return err
		}
		d.Attempt++
	}
}
