package core

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/conversation"
	"parley.im/core/route"
	"parley.im/core/tracing"
	"parley.im/plugins/sdk"
)

// maxHops is how many bridges a message may cross when it does not say.
const maxHops = 16

// maxRouting is how many messages are routed and not yet stored for all their
// targets.
const maxRouting = 256

// put checks and stores a message that came in by a connector, and returns its
// id once it is stored.
func (h *Host) put(ctx context.Context, c *connector, in event.Inbound) (string, error) {
	if h.draining.Load() {
		return "", fmt.Errorf("%w: the bridge is stopping", sdk.ErrBusy)
	}
	if in.NativeID == "" {
		return "", fmt.Errorf("%w: a message without a native id could not be told from its repetition", sdk.ErrRefused)
	}
	in.Origin = c.name
	in.ID = event.InboundID(c.name, in.NativeID)
	in.Time = time.Now()
	if in.Kind == "" {
		in.Kind = event.KindMessage
	}
	in.Hops = maxHops
	if h.recognise(&in) {
		h.returned.Add(1)
		h.Log.Info("passed over a message that went out from here", "origin", c.name, "native", in.NativeID)
		return in.ID, nil
	}
	if err := in.Sender.Check(); err != nil {
		return "", fmt.Errorf("%w: %w", sdk.ErrRefused, err)
	}
	d, err := h.find(ctx, &in)
	if err != nil {
		return "", refusal(err)
	}
	return in.ID, stateError(h.store(ctx, in, d))
}

