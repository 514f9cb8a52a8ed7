package core

import (
	"slices"

	"parley.im/bus/event"
	"parley.im/core/route"
)

// recognise reads the mark that another bridge, or this one, has put on a
// message, and makes it the message's identity: whichever way a message comes
// by, and however often, it is stored once. It tells whether the message went
// out from here.
func (h *Host) recognise(in *event.Inbound) (own bool) {
	m, ok := event.ParseMark(in.Mark)
	if !ok {
		in.Mark = ""
		return false
	}
	if _, own := h.bus.Stored(m.ID); own {
		in.ID = m.ID
		return true
	}
	in.ID = event.InboundID("mark", m.ID)
	in.Hops = min(in.Hops, m.Hops)
	return false
}

// unseen leaves out the targets of a room that have a message already, or get
// it from the bridge it comes from.
func unseen(in event.Inbound, d route.Decision) []route.Target {
	m, _ := event.ParseMark(in.Mark)
	if len(m.Seen) == 0 || d.Mode != route.Room {
		return d.Targets
	}
	return slices.DeleteFunc(slices.Clone(d.Targets), func(t route.Target) bool {
		return t.Connector != event.BuiltinSIP && slices.Contains(m.Seen, event.PlaceToken(t.Address))
	})
}

// mark is what goes out with a message: of a room, all places that have it now.
func mark(in event.Inbound, d route.Decision) string {
	m, marked := event.ParseMark(in.Mark)
	if !marked {
		m.ID = in.ID
	}
	m.Hops = in.Hops - 1
	if d.Mode != route.Room {
		return m.String()
	}
	see := func(a event.Address) {
		if t := event.PlaceToken(a); !slices.Contains(m.Seen, t) {
			m.Seen = append(m.Seen, t)
		}
	}
	if in.Origin != event.BuiltinSIP {
		see(in.Recipient)
	}
	for _, t := range d.Targets {
		if t.Connector != event.BuiltinSIP {
			see(t.Address)
		}
	}
	return m.String()
}
