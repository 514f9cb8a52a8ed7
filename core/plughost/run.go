package plughost

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
)

// Run starts the connector and keeps it running until ctx ends. Then the
// connector is asked to leave, and killed if it has not ended within the grace.
// The process is gone when Run returns. Run is called once; it returns an error
// only when the connector can't be run at all.
func (c *Connector) Run(ctx context.Context) error {
	command, err := c.config.command()
	if err != nil {
		return err
	}
	if err := client.RemoveStale(command.SocketDir, command.Name); err != nil {
		return fmt.Errorf("%s: %w", c.config.Name, err)
	}
	budget := budget{timing: c.timing}
	for first := true; ; first = false {
		if !first {
			c.again()
		}
		up, err := c.life(ctx, command)
		if ctx.Err() != nil {
			c.enter(Stopped, nil, nil)
			return nil
		}
		phase, wait := budget.next(time.Now(), up, err)
		c.log.Error("connector is down", "err", err, "phase", string(phase), "again", wait.Round(time.Millisecond))
		c.enter(phase, nil, err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// life is that of one process: it returns how long it took deliveries, and why
// it ended, when nothing is left of it.
func (c *Connector) life(ctx context.Context, command client.Command) (up time.Duration, err error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	c.enter(Starting, nil, nil)
	p, err := client.Start(ctx, command, c.log)
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	if err := c.open(ctx, p); err != nil {
		return 0, err
	}
	c.enter(Running, p, nil)
	began := time.Now()
	c.log.Info("connector is up", "pid", p.PID(), "version", p.Description().Version)
	c.readyOnce.Do(func() { close(c.ready) })
	for _, f := range c.onUp {
		f()
	}
	err = c.watch(ctx, p)
	if ctx.Err() == nil {
		return time.Since(began), err
	}
	c.enter(Stopped, nil, nil)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timing.Grace)
	defer cancel()
	if err := p.Close(grace); err != nil {
		c.log.Warn("connector did not stop in good order", "err", err)
	}
	return time.Since(began), nil
}

func (c *Connector) open(ctx context.Context, p *client.Process) error {
	ctx, cancel := context.WithTimeout(ctx, c.timing.Open)
	defer cancel()
	s := sdk.Settings{Instance: c.config.Name, JSON: c.config.Settings}
	if c.config.Places != nil {
		s.Places = c.config.Places(p.Description().Schemes)
	}
	return p.Open(ctx, s, c.backend)
}

// watch asks the process now and then whether it is there, and returns when it
// is not, or when ctx ends.
func (c *Connector) watch(ctx context.Context, p *client.Process) error {
	tick := time.NewTicker(c.timing.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.Done():
			return p.Err()
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, c.timing.PingWait)
		err := p.Ping(ask)
		cancel()
		if err != nil && ctx.Err() == nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%s: hangs: no answer for %v", c.config.Name, c.timing.PingWait)
			}
			return err
		}
	}
}

// budget decides how long to wait before the next start.
type budget struct {
	timing  Timing
	crashes []time.Time
	wait    time.Duration
}

// next notes that a process, which had taken deliveries for up, ended at now
// because of err, and returns what follows.
func (b *budget) next(now time.Time, up time.Duration, err error) (Phase, time.Duration) {
	if up > b.timing.BackoffMax {
		b.wait = 0 // that one was healthy
	}
	b.wait = min(max(2*b.wait, b.timing.BackoffMin), b.timing.BackoffMax)
	b.crashes = append(b.crashes, now)
	for now.Sub(b.crashes[0]) > b.timing.CrashSpan {
		b.crashes = b.crashes[1:]
	}
	hopeless := event.IsPermanent(err) || errors.Is(err, client.ErrChecksum)
	if hopeless || len(b.crashes) >= b.timing.Crashes {
		return Broken, jitter(b.timing.FailedWait)
	}
	return Backoff, jitter(b.wait)
}

// jitter returns d, give or take a fifth.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}
