package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

func revisions(t *testing.T, b *bus.Bus) {
	k, ctx, key := bucket(t, b), within(t), "sip:ann@example.com"
	if _, err := k.Get(ctx, key); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("get of a missing key: %v", err)
	}
	if _, err := k.Put(ctx, key, []byte("x"), 9); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("put with a revision of a missing key: %v", err)
	}
	first, err := k.Put(ctx, key, []byte("one"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Put(ctx, key, []byte("x"), 0); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("creating it twice: %v", err)
	}
	second, err := k.Put(ctx, key, []byte("two"), first)
	if err != nil || second <= first {
		t.Fatalf("put: revision %d after %d (%v)", second, first, err)
	}
	if _, err := k.Put(ctx, key, []byte("x"), first); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("put with an old revision: %v", err)
	}
	if err := k.DeleteAt(ctx, key, first); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("delete with an old revision: %v", err)
	}
	if e, err := k.Get(ctx, key); err != nil || string(e.Value) != "two" || e.Revision != second || e.Key != key {
		t.Errorf("got %+v (%v), want two at %d", e, err, second)
	}
	third, err := k.Set(ctx, key, []byte("three"))
	if err != nil || k.DeleteAt(ctx, key, third) != nil {
		t.Errorf("set and delete at %d: %v", third, err)
	}
	if _, err := k.Get(ctx, key); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("get of a deleted key: %v", err)
	}
	if fourth, err := k.Put(ctx, key, nil, 0); err != nil || fourth <= third {
		t.Errorf("creating it anew: revision %d after %d (%v)", fourth, third, err)
	}
	if err := errors.Join(k.Delete(ctx, key), k.Delete(ctx, key)); err != nil {
		t.Errorf("deleting it twice: %v", err)
	}
}

func createOnce(t *testing.T, b *bus.Bus) {
	k, ctx := bucket(t, b), within(t)
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			_, err := k.Put(ctx, "lease", fmt.Append(nil, i), 0)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, bus.ErrConflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d created the key", won.Load())
	}
}

func listing(t *testing.T, b *bus.Bus) {
	k, ctx := bucket(t, b), within(t)
	all := []string{"a", "a.", "a.1", "a.10", "a.2", "a/b", "b", "b*", "b>", "sip:ä@x", "sip:z@x", "ß"}
	for _, i := range rand.Perm(len(all)) {
		if _, err := k.Set(ctx, all[i], []byte(all[i])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Set(ctx, "b0", nil); err != nil || k.Delete(ctx, "b0") != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	for _, tc := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"", "", 0, all},
		{"", "", 3, all[:3]},
		{"", "a.10", 2, []string{"a.2", "a/b"}},
		{"a.", "", 0, []string{"a.", "a.1", "a.10", "a.2"}},
		{"a.", "a.10", 0, []string{"a.2"}},
		{"a.", "a.1x", 1, []string{"a.2"}},
		{"b", "", 0, []string{"b", "b*", "b>"}},
		{"b", "a", 1, []string{"b"}},
		{"sip:", "sip:z@x", 0, []string{"sip:ä@x"}},
		{"c", "", 0, nil},
		{"a", "c", 0, nil},
	} {
		list, err := k.List(ctx, tc.prefix, tc.after, tc.limit)
		var got []string
		for _, e := range list {
			got = append(got, e.Key)
			if string(e.Value) != e.Key || e.Revision == 0 {
				t.Errorf("%q has value %q at %d", e.Key, e.Value, e.Revision)
			}
		}
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%d of prefix %q after %q: got %q (%v), want %q", tc.limit, tc.prefix, tc.after, got, err, tc.want)
		}
	}
}

