package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

func comesBack(t *testing.T, b *bus.Bus) {
	out := Outbound("web", "l1", 1)
	status := out.Status(event.Delivered, out.Time)
	status.SettledThrough = 7
	dead := event.Dead{
		DeadID: event.DeadID(out.ID), At: out.Time,
		Reason: event.ReasonExpired, Detail: "nobody came\r\nce-x: y", Outbound: out,
	}
	for s, e := range map[bus.Stream]event.Event{
		bus.Inbounds: Inbound("sip", "l1", 1), bus.Outbounds: out, bus.Statuses: status, bus.Deads: dead,
	} {
		seq := publish(t, b, e)
		r, err := b.At(within(t), s, seq)
		if err != nil || !reflect.DeepEqual(r.Event, e) || r.Seq != seq {
			t.Errorf("%s: published %+v, got %+v at %d (%v)", s, e, r.Event, r.Seq, err)
		}
		if since := time.Since(r.Time); since < -time.Minute || since > time.Minute {
			t.Errorf("%s: stored at %s, %s ago", s, r.Time, since)
		}
	}
}

func order(t *testing.T, b *bus.Bus) {
	for i := range 50 {
		if seq := publish(t, b, Inbound("sip", "l1", i)); seq != uint64(i+1) {
			t.Fatalf("event %d got sequence %d", i, seq)
		}
	}
	if last, err := b.LastSeq(within(t), bus.Inbounds); err != nil || last != 50 {
		t.Errorf("last sequence %d, want 50 (%v)", last, err)
	}
}

func idempotent(t *testing.T, b *bus.Bus) {
	e := Inbound("sip", "l1", 1)
	if _, ok := b.Stored(e.ID); ok {
		t.Error("stored before it was published")
	}
	first := publish(t, b, e)
	publish(t, b, Inbound("sip", "l1", 2))
	again := publish(t, b, e)
	seq, ok := b.Stored(e.ID)
	if again != first || !ok || seq != first {
		t.Errorf("first stored as %d, again as %d; the index says %d, %v", first, again, seq, ok)
	}
	if last, _ := b.LastSeq(within(t), bus.Inbounds); last != 2 {
		t.Errorf("%d events are stored, want 2", last)
	}
}

func sameIDAtOnce(t *testing.T, b *bus.Bus) {
	ctx, e := within(t), Inbound("sip", "l1", 1)
	seqs, errs := make([]uint64, 64), make([]error, 64)
	var all sync.WaitGroup
	for i := range seqs {
		all.Go(func() { seqs[i], errs[i] = b.Publish(ctx, e) })
	}
	all.Wait()
	for i := range seqs {
		if seqs[i] != 1 || errs[i] != nil {
			t.Errorf("caller %d got %d, %v", i, seqs[i], errs[i])
		}
	}
	if last, _ := b.LastSeq(ctx, bus.Inbounds); last != 1 {
		t.Errorf("%d events are stored, want 1", last)
	}
}

// manyAtOnce is enough to be committed in batches, and repeats every id, so
// that batches meet ids that are stored already.
func manyAtOnce(t *testing.T, b *bus.Bus) {
	ctx, n := within(t), 600
	seqs := make([]uint64, 2*n)
	var all sync.WaitGroup
	for i := range seqs {
		all.Go(func() {
			seq, err := b.Publish(ctx, Inbound("sip", fmt.Sprint("l", i%7), i%n))
			if err != nil {
				t.Error(err)
			}
			seqs[i] = seq
		})
	}
	all.Wait()
	seen := map[uint64]bool{}
	for i := range n {
		if seqs[i] != seqs[i+n] && i%7 == (i+n)%7 {
			t.Errorf("event %d was stored as %d and as %d", i, seqs[i], seqs[i+n])
		}
		seen[seqs[i]] = true
		want := Inbound("sip", fmt.Sprint("l", i%7), i)
		r, err := b.At(ctx, bus.Inbounds, seqs[i])
		if err != nil || r.Event.EventID() != want.ID {
			t.Fatalf("event %d was said to be at %d; there is %+v (%v)", i, seqs[i], r.Event, err)
		}
	}
	if len(seen) != n {
		t.Errorf("%d events have %d sequences", n, len(seen))
	}
}

func invalid(t *testing.T, b *bus.Bus) {
	changed := func(change func(e *event.Inbound)) event.Event {
		e := Inbound("sip", "l1", 1)
		change(&e)
		return e
	}
	for name, e := range map[string]event.Event{
		"a lane with a dot":        changed(func(e *event.Inbound) { e.Lane = "a.b" }),
		"a lane with a wildcard":   changed(func(e *event.Inbound) { e.Lane = "*" }),
		"no lane":                  changed(func(e *event.Inbound) { e.Lane = "" }),
		"a connector with a space": changed(func(e *event.Inbound) { e.Origin = "a b" }),
		"no id":                    changed(func(e *event.Inbound) { e.ID = "" }),
		"an id with a line end":    changed(func(e *event.Inbound) { e.ID = "a\r\nb" }),
		"headers without end":      changed(func(e *event.Inbound) { e.Title = strings.Repeat("x", event.MaxHeader) }),
		"a signal":                 event.Typing{Connector: "sip", Lane: "l1"},
	} {
		if seq, err := b.Publish(within(t), e); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("%s: got %d, %v; want ErrInvalid", name, seq, err)
		}
	}
	if last, _ := b.LastSeq(within(t), bus.Inbounds); last != 0 {
		t.Errorf("%d events are stored, want 0", last)
	}
}

func deadline(t *testing.T, b *bus.Bus) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := Inbound("sip", "l1", 1)
	if _, err := b.Publish(ctx, e); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("with an ended context: got %v, want ErrUnavailable", err)
	}
	if seq := publish(t, b, e); seq != 1 {
		t.Errorf("the same event afterwards got sequence %d, want 1", seq)
	}
}

func largeBody(t *testing.T, b *bus.Bus) {
	ctx, e := within(t), Inbound("sip", "l1", 1)
	e.Data = bytes.Repeat([]byte("large \x00\xff"), bus.MaxInline/4)
	body := bytes.Clone(e.Data)
	seq := publish(t, b, e)
	if again := publish(t, b, e); again != seq {
		t.Errorf("again: sequence %d, want %d", again, seq)
	}
	r, err := b.At(ctx, bus.Inbounds, seq)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Event.(event.Inbound).Content
	if len(c.Data) != 0 || c.Ref == "" || c.Size != int64(len(body)) || c.MediaType != "text/plain" {
		t.Fatalf("stored with %d bytes, ref %q, size %d, type %q", len(c.Data), c.Ref, c.Size, c.MediaType)
	}
	loaded, err := b.Load(ctx, c)
	if err != nil || !bytes.Equal(loaded.Data, body) || loaded.Ref != "" {
		t.Errorf("loaded %d bytes, ref %q (%v), want %d bytes", len(loaded.Data), loaded.Ref, err, len(body))
	}
	c.SHA256 = strings.Repeat("0", 64)
	if _, err := b.Load(ctx, c); err == nil {
		t.Error("a body with another SHA-256 was loaded")
	}
}

func closed(t *testing.T, b *bus.Bus) {
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	ctx := within(t)
	if _, err := b.Publish(ctx, Inbound("sip", "l1", 1)); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("publish: got %v, want ErrUnavailable", err)
	}
	if err := b.Healthy(ctx); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("healthy: got %v, want ErrUnavailable", err)
	}
	if _, err := b.Bucket(ctx, "test"); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("bucket: got %v, want ErrUnavailable", err)
	}
}
