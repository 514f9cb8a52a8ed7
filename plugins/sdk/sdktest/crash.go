package sdktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/client"
)

func recovers(ctx context.Context, b *bench) error {
	for round := range 6 {
		after := time.After(time.Duration(round) * 300 * time.Microsecond)
		if err := b.killed(ctx, func(context.Context, <-chan error) error { <-after; return nil }, func() {}); err != nil {
			return fmt.Errorf("killed after %d·300 µs: %w", round, err)
		}
	}
	return nil
}

func recoversSent(ctx context.Context, b *bench) error {
	arrived, release := b.o.Network.(Holder).Hold()
	defer release()
	return b.killed(ctx, func(ctx context.Context, done <-chan error) error { return reached(ctx, arrived, done) }, release)
}

// reached waits until the network has a message whose answer it keeps.
func reached(ctx context.Context, arrived <-chan struct{}, done <-chan error) error {
	select {
	case <-arrived:
		return nil
	case err := <-done:
		return fmt.Errorf("the delivery ended before the network answered: %w", orNil(err))
	case <-ctx.Done():
		return fmt.Errorf("the message never reached the network: %w", ctx.Err())
	}
}

func orNil(err error) error {
	if err == nil {
		return errors.New("with a receipt")
	}
	return err
}

// killed kills the connector when moment returns, in the middle of a delivery,
// and repeats it with another process, after release.
func (b *bench) killed(ctx context.Context, moment func(context.Context, <-chan error) error, release func()) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d, text := b.message()
	first := time.Now()
	done := start(ctx, p, d)
	if err := moment(ctx, done); err != nil {
		return err
	}
	victim, err := os.FindProcess(p.PID())
	if err != nil {
		return err
	}
	_ = victim.Kill()
	err = <-done
	if _, _, later := event.AsRetry(err); later || event.IsPermanent(err) {
		return fmt.Errorf("a delivery that broke off: got %v; its outcome is unknown", err)
	}
	p.Kill()
	release()
	second, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer second.Kill()
	d.Attempt = 2
	if err := b.again(ctx, second, d, first); err != nil {
		return err
	}
	return b.arrived(ctx, text, 1, b.most(second))
}

// start begins a delivery.
func start(ctx context.Context, p *client.Process, d event.Delivery) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.Deliver(ctx, d)
		done <- err
	}()
	return done
}
