// Package notice tells senders what became of their messages. It reads STATUS
// and writes Outbounds of kind status, which reach the sender like any other
// message, in the form that sender's network knows.
//
// It never tells about a notice, and never answers a machine, so it can't go
// round in circles (RFC 3834, RFC 5438 section 7).
package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

// A Stage writes notices.
type Stage struct {
	Bus *bus.Bus
	// Wants tells whether a connector instance tells its users of a state.
	Wants func(connector string, state event.State) bool
	// Phones tells whether a connector instance has no marks for a state. Then
	// a sender gets the receipts it has asked for, and else a text about a few
	// failures.
	Phones func(connector string) bool
	// Lane returns the token of the lane that orders the notices to one
	// sender about one conversation.
	Lane func(conversation string, sender event.Address) string
	Log  *slog.Logger

	texts pace
}

// Run writes notices until ctx ends.
func (s *Stage) Run(ctx context.Context) error {
	c, err := s.Bus.Consume(ctx, bus.ConsumeConfig{
		Name: "notice", Stream: bus.Statuses, MaxPending: 64, AckWait: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	defer c.Close()
	for {
		m, err := c.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("notice: %w", err)
		}
		if st, ok := m.Event.(event.Status); ok {
			if n, due := s.notice(st); due && s.moderate(st, n) && !s.store(ctx, n) {
				return nil
			}
		}
		_ = m.Ack()
	}
}

// moderate tells whether one more notice may go to a sender: where it is a text
// among others, a thousand failures are not a thousand texts.
func (s *Stage) moderate(st event.Status, n event.Outbound) bool {
	if !s.Phones(st.Origin) || n.MessageID != "" || s.texts.take(st.Sender, time.Now()) {
		return true
	}
	s.Log.Warn("failure not told: the sender was told of several just now", "message", st.Inbound, "outbound", st.Outbound)
	return false
}

// store publishes n, again until it is stored or ctx ends.
func (s *Stage) store(ctx context.Context, n event.Outbound) bool {
	for {
		_, err := s.Bus.Publish(ctx, n)
		if err == nil {
			return true
		}
		if !errors.Is(err, context.Canceled) {
			s.Log.Warn("notice not stored yet", "message", n.ID, "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// notice returns what to tell the sender about st, if anything.
func (s *Stage) notice(st event.Status) (n event.Outbound, due bool) {
	switch {
	case st.Kind == event.KindStatus || st.Automatic:
		return n, false
	case st.Sender == "" || st.Origin == "" || st.NativeID == "" || st.Sender == event.Anonymous:
		return n, false
	}
	receipt := ""
	if s.Phones(st.Origin) {
		if st.State = inRoom(st); asked(st) {
			receipt = st.MessageID
		}
	}
	if receipt == "" && !s.Wants(st.Origin, st.State) {
		return n, false
	}
	return event.Outbound{
		ID:         identity(st),
		Time:       time.Now(),
		Inbound:    st.Inbound,
		Connector:  st.Origin,
		Target:     st.Sender,
		From:       st.Recipient,
		Generation: st.Generation,
		Route:      st.Route,
		Lane:       s.Lane(st.Conversation, st.Sender),
		Envelope: event.Envelope{
			Kind: event.KindStatus, Sender: st.Target, Recipient: st.Sender, Conversation: st.Conversation, Thread: st.Thread,
			InReplyTo: st.NativeID, MessageID: receipt, Sent: st.Sent, State: st.State, Automatic: true, Origin: st.Connector, Hops: 1,
		},
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(words(st))},
	}, true
}

// inRoom returns what a phone is told of a state: of good news from a room of
// many that it was processed, as it says nothing about each of them.
func inRoom(st event.Status) event.State {
	if st.Mode == event.ModeRoom && st.State == event.Delivered {
		return event.Accepted
	}
	return st.State
}

// asked tells whether the sender's device has asked for a receipt of the state
// (RFC 5438, section 6.2). Nobody in a room tells for all that it was displayed.
func asked(st event.Status) bool {
	return st.MessageID != "" && slices.Contains(st.Wants, st.State) &&
		!(st.Mode == event.ModeRoom && st.State == event.Displayed)
}

// identity makes good news of one message one notice, however many targets
// tell it: a room answers once. A failure at each target is told.
func identity(st event.Status) string {
	about := event.StatusID(st.Inbound, st.State)
	if st.State == event.Failed {
		about = st.ID
	}
	return event.OutboundID(about, st.Sender, max(st.Generation, 1))
}

func words(st event.Status) string {
	if st.State != event.Failed {
		return string(st.State)
	}
	return fmt.Sprintf("%s: %s", st.Target, st.Detail)
}
