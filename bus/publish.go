package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"parley.im/bus/event"
)

// MaxInline is the largest body in bytes that an event carries itself; larger
// ones are kept in Media.
const MaxInline = 256 << 10

// publishLimit bounds a Publish.
const publishLimit = 10 * time.Second

// Publish stores e and returns its sequence in its stream once it is stored at
// the configured durability. Publishing an id again is a success with the
// first sequence; a second caller with an id that is on its way waits for the
// first one's result. A body above MaxInline is kept in Media first.
//
// An outcome that is unknown is repeated with the same id while ctx allows, for
// 10 seconds at most. The errors are ErrFull, ErrUnavailable
// (not stored, or unknown: the caller repeats with the same id) and ErrInvalid
// (repeating cannot help).
func (b *Bus) Publish(ctx context.Context, e event.Event) (seq uint64, err error) {
	if err := b.enter(); err != nil {
		return 0, fmt.Errorf("publish: %w", err)
	}
	defer b.leave()
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	s, ok := streamOf(e)
	if !ok {
		return 0, fmt.Errorf("publish %T: %w: it is a signal", e, ErrInvalid)
	}
	seq, err = b.publish(ctx, s, e)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", e.EventID(), unavailable(err))
	}
	return seq, nil
}

func (b *Bus) publish(ctx context.Context, s Stream, e event.Event) (uint64, error) {
	if err := checkID(e.EventID()); err != nil {
		return 0, err
	}
	if err := b.resolve(ctx); err != nil {
		return 0, err
	}
	for {
		seq, f, first := b.ids.claim(e.EventID())
		if f == nil {
			return seq, nil
		}
		if first {
			b.launch(ctx, s, e)
			return f.wait(ctx)
		}
		seq, err := f.wait(ctx)
		if err == nil || ctx.Err() != nil || !isContext(err) {
			return seq, err
		}
		// The first caller lost patience; this one has some left.
	}
}

// launch sends e on its way; the flight of its id ends with the outcome.
func (b *Bus) launch(ctx context.Context, s Stream, e event.Event) {
	m, err := b.prepare(ctx, s, e)
	if err == nil {
		err = b.writers[s].add(ctx, &write{ctx: ctx, id: e.EventID(), msg: m})
	}
	if err != nil {
		b.ids.settle(s, e.EventID(), 0, err)
	}
}

// prepare checks e and gives it its form on the wire.
func (b *Bus) prepare(ctx context.Context, s Stream, e event.Event) (*nats.Msg, error) {
	if err := checkSubject(e); err != nil {
		return nil, err
	}
	if err := b.health.wait(ctx); err != nil {
		return nil, err
	}
	if s == Inbounds {
		if err := b.room(); err != nil {
			return nil, err
		}
	}
	e, err := b.offload(ctx, e)
	if err != nil {
		return nil, err
	}
	w, err := event.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	m := message(event.StoredPrefix+e.Subject(), w)
	m.Header.Set(nats.MsgIdHdr, e.EventID())
	return m, nil
}

// offload keeps a large body in Media, and returns e with the reference.
func (b *Bus) offload(ctx context.Context, e event.Event) (event.Event, error) {
	c := contentOf(e)
	if c == nil || len(c.Data) <= MaxInline {
		return e, nil
	}
	kept, err := b.media.keep(ctx, "body."+e.EventID(), *c)
	if err != nil {
		return nil, err
	}
	switch e := e.(type) {
	case event.Inbound:
		e.Content = kept
		return e, nil
	case event.Outbound:
		e.Content = kept
		return e, nil
	case event.Dead:
		e.Content = kept
		return e, nil
	}
	return e, nil
}

func contentOf(e event.Event) *event.Content {
	switch e := e.(type) {
	case event.Inbound:
		return &e.Content
	case event.Outbound:
		return &e.Content
	case event.Dead:
		return &e.Content
	}
	return nil
}

func message(subject string, w event.Wire) *nats.Msg {
	m := nats.NewMsg(subject)
	for k, v := range w.Header {
		m.Header[k] = []string{v}
	}
	m.Data = w.Data
	return m
}

// checkID refuses ids that could not stand in a header.
func checkID(id string) error {
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if id == "" || len(id) > 256 || strings.ContainsFunc(id, bad) {
		return fmt.Errorf("%w: id %q", ErrInvalid, id)
	}
	return nil
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Signal tells subscribers that somebody is composing. It is not stored, and
// returns as soon as it is on its way.
func (b *Bus) Signal(ctx context.Context, e event.Typing) error {
	if err := b.enter(); err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	defer b.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkSubject(e); err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	w, err := event.Encode(e)
	if err != nil {
		return fmt.Errorf("signal: %w: %w", ErrInvalid, err)
	}
	return unavailable(b.nc.PublishMsg(message(e.Subject(), w)))
}
