package sdktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
)

// grace is how long a connector may take to end.
const grace = 3 * time.Second

func describes(ctx context.Context, b *bench) error {
	p, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d := p.Description()
	if d.Settings == "" {
		return errors.New("there is no settings schema; give at least one that refuses every key")
	}
	if bad := client.CheckSettings(d.Settings, b.o.Settings); len(bad) > 0 {
		return fmt.Errorf("the schema refuses the settings of this test: %v", bad)
	}
	const unknown = "no_connector_has_this_key"
	bad := client.CheckSettings(d.Settings, []byte(`{"`+unknown+`": 1}`))
	if !slices.ContainsFunc(bad, func(p client.Problem) bool { return p.Path == unknown }) {
		return errors.New(`the schema lets an unknown key pass; give "additionalProperties": false`)
	}
	return nil
}

func delivers(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d, text := b.message()
	if _, err := p.Deliver(ctx, d); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	if b.o.Network == nil {
		return nil
	}
	return b.arrived(ctx, text, 1, 1)
}

func refusesKind(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d, _ := b.message()
	d.Kind = "no-such-kind"
	if _, err := p.Deliver(ctx, d); !event.IsPermanent(err) {
		return fmt.Errorf("deliver a message of kind %q: got error %v; want one that is permanent", d.Kind, err)
	}
	return nil
}

// nasty are texts that mean something to some part of some network.
func nasty() []string {
	return []string{
		"line\r\nX-Injected: yes\r\n\r\nbody", "nul\x00byte", "<script>alert(1)</script>&amp;<@U123>", "@everyone <!channel>",
		"\u202ereversed\u202c \u2066isolated", "\u0007\u001b[31mred", "..\r\n.\r\nQUIT\r\n", "not utf-8: \xff\xfe\x80",
		strings.Repeat("e\u0301", 5000), "{{7*7}} ${env} %s %n", "",
	}
}

func survives(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	for _, text := range nasty() {
		d, _ := b.message()
		d.SenderName, d.FromName, d.Title, d.InReplyTo, d.Language = text, text, text, text, text
		d.Data = []byte(text)
		if err := settled(ctx, p, d, b.o.Target); err != nil {
			return fmt.Errorf("text %.40q: %w", text, err)
		}
	}
	for _, size := range []int{300 << 10, 2 << 20} {
		d, _ := b.message()
		d.Data = []byte(strings.Repeat("0123456 ", size/8))
		if err := settled(ctx, p, d, b.o.Target); err != nil {
			return fmt.Errorf("body of %d bytes: %w", size, err)
		}
	}
	d, _ := b.message()
	if _, err := p.Deliver(ctx, d); err != nil {
		return fmt.Errorf("a plain message after all these: %w", err)
	}
	return nil
}

// settled delivers d: it must be taken or refused for good.
func settled(ctx context.Context, p *client.Process, d event.Delivery, target event.Address) error {
	_, err := p.Deliver(ctx, d)
	if err != nil && !event.IsPermanent(err) {
		return fmt.Errorf("deliver to %s: neither taken nor refused for good: %w", target, err)
	}
	return p.Ping(ctx)
}

func crowd(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	each, ctx := errgroup.WithContext(ctx)
	each.SetLimit(32)
	if n := p.Description().Gate.Outstanding; n > 0 {
		each.SetLimit(n) // all go to one target
	}
	for range 100 {
		d, _ := b.message()
		each.Go(func() error {
			_, err := p.Deliver(ctx, d)
			if _, _, later := event.AsRetry(err); later {
				return nil // the network's pace, told as it should be
			}
			return err
		})
	}
	return each.Wait()
}

func leaves(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return p.Close(ctx)
}

// leavesBusy asks it to end while it delivers: each delivery is answered or
// breaks off.
func leavesBusy(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	if h, ok := b.o.Network.(Holder); ok {
		arrived, release := h.Hold()
		defer release()
		d, _ := b.message()
		if err := reached(ctx, arrived, start(ctx, p, d)); err != nil {
			return err
		}
	} else {
		for range 8 {
			d, _ := b.message()
			start(ctx, p, d)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return p.Close(ctx)
}

func follows(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return p.Abandon(ctx)
}

func repeats(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d, text := b.message()
	first := time.Now()
	if _, err := p.Deliver(ctx, d); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	d.Attempt = 2
	if err := b.again(ctx, p, d, first); err != nil {
		return err
	}
	return b.arrived(ctx, text, 1, b.most(p))
}

// most is how often a repeated message may arrive: twice is the window that a
// network leaves open which cannot tell and does not notice.
func (b *bench) most(p *client.Process) int {
	if b.o.Once || p.Description().Find {
		return 1
	}
	return 2
}

// again delivers d once more as the host does: it asks first whether it is
// there, if the connector can tell.
func (b *bench) again(ctx context.Context, p *client.Process, d event.Delivery, first time.Time) error {
	if p.Description().Find {
		_, found, err := p.Find(ctx, d, first)
		if err != nil {
			return fmt.Errorf("find: %w", err)
		}
		n, err := b.o.Network.Arrived(ctx, string(d.Data))
		if err != nil {
			return err
		}
		if found != (n > 0) {
			return fmt.Errorf("find says %v, but the network shows the message %d times", found, n)
		}
		if found {
			return nil
		}
	}
	if _, err := p.Deliver(ctx, d); err != nil {
		return fmt.Errorf("deliver again: %w", err)
	}
	return nil
}

func comesIn(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d := door(p)
	for _, m := range []struct {
		name string
		busy error
	}{{"plain", nil}, {"busy", sdk.ErrBusy}, {"after", nil}} {
		id, text := "in-"+b.run+"-"+m.name, "from the network, "+m.name+" "+b.run
		b.backend.SetBusy(m.busy)
		err := b.o.Network.Say(ctx, d, id, text)
		if m.busy == nil && err != nil {
			return fmt.Errorf("%s: not taken: %w", m.name, err)
		}
		if m.busy != nil && b.count(text) > 0 {
			return fmt.Errorf("%s: stored although the host refused", m.name)
		}
		b.backend.SetBusy(nil)
		if err := b.o.Network.Say(ctx, d, id, text); err != nil {
			return fmt.Errorf("%s: the repetition was not taken: %w", m.name, err)
		}
		if err := b.backend.Await(ctx, func() bool { return b.count(text) > 0 }); err != nil {
			return fmt.Errorf("%s: the host never got it: %w", m.name, err)
		}
		if n := b.count(text); n != 1 {
			return fmt.Errorf("%s: the host has it %d times", m.name, n)
		}
	}
	return nil
}

// count returns how many different messages with text came in.
func (b *bench) count(text string) int {
	n := 0
	for _, in := range b.backend.Inbounds() {
		if strings.Contains(string(in.Data), text) {
			n++
		}
	}
	return n
}
