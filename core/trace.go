package core

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

// Limits of what a trace shows.
const (
	maxTraced   = 20   // messages
	maxTrace    = 2000 // events
	minForeign  = 6    // of an id on another network, in bytes: any part of it may be given
	minIDPrefix = 4
)

// trace calls f with the life of a message, by any of its ids: that of one of
// its events, or the id it has on a network, such as a Call-ID, a Slack
// timestamp, a Matrix event id or a Message-ID. Events come in the order of
// their times.
func (h *Host) trace(ctx context.Context, id string, since time.Time, f func(seq uint64, e event.Event)) error {
	messages := map[string]bool{}
	find := func(r bus.Record) bool {
		if in, ok := known(r.Event, id); ok {
			messages[in] = true
		}
		return len(messages) < maxTraced
	}
	for _, s := range bus.Streams() {
		if err := h.bus.Scan(ctx, s, since, find); err != nil {
			return err
		}
	}
	if len(messages) == 0 {
		return nil
	}
	found, err := h.lives(ctx, messages, since)
	if err != nil {
		return err
	}
	for _, r := range found {
		f(r.Seq, r.Event)
	}
	return nil
}

// lives returns the events of messages, in the order of their times.
func (h *Host) lives(ctx context.Context, messages map[string]bool, since time.Time) (found []bus.Record, err error) {
	for _, s := range bus.Streams() {
		err := h.bus.Scan(ctx, s, since, func(r bus.Record) bool {
			if messages[messageOf(r.Event)] {
				found = append(found, r)
			}
			return len(found) < maxTrace
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(found, func(a, b bus.Record) int { return a.Time.Compare(b.Time) })
	return found, nil
}

// messageOf returns the id of the Inbound that an event is about.
func messageOf(e event.Event) string {
	switch e := e.(type) {
	case event.Inbound:
		return e.ID
	case event.Outbound:
		return e.Inbound
	case event.Status:
		return e.Inbound
	case event.Dead:
		return e.Inbound
	}
	return ""
}

// within returns the id of an Outbound that a Call-ID of the bridge begins with,
// and any other id as it is.
func within(id string) string {
	if end := strings.IndexAny(id, ".@"); end == len(event.OutboundID("", "", 0)) {
		return id[:end]
	}
	return id
}

// known tells whether an event goes by an id, and of which message it is.
func known(e event.Event, id string) (message string, ok bool) {
	id = within(id)
	own := []string{e.EventID(), messageOf(e)}
	var foreign []string
	switch e := e.(type) {
	case event.Inbound:
		foreign = []string{e.NativeID}
	case event.Status:
		own = append(own, e.Outbound)
		foreign = append([]string{e.NativeID}, e.RemoteIDs...)
	case event.Dead:
		own = append(own, e.ID)
	}
	ok = slices.ContainsFunc(own, func(s string) bool { return len(id) >= minIDPrefix && strings.HasPrefix(s, id) }) ||
		slices.ContainsFunc(foreign, func(s string) bool { return s == id || len(id) >= minForeign && strings.Contains(s, id) })
	return cmp.Or(messageOf(e), e.EventID()), ok
}
