package bus_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/bustest"
	"parley.im/bus/event"
)

const canary = "canary-5f1c"

// traces returns the files below dir that hold the canary, in clear or as the
// key of a bucket.
func traces(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(canary)) || bytes.Contains(b, []byte(hex.EncodeToString([]byte(canary)))) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustDo(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestOfWhatIsErasedNoByteIsLeft(t *testing.T) {
	dir := t.TempDir()
	c := bus.Config{Dir: dir}
	b := open(t, c)
	for i := range 40 {
		in, out := bustest.Inbound("sip", "l1", i), bustest.Outbound("web", "l1", i)
		if i%4 == 3 { // the last one, too
			in.Sender, in.SenderName, in.Data = "sip:"+canary+"@x", canary, []byte("words of "+canary)
			if i == 7 {
				in.Data = bytes.Repeat([]byte(canary), bus.MaxInline/8)
			}
			out.Envelope, out.Content = in.Envelope, in.Content
		}
		st := out.Status(event.Failed, out.Time)
		for _, e := range []event.Event{in, out, st, event.Dead{DeadID: event.DeadID(out.ID), Outbound: out}} {
			_, err := b.Publish(t.Context(), e)
			mustDo(t, "publish", err)
		}
	}
	k, err := b.Bucket(t.Context(), "people")
	mustDo(t, "bucket", err)
	for i := range 5 { // former values
		for _, key := range []string{"x/" + canary, "y", "deleted/" + canary} {
			_, err := k.Set(t.Context(), key, fmt.Appendf(nil, "%s %d", canary, i))
			mustDo(t, "set", err)
		}
	}
	_, err = k.Set(t.Context(), "y", []byte("nobody"))
	mustDo(t, "set", err)
	mustDo(t, "delete", k.Delete(t.Context(), "deleted/"+canary))
	reader, err := b.Consume(t.Context(), toWeb)
	mustDo(t, "consume", err)
	t.Cleanup(func() { reader.Close() })
	if len(traces(t, dir)) < 5 {
		t.Fatalf("only in %q; the test looks for nothing", traces(t, dir))
	}

	done, err := b.Erase(t.Context(), bus.Erasure{
		Event: func(_ bus.Stream, r bus.Record) bool {
			switch e := r.Event.(type) {
			case event.Inbound:
				return e.SenderName == canary
			case event.Outbound:
				return e.SenderName == canary
			case event.Status:
				return e.Sender == "sip:"+canary+"@x"
			case event.Dead:
				return e.SenderName == canary
			}
			return false
		},
		Entry: func(bucket string, e bus.Entry) bool {
			return bucket == "people" && bytes.Contains([]byte(e.Key), []byte(canary))
		},
	})
	mustDo(t, "erase", err)
	if done.Events[bus.Inbounds] != 10 || done.Events[bus.Deads] != 10 || done.Entries["people"] != 2 || done.Media != 3 {
		t.Errorf("erased %+v", done)
	}
	n, err := b.Scrub(t.Context())
	mustDo(t, "scrub", err)
	if found := traces(t, dir); len(found) > 0 || n < 40 {
		t.Fatalf("%d records overwritten; while it runs it is still in %q", n, found)
	}

	var seqs []uint64
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(seqs) < 30 {
		m, err := reader.Next(ctx)
		mustDo(t, "read on", err)
		if m.Event.(event.Outbound).SenderName == canary || len(seqs) > 0 && m.Seq <= seqs[len(seqs)-1] {
			continue // offered before it was erased, or again
		}
		seqs = append(seqs, m.Seq)
	}
	reader.Close()
	next := func(i int) {
		t.Helper()
		seq, err := b.Publish(t.Context(), bustest.Inbound("sip", "l1", i))
		if err != nil || seq != uint64(i+1) {
			t.Fatalf("the next Inbound got %d, %v; want %d", seq, err, i+1)
		}
	}
	next(40)
	for round := range 2 {
		mustDo(t, "close", b.Close())
		if found := traces(t, dir); len(found) > 0 {
			t.Fatalf("after a stop it is in %q", found)
		}
		if round == 1 { // what the server knows besides the records
			for _, s := range bus.Streams() {
				removeAll(t, filepath.Join(dir, "jetstream", "PARLEY", "streams", string(s), "msgs", "index.db"))
			}
		}
		b = open(t, c)
		next(41 + round)
		for i := range 40 {
			_, err := b.At(t.Context(), bus.Inbounds, uint64(i+1))
			if gone := i%4 == 3; gone != errors.Is(err, bus.ErrNotFound) || !gone && err != nil {
				t.Fatalf("round %d, at %d: %v", round, i+1, err)
			}
		}
		k, err := b.Bucket(t.Context(), "people")
		mustDo(t, "bucket", err)
		if e, err := k.Get(t.Context(), "y"); err != nil || string(e.Value) != "nobody" {
			t.Errorf("another's entry: %q, %v", e.Value, err)
		}
		if _, err := k.Get(t.Context(), "x/"+canary); !errors.Is(err, bus.ErrNotFound) {
			t.Errorf("the erased entry: %v", err)
		}
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	mustDo(t, "remove", os.Remove(path))
}

func TestWhatIsTrimmedIsScrubbedToo(t *testing.T) {
	dir := t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	for i := range 10 {
		in := bustest.Inbound("sip", "l1", i)
		if i < 9 {
			in.Data = []byte(canary)
		}
		_, err := b.Publish(t.Context(), in)
		mustDo(t, "publish", err)
	}
	settle(t, b, routing, 9).Close()
	if first := trimmed(t, b, later(0)); first[bus.Inbounds] != 10 {
		t.Fatalf("%v", first)
	}
	if n, err := b.Scrub(t.Context()); err != nil || n < 9 || len(traces(t, dir)) > 0 {
		t.Errorf("%d records, %v, in %q", n, err, traces(t, dir))
	}
	if n, err := b.Scrub(t.Context()); err != nil || n > 2 { // the probe's
		t.Errorf("a second time %d records, %v", n, err)
	}
	if r, err := b.At(t.Context(), bus.Inbounds, 10); err != nil || r.Event.(event.Inbound).NativeID != "9" {
		t.Errorf("what is left: %+v, %v", r, err)
	}
}

// What is published while the store is scrubbed is stored or refused, never
// lost or stored twice.
func TestTakingGoesOnWhileTheStoreIsScrubbed(t *testing.T) {
	b := open(t, bus.Config{Dir: t.TempDir()})
	stop, done := make(chan struct{}), make(chan map[string]uint64)
	go func() {
		stored := map[string]uint64{}
		defer func() { done <- stored }()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			e := bustest.Inbound("sip", "l1", i)
			if seq, err := b.Publish(t.Context(), e); err == nil {
				stored[e.ID] = seq
			} else if !errors.Is(err, bus.ErrUnavailable) {
				t.Errorf("refused with %v", err)
			}
		}
	}()
	for range 5 {
		_, err := b.Scrub(t.Context())
		mustDo(t, "scrub", err)
	}
	close(stop)
	stored, seen := <-done, map[string]bool{}
	mustDo(t, "scan", b.Scan(t.Context(), bus.Inbounds, time.Time{}, func(r bus.Record) bool {
		id := r.Event.EventID()
		if seen[id] {
			t.Errorf("%s is stored twice", id)
		}
		seen[id] = true
		if want, ok := stored[id]; ok && want != r.Seq {
			t.Errorf("%s at %d; want %d", id, r.Seq, want)
		}
		delete(stored, id)
		return true
	}))
	if len(stored) > 0 || len(seen) == 0 {
		t.Errorf("%d of %d are lost", len(stored), len(seen))
	}
}

func FuzzABlock(f *testing.F) {
	dir := f.TempDir()
	b, err := bus.Open(context.Background(), bus.Config{Dir: dir})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if _, err := b.Publish(context.Background(), bustest.Inbound("sip", "l1", i)); err != nil {
			f.Fatal(err)
		}
	}
	b.Close()
	data, err := os.ReadFile(filepath.Join(dir, "jetstream", "PARLEY", "streams", "PARLEY_INBOUND", "msgs", "1.blk"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(binary.LittleEndian.AppendUint32(nil, 1<<31))
	f.Fuzz(func(t *testing.T, data []byte) {
		out := bytes.Clone(data)
		n, err := bus.ScrubBlock(out, data, "PARLEY_INBOUND", 1, func(seq uint64) bool { return seq == 2 })
		if err != nil {
			return
		}
		again, err := bus.ScrubBlock(nil, out, "PARLEY_INBOUND", 1, func(seq uint64) bool { return seq == 2 })
		if err != nil || again != 0 || len(out) != len(data) {
			t.Errorf("%d overwritten, then %d, %v", n, again, err)
		}
	})
}
