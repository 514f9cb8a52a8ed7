package core

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

// maxRemote is how many ids on networks are remembered, the newest.
const maxRemote = 200_000

// remotes remembers under which ids messages that went out are known on their
// networks, so that what concerns one of them is understood. It is made from the
// status events of the log and holds their places there: nothing is written for
// it.
type remotes struct {
	seed maphash.Seed

	mu    sync.Mutex
	at    map[uint64]uint64 // hash of connector and id: sequence of the status
	order []uint64          // the hashes, oldest first, as a ring
	next  int
}

func newRemotes() *remotes {
	return &remotes{seed: maphash.MakeSeed(), at: map[uint64]uint64{}}
}

func (r *remotes) hash(connector, id string) uint64 {
	return maphash.String(r.seed, connector+"\x00"+id)
}

// add notes the ids of a status.
func (r *remotes) add(st event.Status, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range st.RemoteIDs {
		h := r.hash(st.Connector, id)
		if _, known := r.at[h]; known {
			r.at[h] = seq
			continue
		}
		if len(r.order) < maxRemote {
			r.order = append(r.order, h)
		} else {
			delete(r.at, r.order[r.next])
			r.order[r.next] = h
			r.next = (r.next + 1) % maxRemote
		}
		r.at[h] = seq
	}
}

func (r *remotes) find(connector, id string) (seq uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq, ok = r.at[r.hash(connector, id)]
	return seq, ok
}

// learnRemotes reads the status events of the last day, and then ends: those to
// come are added as they are stored.
func (h *Host) learnRemotes(ctx context.Context) error {
	err := h.bus.Scan(ctx, bus.Statuses, time.Now().Add(-24*time.Hour), func(r bus.Record) bool {
		if st, ok := r.Event.(event.Status); ok {
			h.remotes.add(st, r.Seq)
		}
		return ctx.Err() == nil
	})
	if err != nil && ctx.Err() == nil {
		h.Log.Warn("replies to what was said before the start may not be recognised", "err", err)
	}
	<-ctx.Done()
	return nil
}

// degrade tells whether a kind of message is told in words where a network does
// not know it.
func (h *Host) degrade(k event.Kind) bool {
	kinds := h.now().config.Kinds
	return map[event.Kind]bool{event.KindEdit: kinds.Edits, event.KindRedact: kinds.Deletions, event.KindReact: kinds.Reactions}[k]
}

// concerns returns the id of the Inbound that in answers, edits or concerns, ""
// if it is not known: one that came in there, or one that went out there.
func (h *Host) concerns(ctx context.Context, in event.Inbound) string {
	if in.InReplyTo == "" || in.Origin == event.BuiltinSIP {
		return ""
	}
	if id := event.InboundID(in.Origin, in.InReplyTo); h.isStored(id) {
		return id
	}
	seq, ok := h.remotes.find(in.Origin, in.InReplyTo)
	if !ok {
		return ""
	}
	rec, err := h.bus.At(ctx, bus.Statuses, seq)
	st, ok := rec.Event.(event.Status)
	if err != nil || !ok {
		return ""
	}
	return st.Inbound
}

func (h *Host) isStored(id string) bool {
	_, ok := h.bus.Stored(id)
	return ok
}

// native returns the ids by which a message is known at a target of a connector,
// in the order of its receipt, none if it is not known there.
func (h *Host) native(ctx context.Context, connector, message string, target event.Address) ([]string, error) {
	outbound := event.OutboundID(message, target, 1)
	for _, state := range []event.State{event.Delivered, event.Accepted} {
		seq, ok := h.bus.Stored(event.StatusID(outbound, state))
		if !ok || seq == 0 {
			continue
		}
		rec, err := h.bus.At(ctx, bus.Statuses, seq)
		if st, ok := rec.Event.(event.Status); ok && len(st.RemoteIDs) > 0 {
			return st.RemoteIDs, nil
		}
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			return nil, err
		}
	}
	seq, ok := h.bus.Stored(message)
	if !ok || seq == 0 {
		return nil, nil
	}
	rec, err := h.bus.At(ctx, bus.Inbounds, seq)
	if err != nil && !errors.Is(err, bus.ErrNotFound) {
		return nil, err
	}
	if in, ok := rec.Event.(event.Inbound); ok && in.Origin == connector && (in.Recipient == target || in.Sender == target) {
		return []string{in.NativeID}, nil
	}
	return nil, nil
}