func bucketLimits(t *testing.T, b *bus.Bus) {
	k, ctx := bucket(t, b), within(t)
	for name, key := range map[string]string{
		"spaces and dots": " .. ", "wildcards": "*.>", "line ends": "\r\n", "the longest": strings.Repeat("ß", bus.MaxKey/2),
	} {
		if _, err := k.Put(ctx, key, make([]byte, bus.MaxValue), 0); err != nil {
			t.Errorf("a key of %s: %v", name, err)
		}
	}
	for name, key := range map[string]string{
		"nothing": "", "too many bytes": strings.Repeat("k", bus.MaxKey+1), "no UTF-8": "\xff",
	} {
		if _, err := k.Put(ctx, key, nil, 0); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("a key of %s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := k.Set(ctx, "k", make([]byte, bus.MaxValue+1)); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("a value that is too large: got %v, want ErrInvalid", err)
	}
}

func mediaRoundTrip(t *testing.T, b *bus.Bus) {
	ctx := within(t)
	for _, size := range []int{0, 1, 200_000, 3 << 20} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		c, err := b.Media().Store(ctx, "image/png", iotest.HalfReader(bytes.NewReader(body)))
		if err != nil || c.Size != int64(size) || c.MediaType != "image/png" || len(c.Data) != 0 {
			t.Fatalf("store %d bytes: %+v (%v)", size, c, err)
		}
		r, err := b.Media().Open(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, body) || r.Close() != nil {
			t.Errorf("of %d bytes %d came back (%v)", size, len(got), err)
		}
		if loaded, err := b.Load(ctx, c); err != nil || !bytes.Equal(loaded.Data, body) {
			t.Errorf("of %d bytes %d were loaded (%v)", size, len(loaded.Data), err)
		}
	}
	if _, err := b.Media().Open(ctx, event.Content{Ref: "nothing"}); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("open of what is not there: %v, want ErrNotFound", err)
	}
	broken := errors.New("the sender went away")
	if _, err := b.Media().Store(ctx, "image/png", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("store of a broken body: %v", err)
	}
	inline := event.Content{MediaType: "text/plain", Data: []byte("hi")}
	if r, err := b.Media().Open(ctx, inline); err != nil {
		t.Error(err)
	} else if got, _ := io.ReadAll(r); string(got) != "hi" {
		t.Errorf("an inline body came back as %q", got)
	}
}

// tail runs Tail and returns what it shows, once it is sure to see everything.
func tail(t *testing.T, b *bus.Bus, o bus.TailOptions) <-chan bus.Record {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended, seen := make(chan struct{}), make(chan error, 1), make(chan bus.Record, 4096)
	o.Ready = func() { close(ready) }
	go func() { ended <- b.Tail(ctx, o, func(r bus.Record) { seen <- r }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("tail: %v", err)
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("tail never became ready")
	}
	return seen
}

func tailAfterCommit(t *testing.T, b *bus.Bus) {
	ctx, n := within(t), 400
	seen := tail(t, b, bus.TailOptions{Streams: []bus.Stream{bus.Inbounds}})
	publish(t, b, Outbound("web", "l1", 1)) // of another stream
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := b.Publish(ctx, Inbound("sip", "l1", i)); err != nil {
				t.Error(err)
			}
		})
	}
	defer all.Wait()
	for i := range n {
		var r bus.Record
		select {
		case r = <-seen:
		case <-ctx.Done():
			t.Fatalf("saw %d of %d", i, n)
		}
		if r.Seq != uint64(i+1) || r.Time.IsZero() {
			t.Fatalf("saw sequence %d at %s, want %d", r.Seq, r.Time, i+1)
		}
		stored, err := b.At(ctx, bus.Inbounds, r.Seq)
		if err != nil || stored.Event.EventID() != r.Event.EventID() {
			t.Fatalf("saw %s at %d; stored is %+v (%v)", r.Event.EventID(), r.Seq, stored.Event, err)
		}
	}
}

func signals(t *testing.T, b *bus.Bus) {
	ctx := within(t)
	seen := tail(t, b, bus.TailOptions{Signals: true})
	e := event.Typing{
		Connector: "sip", Lane: "l1", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Sender: "sip:ann@example.com", Recipient: "sip:lobby@example.com", Active: true, Refresh: time.Minute,
	}
	if err := b.Signal(ctx, e); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-seen:
		if r.Event != e || r.Seq != 0 {
			t.Errorf("saw %+v, want %+v", r, e)
		}
	case <-ctx.Done():
		t.Fatal("the signal was not seen")
	}
	e.Lane = "l.1"
	if err := b.Signal(ctx, e); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("a signal with a dot in its lane: %v, want ErrInvalid", err)
	}
	st, err := b.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Streams {
		if s.Messages != 0 {
			t.Errorf("%s holds %d messages", s.Stream, s.Messages)
		}
	}
}

func stats(t *testing.T, b *bus.Bus) {
	for i := range 5 {
		publish(t, b, Inbound("sip", "l1", i))
	}
	publish(t, b, Outbound("web", "l1", 1))
	k := consume(t, b, bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds, MaxPending: 2})
	next(t, k)
	eventually(t, "two of five are handed out", func() bool {
		st, err := b.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Streams) != 4 || st.Streams[0].Messages != 5 || st.Streams[0].Last != 5 || st.Streams[0].Bytes == 0 ||
			st.Streams[1].Messages != 1 || st.IDs != 6 {
			t.Fatalf("got %+v", st)
		}
		return len(st.Consumers) == 1 && st.Consumers[0].AckPending == 2 && st.Consumers[0].Pending == 3
	})
	if err := b.Healthy(within(t)); err != nil {
		t.Errorf("healthy: %v", err)
	}
}
