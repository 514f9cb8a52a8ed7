package core

import (
	"testing"

	"parley.im/bus"
	"parley.im/bus/event"
)

func TestWhatWasSetAsideIsRoutedByAVersionThatUnderstandsIt(t *testing.T) {
	h := router(t)
	ctx := t.Context()
	in := dialled("sip:alice@example.com", "sip:bob@example.com")
	in.ID, in.Hops, in.NativeID, in.Lane = "in-1", maxHops, "n1", "lane"
	seq, err := h.bus.Publish(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []uint64{seq, seq + 7} { // the second is gone from the log
		if err := h.setAside(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a second start finds nothing more to do
		if err := h.takeUp(ctx); err != nil {
			t.Fatal(err)
		}
		last, err := h.bus.LastSeq(ctx, bus.Outbounds)
		if err != nil || last != 1 {
			t.Fatalf("%d outbounds, %v", last, err)
		}
	}
	r, err := h.bus.At(ctx, bus.Outbounds, 1)
	if err != nil {
		t.Fatal(err)
	}
	if o := r.Event.(event.Outbound); o.Inbound != "in-1" || o.Target != "sip:bob@example.com" {
		t.Errorf("it became %+v", o)
	}
	b, err := h.aside(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := b.List(ctx, "", "", 0); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
