package core

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"parley.im/bus"
	"parley.im/bus/event"
)

// An Inbound of a later version, left by a host that was replaced by an older
// one, is set aside: its sequence is noted, routing goes on, and the next start
// of a version that understands it routes it. Left unacknowledged it would hold
// back the reader's floor, and each start would route again what came after it.

// aside is the bucket of their sequences.
func (h *Host) aside(ctx context.Context) (*bus.Bucket, error) { return h.bus.Bucket(ctx, "aside") }

// setAside notes an Inbound for later.
func (h *Host) setAside(ctx context.Context, seq uint64) error {
	b, err := h.aside(ctx)
	if err != nil {
		return err
	}
	_, err = b.Set(ctx, fmt.Sprintf("inbound/%020d", seq), nil)
	return err
}

// takeUp routes what was set aside and is understood now, in the order of the
// log.
func (h *Host) takeUp(ctx context.Context) error {
	b, err := h.aside(ctx)
	if err != nil {
		return err
	}
	list, err := b.List(ctx, "inbound/", "", 0)
	if err != nil {
		return err
	}
	for _, e := range list {
		seq, err := strconv.ParseUint(e.Key[len("inbound/"):], 10, 64)
		if err != nil {
			return fmt.Errorf("set aside: %q: %w", e.Key, err)
		}
		done, err := h.routeAgain(ctx, seq)
		if err != nil {
			return err
		}
		if !done {
			h.Log.Warn("an event is still not understood; it stays in the stream", "sequence", seq)
			continue
		}
		if err := b.Delete(ctx, e.Key); err != nil {
			return err
		}
	}
	return nil
}

// routeAgain routes one Inbound of the log. It returns false if this version
// does not understand it either.
func (h *Host) routeAgain(ctx context.Context, seq uint64) (done bool, err error) {
	r, err := h.bus.At(ctx, bus.Inbounds, seq)
	switch {
	case errors.Is(err, bus.ErrNotFound): // it was erased
		return true, nil
	case errors.Is(err, event.ErrUnknown):
		return false, nil
	case err != nil:
		return false, err
	}
	in, ok := r.Event.(event.Inbound)
	if !ok {
		return false, nil
	}
	outs, err := h.assign(ctx, in)
	if err != nil {
		return false, err
	}
	h.Log.Info("routed what an earlier run had set aside", "message", in.ID, "sequence", seq)
	return h.storeAll(ctx, in.ID, outs), ctx.Err()
}
