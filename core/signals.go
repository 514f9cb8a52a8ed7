package core

import (
	"context"
	"slices"
	"time"

	"parley.im/bus/event"
)

// signalWait is how long a connector may take over a signal.
const signalWait = 2 * time.Second

// maxSignals is how many signals are passed on at once; more are dropped.
const maxSignals = 64

// signal passes on that somebody is composing, as routes lead, to the phones
// and connectors that take it. It does not wait for them.
func (h *Host) signal(ctx context.Context, t event.Typing) {
	in := event.Inbound{Envelope: event.Envelope{Origin: t.Connector, Sender: t.Sender, Recipient: t.Recipient}}
	d, err := h.find(ctx, &in)
	if err != nil {
		return // whoever may not speak is not announced either
	}
	token := h.tokens.Conversation(d.Route, d.Participants)
	for _, to := range d.Targets {
		deliver := h.edge.Typing
		if c := h.now().connectors[to.Connector]; c != nil {
			deliver = func(ctx context.Context, d event.Delivery) error {
				_, err := c.process.Deliver(ctx, d)
				return err
			}
			if !slices.Contains(c.describe().Kinds, event.KindTyping) {
				continue
			}
		}
		h.composing(ctx, to.Connector, deliver, event.Delivery{
			ID: t.EventID(), Kind: event.KindTyping, Target: to.Address, From: to.From, FromName: to.FromName,
			Sender: t.Sender, Recipient: t.Recipient, Mode: event.Mode(d.Mode), Correspondent: d.Correspondent, Conversation: token,
			Sent: t.Time, Active: t.Active, Attempt: 1,
		})
	}
}

// composing hands one signal over, in the thread where the conversation goes
// on.
func (h *Host) composing(ctx context.Context, name string, deliver func(context.Context, event.Delivery) error, d event.Delivery) {
	var err error
	if d.Anchor, err = h.talks.Anchor(ctx, name, d.Conversation, d.Target); err != nil {
		return
	}
	select {
	case h.signals <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-h.signals }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signalWait)
		defer cancel()
		if err := deliver(ctx, d); err != nil {
			h.Log.Debug("signal not passed on", "connector", name, "err", err)
		}
	}()
}
