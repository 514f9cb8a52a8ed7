package sipedge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/composing"
)

// typingPatience is how long a sign of typing may hold the turn of a phone.
const typingPatience = 2 * time.Second

// Typing tells the phones of d.Target that somebody is composing (RFC 3994):
// those that are known to, for others show such documents as text. It
// waits for nothing: while a message is on its way to the target, or when the
// phone does not answer soon, the sign is lost, as such signs may be.
func (e *Edge) Typing(ctx context.Context, d event.Delivery) error {
	if e.trunkTo(d.Target) != nil {
		return nil
	}
	p, err := e.target(d)
	if err != nil {
		return err
	}
	var some []*binding
	for _, b := range p.reachable(time.Now()) {
		if b.taste.talks() {
			some = append(some, b)
		}
	}
	if len(some) == 0 {
		return nil
	}
	end, ok := e.turns.tryTake(p.aor)
	if !ok {
		return nil
	}
	d.MediaType, d.Data = composing.MediaType, composing.State{Active: d.Active}.XML("text/plain")
	tries := make([]try, len(some))
	for i, b := range some {
		tries[i] = func(life context.Context) (event.Receipt, error) { return e.sign(life, p, b, d) }
	}
	_, err = settle(ctx, len(some), e.tryAll(tries, end))
	return err
}

// sign sends a sign of typing to one phone. One that refuses it is not sent any
// more.
func (e *Edge) sign(life context.Context, p *phones, b *binding, d event.Delivery) (event.Receipt, error) {
	ctx, cancel := context.WithTimeoutCause(life, typingPatience, errSilent)
	defer cancel()
	at := b.hop
	at.turn = p.turnOf(d.ID)
	req, err := e.compose(d, at)
	if err == nil {
		err = fits(req, d, e.direct(b))
	}
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	res, err := e.exchange(ctx, req, b.Path)
	if err != nil {
		return event.Receipt{}, fmt.Errorf("sign of typing: %w", err)
	}
	r, err := verdict(res, d, false)
	var refused *typeRefused
	if errors.As(err, &refused) && b.taste.refuses(composing.MediaType, refused.accept) {
		e.keepTastes(life, p.aor)
	}
	return r, err
}

// composes passes on that the holder of a phone is composing, or has stopped.
func (e *Edge) composes(ctx context.Context, _ sender, in event.Inbound) error {
	s, err := composing.Parse(in.Data)
	if err != nil {
		return err
	}
	return e.host.Composing(ctx, event.Typing{
		Connector: event.BuiltinSIP, Time: in.Time, Sender: in.Sender, Recipient: in.Recipient, Active: s.Active, Refresh: s.Refresh,
	})
}
