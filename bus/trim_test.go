package bus_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/bustest"
	"parley.im/bus/event"
)

// story stores the Inbounds and Outbounds 0 to n-1 and what became of them.
func story(t *testing.T, b *bus.Bus, connector string, n int) {
	t.Helper()
	for i := range n {
		out := bustest.Outbound(connector, "l1", i)
		done := out.Status(event.Delivered, out.Time)
		for _, e := range []event.Event{bustest.Inbound("sip", "l1", i), out, done} {
			if _, err := b.Publish(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// settle acknowledges the first n messages of a reader, and waits until the
// bus has noted it.
func settle(t *testing.T, b *bus.Bus, c bus.ConsumeConfig, n int) *bus.Consumer {
	t.Helper()
	k, err := b.Consume(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	for range n {
		m, err := k.Next(t.Context())
		if err == nil {
			err = m.Ack()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for {
		st, err := b.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range st.Consumers {
			if x.Name == c.Name && x.Stream == c.Stream && x.Acked >= uint64(n) {
				return k
			}
		}
		if t.Context().Err() != nil {
			t.Fatal("never acknowledged")
		}
	}
}

// later is when everything in the log is old.
func later(held uint64) bus.Keep {
	return bus.Keep{
		Now: time.Now().Add(100 * 24 * time.Hour), Messages: 30 * 24 * time.Hour, Statuses: 30 * 24 * time.Hour, Dead: 90 * 24 * time.Hour,
		Held: func(context.Context) (uint64, error) { return held, nil },
	}
}

// trimmed returns the first sequence left in each stream.
func trimmed(t *testing.T, b *bus.Bus, k bus.Keep) map[bus.Stream]uint64 {
	t.Helper()
	list, err := b.Trim(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	first := map[bus.Stream]uint64{}
	for _, x := range list {
		first[x.Stream] = x.First
	}
	return first
}

var (
	routing  = bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds}
	noticing = bus.ConsumeConfig{Name: "notice", Stream: bus.Statuses}
	toWeb    = bus.ConsumeConfig{Name: "deliver-web", Stream: bus.Outbounds, Connector: "web"}
	toChat   = bus.ConsumeConfig{Name: "deliver-chat", Stream: bus.Outbounds, Connector: "chat"}
)

func TestWhatIsSettledGoesAndWhatIsNotStays(t *testing.T) {
	dir := t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	story(t, b, "web", 10)
	if first := trimmed(t, b, later(0)); first[bus.Inbounds] != 1 || first[bus.Outbounds] != 1 || first[bus.Statuses] != 1 {
		t.Fatalf("before anybody read them some are gone: %v", first)
	}
	settle(t, b, routing, 8)
	settle(t, b, toWeb, 6)
	settle(t, b, noticing, 10)
	first := trimmed(t, b, later(0))
	if first[bus.Inbounds] != 9 || first[bus.Outbounds] != 7 || first[bus.Statuses] != 1 {
		t.Errorf("%v; want 9 and 7, and all Statuses, which are as young as the unsettled Outbound", first)
	}
	if b.Close() != nil {
		t.Fatal("not closed")
	}

	b = open(t, bus.Config{Dir: dir})
	k, err := b.Consume(t.Context(), toWeb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	for want := uint64(7); want <= 10; want++ {
		m, err := k.Next(t.Context())
		if err != nil || m.Seq != want || m.Event.(event.Outbound).ID != bustest.Outbound("web", "l1", int(want)-1).ID {
			t.Fatalf("after the restart: %+v, %v; want %d", m, err, want)
		}
	}
	if _, ok := b.Stored(bustest.Inbound("sip", "l1", 9).ID); !ok {
		t.Error("the id of a kept Inbound is not known any more")
	}
	if seq, err := b.Publish(t.Context(), bustest.Inbound("sip", "l1", 3)); err == nil && seq == 11 {
		t.Error("a repetition of an Inbound that was trimmed is stored again")
	}
	if seq, err := b.Publish(t.Context(), bustest.Inbound("sip", "l1", 10)); err != nil || seq != 11 {
		t.Errorf("the next Inbound got %d, %v; want 11", seq, err)
	}
}

func TestAConnectorThatIsNotThereHoldsItsBacklog(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	story(t, b, "chat", 3)
	settle(t, b, toChat, 1).Close() // it is configured away
	for i := range 3 {
		if _, err := b.Publish(t.Context(), bustest.Outbound("web", "l1", i)); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, b, toWeb, 3)
	if first := trimmed(t, b, later(0)); first[bus.Outbounds] != 2 {
		t.Errorf("from %d on; want 2, which chat has not got", first[bus.Outbounds])
	}
}

func TestAParkedLaneHoldsWhatIsAcknowledged(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	story(t, b, "web", 5)
	settle(t, b, toWeb, 5)
	if first := trimmed(t, b, later(3)); first[bus.Outbounds] != 3 {
		t.Errorf("from %d on; want 3", first[bus.Outbounds])
	}
	if first := trimmed(t, b, later(0)); first[bus.Outbounds] != 6 {
		t.Errorf("when it is not parked any more, from %d on; want 6", first[bus.Outbounds])
	}
}

func TestWhatIsYoungStays(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	story(t, b, "web", 5)
	settle(t, b, routing, 5)
	settle(t, b, toWeb, 5)
	settle(t, b, noticing, 5)
	for s, first := range trimmed(t, b, bus.Keep{Now: time.Now(), Messages: time.Hour, Statuses: time.Hour, Dead: time.Hour, Bytes: 1 << 30}) {
		if s != bus.Deads && first != 1 {
			t.Errorf("%s: from %d on", s, first)
		}
	}
}

func TestAStreamNearItsSizeLosesItsOldestEarlier(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	story(t, b, "web", 100)
	settle(t, b, routing, 100)
	settle(t, b, toWeb, 100)
	keep := bus.Keep{Now: time.Now().Add(time.Hour), Messages: 24 * time.Hour, Bytes: 20 << 10}
	first := trimmed(t, b, keep)
	st, err := b.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range st.Streams[:2] {
		if x.Bytes > 20<<10 || x.Bytes < 10<<10 || x.Last != 100 {
			t.Errorf("%+v after %v; want at most 20 KiB, and not much less", x, first)
		}
	}
}

func TestASizeThatWhatIsUnsettledNeedsStopsTaking(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	story(t, b, "web", 20)
	k := settle(t, b, toWeb, 1)
	keep := bus.Keep{Now: time.Now().Add(time.Hour), Bytes: 4 << 10}
	trimmed(t, b, keep)
	if _, err := b.Publish(t.Context(), bustest.Inbound("sip", "l1", 20)); !errors.Is(err, bus.ErrFull) {
		t.Errorf("it takes more: %v", err)
	}
	if _, err := b.Publish(t.Context(), bustest.Outbound("web", "l1", 20)); err != nil {
		t.Errorf("what is taken in already: %v", err)
	}
	k.Close()
	settle(t, b, toWeb, 20)
	trimmed(t, b, bus.Keep{Now: keep.Now, Bytes: 1 << 20})
	if _, err := b.Publish(t.Context(), bustest.Inbound("sip", "l1", 20)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestABodyGoesWithTheLastEventThatRefersToIt(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	in := bustest.Inbound("sip", "l1", 1)
	in.Data = bytes.Repeat([]byte("x"), bus.MaxInline+1)
	if _, err := b.Publish(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r, err := b.At(t.Context(), bus.Inbounds, 1)
	if err != nil {
		t.Fatal(err)
	}
	out := bustest.Outbound("web", "l1", 1)
	out.Content = r.Event.(event.Inbound).Content
	out.Original = "original"
	beside, err := b.Media().Store(t.Context(), "text/plain", bytes.NewReader([]byte("a file")))
	if err != nil {
		t.Fatal(err)
	}
	out.Files = []event.File{{Name: "a.txt", Content: beside}}
	if _, err := b.Publish(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Media().Store(t.Context(), "text/plain", bytes.NewReader([]byte("nobody's"))); err != nil {
		t.Fatal(err)
	}
	sweep := func(want int) {
		t.Helper()
		if n, _, err := b.Media().Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil || n != want {
			t.Errorf("%d objects went, %v; want %d", n, err, want)
		}
	}
	sweep(1)
	if c, err := b.Load(t.Context(), out.Content); err != nil || len(c.Data) != len(in.Data) {
		t.Fatalf("the body that is referred to: %v", err)
	}
	settle(t, b, routing, 1)
	trimmed(t, b, later(0))
	sweep(0)
	settle(t, b, toWeb, 1)
	trimmed(t, b, later(0))
	sweep(2)
	if _, err := b.Load(t.Context(), out.Content); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("the body that nobody refers to: %v", err)
	}
}

func TestAScanEndsAlsoWhenTheLastEventsAreGone(t *testing.T) {
	b := open(t, bus.Config{Durability: bus.Memory})
	story(t, b, "web", 3)
	settle(t, b, routing, 3)
	trimmed(t, b, later(0))
	n := 0
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.Scan(ctx, bus.Inbounds, time.Time{}, func(bus.Record) bool { n++; return true }); err != nil || n > 0 {
		t.Errorf("%d events, %v", n, err)
	}
}
