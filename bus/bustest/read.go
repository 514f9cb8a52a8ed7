package bustest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

func lanes(t *testing.T, b *bus.Bus) {
	ctx := within(t)
	for i := range 30 {
		publish(t, b, Outbound("web", fmt.Sprint("lane", i%3), i))
	}
	if _, err := b.Next(ctx, bus.Outbounds, "web", "nobody", 1); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("next on an empty lane: %v, want ErrNotFound", err)
	}
	if _, err := b.Last(ctx, bus.Outbounds, "web", "nobody"); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("last on an empty lane: %v, want ErrNotFound", err)
	}
	for lane := range 3 {
		name, from := fmt.Sprint("lane", lane), uint64(0)
		for i := lane; i < 30; i += 3 {
			r, err := b.Next(ctx, bus.Outbounds, "web", name, from)
			if err != nil || r.Seq != uint64(i+1) || r.Event.EventID() != Outbound("web", name, i).ID {
				t.Fatalf("next on %s from %d: %d, %v; want %d", name, from, r.Seq, err, i+1)
			}
			from = r.Seq + 1
		}
		if r, err := b.Next(ctx, bus.Outbounds, "web", name, from); !errors.Is(err, bus.ErrNotFound) {
			t.Errorf("next on %s from %d: %d, %v; want ErrNotFound", name, from, r.Seq, err)
		}
		if r, err := b.Last(ctx, bus.Outbounds, "web", name); err != nil || r.Seq != uint64(28+lane) {
			t.Errorf("last on %s: %d, %v; want %d", name, r.Seq, err, 28+lane)
		}
	}
}

func missing(t *testing.T, b *bus.Bus) {
	ctx := within(t)
	if _, err := b.At(ctx, bus.Inbounds, 1); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("at 1 of an empty stream: %v, want ErrNotFound", err)
	}
	publish(t, b, Inbound("sip", "l1", 1))
	if _, err := b.At(ctx, bus.Inbounds, 2); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("at 2 of 1: %v, want ErrNotFound", err)
	}
	if _, err := b.At(ctx, "OTHER", 1); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("at 1 of another stream: %v, want ErrNotFound", err)
	}
}

func consumeInOrder(t *testing.T, b *bus.Bus) {
	var want []uint64
	for i := range 300 {
		connector := []string{"web", "slack", "web2"}[i%3]
		seq := publish(t, b, Outbound(connector, "l1", i))
		if connector == "web" {
			want = append(want, seq)
		}
	}
	k := consume(t, b, bus.ConsumeConfig{Name: "deliver-web", Stream: bus.Outbounds, Connector: "web"})
	for i, seq := range want {
		m := next(t, k)
		out, ok := m.Event.(event.Outbound)
		if m.Seq != seq || !ok || out.Connector != "web" || m.Redelivered || m.Err != nil {
			t.Fatalf("message %d: sequence %d, %+v (%v); want sequence %d for web", i, m.Seq, m.Event, m.Err, seq)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

func redelivery(t *testing.T, b *bus.Bus) {
	publish(t, b, Outbound("web", "l1", 1))
	k := consume(t, b, bus.ConsumeConfig{Name: "again", Stream: bus.Outbounds, AckWait: 200 * time.Millisecond})
	first, second := next(t, k), next(t, k)
	if first.Redelivered || !second.Redelivered || first.Seq != second.Seq {
		t.Fatalf("handed out %d (again: %v), then %d (again: %v)",
			first.Seq, first.Redelivered, second.Seq, second.Redelivered)
	}
	if err := second.Ack(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, Outbound("web", "l1", 2))
	if third := next(t, k); third.Seq != 2 || third.Redelivered {
		t.Errorf("after the acknowledgement: %d (again: %v), want 2", third.Seq, third.Redelivered)
	}
}

func resume(t *testing.T, b *bus.Bus) {
	for i := range 10 {
		publish(t, b, Outbound("web", "l1", i))
	}
	c := bus.ConsumeConfig{Name: "resume", Stream: bus.Outbounds, AckWait: time.Minute}
	k := consume(t, b, c)
	for range 4 {
		if err := next(t, k).Ack(); err != nil {
			t.Fatal(err)
		}
	}
	held := next(t, k) // the fifth is handed out and not acknowledged
	eventually(t, "four acknowledgements are noted", func() bool {
		st, err := b.Stats(within(t))
		for _, s := range st.Consumers {
			if s.Name == "resume" {
				return err == nil && s.AckPending+int(s.Pending) == 6
			}
		}
		return false
	})
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Next(within(t)); err == nil {
		t.Error("a closed consumer handed out a message")
	}
	k = consume(t, b, c)
	for want := held.Seq; want <= 10; want++ {
		if m := next(t, k); m.Seq != want {
			t.Fatalf("after Close: got %d, want %d", m.Seq, want)
		}
	}
}

func consumeWaits(t *testing.T, b *bus.Bus) {
	k := consume(t, b, bus.ConsumeConfig{Name: "waits", Stream: bus.Inbounds})
	ctx, cancel := context.WithCancel(within(t))
	got, ended := make(chan uint64), make(chan error)
	go func() {
		for {
			m, err := k.Next(ctx)
			if err != nil {
				ended <- err
				return
			}
			got <- m.Seq
		}
	}()
	for i := range 3 {
		want := publish(t, b, Inbound("sip", "l1", i))
		if seq := <-got; seq != want {
			t.Errorf("got %d, want %d", seq, want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want the context's error", err)
	}
}

// working holds a message for four times AckWait; a message published
// afterwards must come next.
func working(t *testing.T, b *bus.Bus) {
	const wait = 500 * time.Millisecond
	publish(t, b, Outbound("web", "l1", 1))
	k := consume(t, b, bus.ConsumeConfig{Name: "working", Stream: bus.Outbounds, AckWait: wait})
	m := next(t, k)
	tick := time.NewTicker(wait / 5)
	defer tick.Stop()
	for range 20 {
		<-tick.C
		if err := m.Working(); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, Outbound("web", "l1", 2))
	if m := next(t, k); m.Seq != 2 {
		t.Errorf("got %d (again: %v), want 2", m.Seq, m.Redelivered)
	}
}

// eventually waits for a fact that the bus reaches on its own.
func eventually(t *testing.T, fact string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", fact)
}