// refusal tells a connector why find failed: for good, or for now.
func refusal(err error) error {
	if errors.Is(err, route.ErrNoRoute) || errors.Is(err, route.ErrForbidden) {
		return fmt.Errorf("%w: %w", sdk.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", sdk.ErrBusy, err)
}

// store stores an Inbound that a route takes.
func (h *Host) store(ctx context.Context, in event.Inbound, d route.Decision) error {
	in.Lane = h.tokens.Inbound(in.Sender, in.Recipient, in.Thread)
	in.Conversation = h.tokens.Conversation(d.Route, d.Participants)
	span, next := h.tracer.Start(in.Traceparent, tracing.Receive, in.Origin, "messaging.message.id", in.ID, "parley.route", d.Route)
	in.Traceparent = next
	_, err := h.bus.Publish(ctx, in)
	span.End(err)
	if err != nil {
		h.Log.Error("message refused: it could not be stored", "message", in.ID, "origin", in.Origin, "err", err)
		return err
	}
	h.Log.Info("stored", "message", in.ID, "origin", in.Origin, "native", in.NativeID, "route", d.Route)
	return nil
}

// find asks the table where in goes. It looks up the conversation of a thread
// first, which may tell the recipient, and canonicalises a SIP recipient. What
// concerns an earlier message goes where that went, if it says nothing else.
func (h *Host) find(ctx context.Context, in *event.Inbound) (route.Decision, error) {
	select {
	case <-h.wired:
	case <-ctx.Done():
		return route.Decision{}, ctx.Err()
	}
	d, err := h.look(ctx, in)
	if errors.Is(err, route.ErrNoRoute) {
		if again, failed := h.follow(ctx, in); again || failed != nil {
			if failed != nil {
				return d, fmt.Errorf("look up what it concerns: %w", failed)
			}
			return h.look(ctx, in)
		}
	}
	return d, err
}

func (h *Host) look(ctx context.Context, in *event.Inbound) (route.Decision, error) {
	known, err := h.recallThread(ctx, in)
	if err != nil {
		return route.Decision{}, err
	}
	if err := in.Recipient.Check(); err != nil {
		return route.Decision{}, fmt.Errorf("%w: recipient: %w", route.ErrNoRoute, err)
	}
	if s := in.Recipient.Scheme(); s == "sip" || s == "sips" {
		aor, err := h.edge.AOR(string(in.Recipient))
		if err != nil {
			return route.Decision{}, fmt.Errorf("%w: %w", route.ErrNoRoute, err)
		}
		in.Recipient = aor
	}
	return h.now().table.Find(route.Message{
		Connector: in.Origin, Sender: in.Sender, SenderName: in.SenderName, Recipient: in.Recipient, Known: known,
	})
}

// recallThread returns the conversation that in's thread belongs to, nil if it
// is none of ours, and fills in the recipient where the thread alone tells it.
func (h *Host) recallThread(ctx context.Context, in *event.Inbound) (*route.Known, error) {
	if in.Thread == "" || in.Origin == event.BuiltinSIP {
		return nil, nil
	}
	t, found, err := h.talks.ByThread(ctx, in.Origin, in.Thread)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up the thread: %w", err)
	case !found && in.Recipient == "":
		return nil, fmt.Errorf("%w: nobody here has begun this thread", route.ErrNoRoute)
	case !found:
		return nil, nil
	case in.Recipient != "":
	case t.Mode != event.ModeDirect:
		in.Recipient = t.Place
	case in.Sender != "" && in.Sender != t.Place:
		return nil, fmt.Errorf("%w: this conversation is with %s; %s can't speak in it", route.ErrForbidden, t.Place, in.Sender)
	default:
		in.Recipient = t.Correspondent
	}
	if in.Recipient != t.Place {
		return nil, nil // the address says more than the thread
	}
	return &route.Known{Route: t.Route, Correspondent: t.Correspondent}, nil
}

// route reads INBOUND in stream order and stores an Outbound for each target.
// Those of one lane are stored in that order, those of different lanes at the
// same time.
func (h *Host) route(ctx context.Context) error {
	c, err := h.bus.Consume(ctx, bus.ConsumeConfig{
		Name: "route", Stream: bus.Inbounds, MaxPending: maxRouting, AckWait: time.Minute,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	q := newQueues(maxRouting)
	defer q.wait()
	if !h.insist(ctx, "set aside", func() error { return h.takeUp(ctx) }) {
		return nil
	}
	var last uint64 // sequence: what comes again is in the books already
	for {
		m, err := c.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		fresh := m.Seq > last
		last = max(last, m.Seq)
		in, ok := m.Event.(event.Inbound)
		if !ok {
			h.Log.Error("set aside an event that this version does not understand; a newer one routes it at its start", "sequence", m.Seq, "err", m.Err)
			if !h.insist(ctx, strconv.FormatUint(m.Seq, 10), func() error { return h.setAside(ctx, m.Seq) }) {
				return nil
			}
			_ = m.Ack()
			if fresh {
				h.books.enter("", func(a *account) { a.taken++; a.kept++ })
			}
			continue
		}
		if fresh {
			h.books.enter(in.Origin, func(a *account) { a.taken++; a.underWay++ })
		}
		var r routed
		if !h.insist(ctx, in.ID, func() (err error) { r, err = h.resolve(ctx, in); return err }) {
			return nil
		}
		q.add(r.lanes(), func() {
			related := h.insist(ctx, in.ID, func() (err error) { r, err = h.related(ctx, in, r); return err })
			if related && h.insist(ctx, in.ID, func() error { return h.remember(ctx, in, r) }) && h.storeAll(ctx, in.ID, r.outs) {
				_ = m.Ack()
				if fresh {
					h.books.enter(in.Origin, func(a *account) { a.leave(r.outs) })
				}
			}
		})
	}
}

// routed is what is to be stored for one message: what its conversation is,
// and then an Outbound for each target.
type routed struct {
	decision     route.Decision
	conversation string
	outs         []event.Outbound
}

// lanes are those in which messages wait for each other until they are stored:
// the lanes of the targets, and the conversation, which is remembered first.
func (r routed) lanes() []string {
	lanes := make([]string, 0, len(r.outs)+1)
	if r.conversation != "" {
		lanes = append(lanes, "conversation/"+r.conversation)
	}
	for _, o := range r.outs {
		lanes = append(lanes, o.Lane)
	}
	return lanes
}

// storeAll stores the Outbounds of one message. It returns false when ctx
// ended before.
func (h *Host) storeAll(ctx context.Context, message string, outs []event.Outbound) bool {
	for _, o := range outs {
		if ctx.Err() != nil {
			return false
		}
		if !h.insist(ctx, message, func() error { _, err := h.bus.Publish(ctx, o); return err }) {
			return false
		}
	}
	return true
}

// insist repeats f until it succeeds or ctx ends.
func (h *Host) insist(ctx context.Context, message string, f func() error) bool {
	for {
		err := f()
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			h.Log.Warn("message not routed yet", "message", message, "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// leave enters what became of a message: nil are the targets of one that goes
// nowhere.
func (a *account) leave(outs []event.Outbound) {
	a.underWay--
	if outs == nil {
		a.refused++
	} else {
		a.routed++
	}
}

// assign returns one Outbound for each target of in, whose conversation is
// remembered.
func (h *Host) assign(ctx context.Context, in event.Inbound) ([]event.Outbound, error) {
	r, err := h.resolve(ctx, in)
	if err == nil {
		r, err = h.related(ctx, in, r)
	}
	if err != nil {
		return nil, err
	}
	return r.outs, h.remember(ctx, in, r)
}

// resolve returns what is to be stored for in, which may be an Outbound for
// nobody, but for what it concerns: see related. One that no route takes any
// more, because the routes were changed after it was stored, fails: its
// Outbounds are nil.
func (h *Host) resolve(ctx context.Context, in event.Inbound) (routed, error) {
	d, err := h.find(ctx, &in)
	if errors.Is(err, route.ErrNoRoute) || errors.Is(err, route.ErrForbidden) {
		return routed{}, h.unroutable(ctx, in, err)
	}
	if err != nil {
		return routed{}, err
	}
	if in.Hops <= 1 {
		return routed{}, h.unroutable(ctx, in, errors.New("it has crossed too many bridges"))
	}
	token := h.tokens.Conversation(d.Route, d.Participants)
	span, next := h.tracer.Start(in.Traceparent, tracing.Process, "route", "messaging.message.id", in.ID, "parley.route", d.Route)
	defer span.End(nil)
	in.Traceparent = next
	marked, targets := mark(in, d), unseen(in, d)
	outs := make([]event.Outbound, len(targets))
	for i, t := range targets {
		outs[i] = h.outbound(in, d, token, t)
		outs[i].Mark = marked
	}
	return routed{d, token, outs}, nil
}

// related fills in what a message concerns, which after a start may take a while
// to know: only its own lanes wait. The edit of what somebody else said fails.
func (h *Host) related(ctx context.Context, in event.Inbound, r routed) (routed, error) {
	if r.outs == nil {
		return r, nil
	}
	c, err := h.concerns(ctx, in)
	if err == nil && in.Kind == event.KindEdit {
		c, err = h.authorship(ctx, in, c)
	}
	if errors.Is(err, errNotAuthor) {
		if err := h.unroutable(ctx, in, err); err != nil {
			return r, err // as it came: it is tried again
		}
		return routed{}, nil
	}
	if err != nil {
		return r, fmt.Errorf("look up what it concerns: %w", err)
	}
	for i := range r.outs {
		r.outs[i].Concerns = c.inbound
	}
	h.Log.Info("routed", "message", in.ID, "route", r.decision.Route, "targets", len(r.outs))
	return r, nil
}

// remember keeps what a conversation of a route is, so that its threads can be
// answered. A person who writes in another thread than before is answered
// there; who reacts to what was said long ago is not.
func (h *Host) remember(ctx context.Context, in event.Inbound, r routed) error {
	d := r.decision
	if d.Route == "" {
		return nil
	}
	k := conversation.Known{Route: d.Route, Mode: event.Mode(d.Mode), Correspondent: d.Correspondent}
	if err := h.talks.Remember(ctx, r.conversation, k); err != nil {
		return fmt.Errorf("remember the conversation: %w", err)
	}
	if k.Mode != event.ModeDirect || isChange(in.Kind) || in.Thread == "" || in.Origin == event.BuiltinSIP {
		return nil
	}
	if err := h.talks.SetAnchor(ctx, in.Origin, r.conversation, in.Sender, in.Thread); err != nil {
		return fmt.Errorf("remember the thread: %w", err)
	}
	return nil
}

func (h *Host) outbound(in event.Inbound, d route.Decision, token string, t route.Target) event.Outbound {
	o := event.Outbound{
		ID: event.OutboundID(in.ID, t.Address, 1), Time: time.Now(), Inbound: in.ID, Connector: t.Connector,
		Target: t.Address, From: t.From, FromName: t.FromName, Generation: 1, Route: d.Route, Mode: event.Mode(d.Mode),
		Correspondent: d.Correspondent,
		Lane:          h.tokens.Lane(d.Route, token, t.Address), Envelope: in.Envelope, Content: in.Content,
	}
	o.Conversation = token
	o.InReplyTo = "" // an id of the origin's network says nothing at the target's
	o.Hops--
	return o
}

// unroutable keeps a message that can go nowhere as a dead letter and says so.
func (h *Host) unroutable(ctx context.Context, in event.Inbound, why error) error {
	o := event.Outbound{
		ID: event.OutboundID(in.ID, "", 1), Time: in.Time, Inbound: in.ID, Connector: in.Origin, Generation: 1,
		Lane: in.Lane, Envelope: in.Envelope, Content: in.Content,
	}
	now := time.Now()
	dead := event.Dead{DeadID: event.DeadID(o.ID), At: now, Reason: event.ReasonOf(why), Detail: why.Error(), Outbound: o}
	if _, err := h.bus.Publish(ctx, dead); err != nil {
		return err
	}
	st := o.Status(event.Failed, now)
	st.Reason, st.Detail = dead.Reason, dead.Detail
	if _, err := h.bus.Publish(ctx, st); err != nil {
		return err
	}
	h.Log.Warn("failed", "message", in.ID, "reason", dead.Reason, "err", why)
	return nil
}
