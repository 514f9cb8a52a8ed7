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

const (
	// maxRemote is how many ids on networks are remembered, the newest.
	maxRemote = 200_000
	// remoteWait is how long after the start messages that concern others wait
	// for the log to be read.
	remoteWait = 10 * time.Second
	// maxGenerations is how many replays of a dead letter are looked at.
	maxGenerations = 16
)

// remotes remembers under which ids messages that went out are known on their
// networks, so that what concerns one of them is understood. It is made from the
// status events of the log and holds their places there: nothing is written for
// it.
type remotes struct {
	seed  maphash.Seed
	ready chan struct{} // closed by begin: what the log says is known, or is waited for no more
	begin func()

	mu    sync.Mutex
	at    map[uint64]uint64 // hash of connector and id: sequence of the status
	order []uint64          // the hashes, oldest first, as a ring
	next  int
}

func newRemotes() *remotes {
	ready := make(chan struct{})
	return &remotes{seed: maphash.MakeSeed(), ready: ready, begin: sync.OnceFunc(func() { close(ready) }), at: map[uint64]uint64{}}
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
	late := time.AfterFunc(remoteWait, func() {
		h.Log.Warn("the log is still being read: answers to what was said before the start may not be recognised")
		h.remotes.begin()
	})
	for {
		err := h.readRemotes(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		h.Log.Warn("what went out before the start is not read yet", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	late.Stop()
	h.remotes.begin()
	<-ctx.Done()
	return nil
}

func (h *Host) readRemotes(ctx context.Context) error {
	return h.bus.Scan(ctx, bus.Statuses, time.Now().Add(-24*time.Hour), func(r bus.Record) bool {
		if st, ok := r.Event.(event.Status); ok {
			h.remotes.add(st, r.Seq)
		}
		return ctx.Err() == nil
	})
}

// degrade tells whether a kind of message is told in words where a network does
// not know it.
func (h *Host) degrade(k event.Kind) bool {
	kinds := h.now().config.Kinds
	return map[event.Kind]bool{event.KindEdit: kinds.Edits, event.KindRedact: kinds.Deletions, event.KindReact: kinds.Reactions}[k]
}

// A concern is the message that another one answers, edits or concerns. The
// zero value is one that is not known.
type concern struct {
	inbound string        // its id
	seq     uint64        // where it stands in the log, if it came in by the same connector
	went    *event.Status // what became of it there, if it went out by that
}

// concerns returns the message that in answers, edits or concerns.
func (h *Host) concerns(ctx context.Context, in event.Inbound) (c concern, err error) {
	if in.InReplyTo == "" || in.Origin == event.BuiltinSIP {
		return c, nil
	}
	id := event.InboundID(in.Origin, in.InReplyTo)
	if seq, ok := h.bus.Stored(id); ok {
		return concern{inbound: id, seq: seq}, nil
	}
	select {
	case <-h.remotes.ready:
	case <-ctx.Done():
		return c, ctx.Err()
	}
	seq, ok := h.remotes.find(in.Origin, in.InReplyTo)
	if !ok {
		return c, nil
	}
	st, ok, err := at[event.Status](ctx, h.bus, bus.Statuses, seq)
	if err != nil || !ok {
		return c, err
	}
	return concern{inbound: st.Inbound, went: &st}, nil
}

// at reads an event from the log. It is not there when it is not kept any more.
func at[E event.Event](ctx context.Context, b *bus.Bus, s bus.Stream, seq uint64) (e E, ok bool, err error) {
	if seq == 0 {
		return e, false, nil
	}
	rec, err := b.At(ctx, s, seq)
	if errors.Is(err, bus.ErrNotFound) || errors.Is(err, event.ErrUnknown) {
		return e, false, nil
	}
	e, ok = rec.Event.(E)
	return e, ok, err
}

var errNotAuthor = event.Refused(errors.New("only who said a message may change it"))

// authorship returns what an edit concerns when it is by who said that,
// errNotAuthor when it is not: a homeserver takes edits of a message by anybody
// and leaves it to people's programs to show them or not. Of what is not kept
// any more nobody can tell: then the edit concerns nothing, and is the word of
// who made it. What went out from here, nobody there has said.
func (h *Host) authorship(ctx context.Context, in event.Inbound, c concern) (concern, error) {
	if c.inbound == "" {
		return c, nil
	}
	if c.went != nil {
		return c, errNotAuthor
	}
	first, ok, err := at[event.Inbound](ctx, h.bus, bus.Inbounds, c.seq)
	if err != nil || !ok {
		return concern{}, err
	}
	said := first.Kind == event.KindMessage || first.Kind == event.KindEdit
	if !said || first.Sender != in.Sender || first.Sender == event.Anonymous {
		return c, errNotAuthor
	}
	return c, nil
}

// isChange tells of what is about an earlier message and says nothing itself.
func isChange(k event.Kind) bool {
	return k == event.KindEdit || k == event.KindRedact || k == event.KindReact
}

// follow puts a change or a reaction that no route takes as it is into the
// conversation of the message that it concerns, as networks don't always tell
// its thread. It returns false when that leads nowhere else.
func (h *Host) follow(ctx context.Context, in *event.Inbound) (bool, error) {
	if !isChange(in.Kind) {
		return false, nil
	}
	c, err := h.concerns(ctx, *in)
	if err != nil || c.inbound == "" {
		return false, err
	}
	thread, recipient, err := h.whereabouts(ctx, c)
	if err != nil {
		return false, err
	}
	_, known, err := h.talks.ByThread(ctx, in.Origin, thread)
	if err != nil || !known && (in.Recipient != "" || recipient == "") {
		return false, err
	}
	in.Thread = thread
	if !known {
		in.Recipient = recipient
	}
	return true, nil
}

// whereabouts returns the thread that a message stands in on the network that
// knows it, and whom one writes to there.
func (h *Host) whereabouts(ctx context.Context, c concern) (thread string, recipient event.Address, err error) {
	st := c.went
	if st == nil {
		in, _, err := at[event.Inbound](ctx, h.bus, bus.Inbounds, c.seq)
		return in.Thread, in.Recipient, err
	}
	if recipient = st.Target; st.Mode == event.ModeDirect {
		recipient = st.From
	}
	if st.Anchor != "" {
		return st.Anchor, recipient, nil
	}
	thread, err = h.talks.Anchor(ctx, st.Connector, st.Conversation, st.Target)
	return thread, recipient, err
}

// native returns the ids by which a message is known at a target of a connector,
// in the order of its receipt, none if it is not known there. Of a message that
// an operator sent anew these are the latest.
func (h *Host) native(ctx context.Context, connector, message string, target event.Address) (ids []string, err error) {
	for n := 1; n <= maxGenerations; n++ {
		outbound := event.OutboundID(message, target, n)
		if _, assigned := h.bus.Stored(outbound); !assigned && n > 2 { // one that was first routed anew begins with the second
			break
		}
		got, err := h.receipt(ctx, outbound)
		if err != nil {
			return nil, err
		}
		if len(got) > 0 {
			ids = got
		}
	}
	if len(ids) > 0 {
		return ids, nil
	}
	seq, _ := h.bus.Stored(message)
	in, ok, err := at[event.Inbound](ctx, h.bus, bus.Inbounds, seq)
	if ok && in.Origin == connector && (in.Recipient == target || in.Sender == target) {
		return []string{in.NativeID}, nil
	}
	return nil, err
}

// receipt returns the ids that a network gave an Outbound.
func (h *Host) receipt(ctx context.Context, outbound string) ([]string, error) {
	for _, state := range []event.State{event.Delivered, event.Accepted} {
		seq, _ := h.bus.Stored(event.StatusID(outbound, state))
		if st, ok, err := at[event.Status](ctx, h.bus, bus.Statuses, seq); err != nil || ok && len(st.RemoteIDs) > 0 {
			return st.RemoteIDs, err
		}
	}
	return nil, nil
}
