package core

import (
	"slices"
	"testing"
	"time"

	"parley.im/bus/event"
)

func TestAMessageIsTracedByTheIDItHasAnywhere(t *testing.T) {
	h := router(t)
	in := spoken("chat:u/ann", "chat:r/lobby", "")
	in.ID, in.NativeID, in.Lane, in.Hops = "inboundid", "C0/1700000000.000100", "l", maxHops
	out := h.outboundOf(t, in)
	delivered := out.Status(event.Delivered, time.Now())
	delivered.RemoteIDs = []string{"<k3fabc@bridge.example.com>"}
	other := spoken("chat:u/eve", "chat:r/lobby", "")
	other.ID, other.NativeID, other.Lane = "anotherid", "C0/1700000000.000200", "l"
	begin := time.Now().Add(-time.Minute)
	for _, e := range []event.Event{in, out, delivered, other} {
		if _, err := h.bus.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	life := []string{in.ID, out.ID, delivered.ID}
	for id, want := range map[string][]string{
		"inbound": life, out.ID[:10]: life, delivered.ID: life, "1700000000.000100": life, "k3fabc@bridge.example.com": life,
		out.ID + "@bridge.example.com": life, out.ID + ".2.3@bridge.example.com": life,
		"17000": nil, "inb": nil, "nothing": nil, "another": {other.ID},
	} {
		var got []string
		if err := h.trace(t.Context(), id, begin, func(_ uint64, e event.Event) { got = append(got, e.EventID()) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	var late int
	if err := h.trace(t.Context(), in.ID, time.Now().Add(time.Minute), func(uint64, event.Event) { late++ }); err != nil || late > 0 {
		t.Errorf("before the time that was asked for: %d events, %v", late, err)
	}
}

func (h *Host) outboundOf(t *testing.T, in event.Inbound) event.Outbound {
	t.Helper()
	outs, err := h.assign(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return outs[0]
}
