package sdktest

import (
	"context"
	"fmt"
	"slices"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

func knowsKinds(ctx context.Context, b *bench) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	d, _ := b.message()
	receipt, err := p.Deliver(ctx, d)
	if err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	for _, d := range b.kinds(p.Description(), receipt) {
		_, err := p.Deliver(ctx, d)
		known := slices.Contains(p.Description().Kinds, d.Kind)
		switch {
		case !known && !event.IsPermanent(err):
			return fmt.Errorf("kind %s, which it does not declare: got error %v; want one that is permanent", d.Kind, err)
		case err != nil && !event.IsPermanent(err):
			return fmt.Errorf("kind %s %s: neither taken nor refused for good: %w", d.Kind, d.State, err)
		}
		if err := p.Ping(ctx); err != nil {
			return fmt.Errorf("after kind %s %s: %w", d.Kind, d.State, err)
		}
	}
	return b.quiet()
}

// kinds returns a delivery of every kind but message, about one that has gone
// before.
func (b *bench) kinds(about sdk.Description, before event.Receipt) (list []event.Delivery) {
	next := func(k event.Kind) *event.Delivery {
		d, _ := b.message()
		d.Kind, d.Anchor = k, before.Anchor
		if len(before.RemoteIDs) > 0 {
			d.InReplyTo = before.RemoteIDs[0]
		}
		list = append(list, d)
		return &list[len(list)-1]
	}
	next(event.KindEdit)
	next(event.KindReact).Data = []byte("👍")
	redact := next(event.KindRedact)
	redact.Data, redact.RemoteIDs = nil, before.RemoteIDs
	for _, active := range []bool{true, false} {
		d := next(event.KindTyping)
		d.Active, d.Content = active, event.Content{}
	}
	states := about.States
	if len(states) == 0 {
		states = []event.State{event.Accepted, event.Delivered, event.Displayed, event.Failed}
	}
	for _, s := range states {
		d := next(event.KindStatus)
		d.State, d.Automatic, d.From, d.Sender = s, true, "sip:room@example.com", "sip:room@example.com"
	}
	return list
}

// quiet checks that nothing came in: a connector answers no delivery by
// itself, and a status least of all.
func (b *bench) quiet() error {
	if in := b.backend.Inbounds(); len(in) > 0 {
		return fmt.Errorf("it answered deliveries with %d messages of its own", len(in))
	}
	return nil
}
