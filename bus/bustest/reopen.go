package bustest

import (
	"bytes"
	"errors"
	"testing"

	"parley.im/bus"
	"parley.im/bus/event"
)

func reopen(t *testing.T, s Setup) {
	b := s.Open(t)
	t.Cleanup(func() { b.Close() })
	for i := range 100 {
		publish(t, b, Inbound("sip", "l1", i))
	}
	large := Inbound("sip", "l2", 1)
	large.Data = bytes.Repeat([]byte("x"), bus.MaxInline+1)
	seq := publish(t, b, large)
	k := bucket(t, b)
	kept, err := k.Set(within(t), "kept", []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Set(within(t), "gone", nil); err != nil || k.Delete(within(t), "gone") != nil {
		t.Fatal(err)
	}

	b = s.Reopen(t, b)
	t.Cleanup(func() { b.Close() })
	ctx := within(t)
	for i := range 100 {
		id := Inbound("sip", "l1", i).ID
		if at, ok := b.Stored(id); !ok || at != uint64(i+1) {
			t.Fatalf("the id index has event %d at %d, %v", i, at, ok)
		}
		if again := publish(t, b, Inbound("sip", "l1", i)); again != uint64(i+1) {
			t.Fatalf("event %d was stored again as %d", i, again)
		}
	}
	r, err := b.Last(ctx, bus.Inbounds, "sip", "l2")
	if err != nil || r.Seq != seq {
		t.Fatalf("last: %d, %v; want %d", r.Seq, err, seq)
	}
	if c, err := b.Load(ctx, r.Event.(event.Inbound).Content); err != nil || len(c.Data) != bus.MaxInline+1 {
		t.Errorf("the large body has %d bytes (%v)", len(c.Data), err)
	}
	list, err := bucket(t, b).List(ctx, "", "", 0)
	if err != nil || len(list) != 1 || list[0].Key != "kept" || list[0].Revision != kept {
		t.Errorf("the bucket has %+v (%v)", list, err)
	}
	if _, err := bucket(t, b).Get(ctx, "gone"); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("the deleted key: %v, want ErrNotFound", err)
	}
	if next := publish(t, b, Inbound("sip", "l1", 100)); next != seq+1 {
		t.Errorf("the next event got %d, want %d", next, seq+1)
	}
}
