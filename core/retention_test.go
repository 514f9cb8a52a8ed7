package core

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/config"
)

func TestRetentionIsAsTheConfigurationSays(t *testing.T) {
	h := New(Options{Config: config.Default()})
	r := config.Default().Bus.Retention
	if k := h.keep(r, time.Now()); k.Messages != 30*24*time.Hour || k.Statuses != k.Messages || k.Dead != 90*24*time.Hour || k.Bytes != 0 {
		t.Errorf("shipped: %+v", k)
	}
	r.Bodies = time.Hour
	if k := h.keep(r, time.Now()); k.Messages != time.Hour || k.Statuses != 30*24*time.Hour {
		t.Errorf("with bodies for an hour: %+v", k)
	}
	if p := agePause(r); p != 6*time.Minute {
		t.Errorf("with bodies for an hour it looks each %s", p)
	}
}

func TestNotesOnDeadLettersGoAfterTheLetters(t *testing.T) {
	h := router(t)
	h.Log = slog.New(slog.DiscardHandler)
	in := spoken("chat:u/eve", "chat:r/gone", "")
	in.ID, in.Lane, in.NativeID = "in-1", "lane", "n1"
	if err := h.unroutable(t.Context(), in, errors.New("no route")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.dropDead(t.Context(), "root", []string{h.letters(t)[0].ID}); err != nil {
		t.Fatal(err)
	}
	r := config.Default().Bus.Retention
	notes := func(days int) int {
		now := time.Now().Add(time.Duration(days) * 24 * time.Hour)
		h.trim(t.Context(), h.keep(r, now))
		h.sweep(t.Context(), r, now)
		b, err := h.closings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.List(t.Context(), "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := notes(89); n != 1 || h.trimmed.of(bus.Deads) != 0 {
		t.Errorf("after 89 days: %d notes, %d letters gone", n, h.trimmed.of(bus.Deads))
	}
	if n := notes(91); n != 0 || h.trimmed.of(bus.Deads) != 1 {
		t.Errorf("after 91 days: %d notes, %d letters gone", n, h.trimmed.of(bus.Deads))
	}
}

// settled stores what became of a message of whoever in has sent, and reads it
// as the stages do.
func (h *Host) settled(t *testing.T, in event.Inbound) event.Outbound {
	t.Helper()
	out := h.outboundOf(t, in)
	for _, e := range []event.Event{in, out, out.Status(event.Delivered, time.Now())} {
		if _, err := h.bus.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// read acknowledges all there is for a reader.
func (h *Host) read(t *testing.T, c bus.ConsumeConfig) {
	t.Helper()
	last, err := h.bus.LastSeq(t.Context(), c.Stream)
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.bus.Consume(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for seq := uint64(0); seq < last; {
		m, err := k.Next(t.Context())
		if err == nil {
			err = m.Ack()
		}
		if err != nil {
			t.Fatal(err)
		}
		seq = m.Seq
	}
}

func TestAMessageIsTracedAfterItsBodyWasDropped(t *testing.T) {
	h := router(t)
	in := spoken("chat:u/ann", "chat:r/lobby", "")
	in.ID, in.NativeID, in.Lane, in.Hops = "inboundid", "C0/1700000000.000100", "l", maxHops
	h.settled(t, in)
	h.read(t, bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds})
	h.read(t, bus.ConsumeConfig{Name: "deliver-sip", Stream: bus.Outbounds})
	r := config.Default().Bus.Retention
	r.Bodies = time.Hour
	for n := 0; n == 0; { // until the bus has noted the acknowledgements
		h.trim(t.Context(), h.keep(r, time.Now().Add(2*time.Hour)))
		n = int(min(h.trimmed.of(bus.Inbounds), h.trimmed.of(bus.Outbounds)))
		if t.Context().Err() != nil {
			t.Fatal("the bodies stay")
		}
	}
	var got []event.Event
	for _, id := range []string{"C0/1700000000.000100", "inboundid"} {
		got = nil
		err := h.trace(context.WithoutCancel(t.Context()), id, time.Now().Add(-time.Minute), func(_ uint64, e event.Event) { got = append(got, e) })
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %d events, %v; want the Status", id, len(got), err)
		}
		if st := got[0].(event.Status); st.Sender != in.Sender || st.State != event.Delivered || st.NativeID != in.NativeID {
			t.Errorf("%s: %+v", id, st)
		}
	}
}
