package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/bustest"
	"parley.im/bus/event"
)

// A disk remembers of each file what was in it when it was synced: what a power
// cut leaves at least. The store on it never compacts, so all its syncs are
// those of the bus.
type disk struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (d *disk) sync(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return err
	}
	data, err := io.ReadAll(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		d.mu.Lock()
		d.files[f.Name()] = data
		d.mu.Unlock()
	}
	return err
}

// cut returns a folder with what a power cut at this moment leaves of dir.
func (d *disk) cut(t *testing.T, dir string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := t.TempDir()
	for name, data := range d.files {
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(left, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return left
}

// Whatever was answered is there after a power cut: events, large bodies, keys,
// and what a reader was handed.
func TestAPowerCutTakesNothingThatWasAnswered(t *testing.T) {
	d := &disk{files: map[string][]byte{}}
	bus.SetFsync(t, d.sync)
	dir := t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	ctx, stop := context.WithCancel(t.Context())
	a := newAnswered()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() { a.publish(ctx, t, b, g) })
	}
	all.Go(func() { a.set(ctx, t, b) })
	all.Go(func() { a.consume(ctx, t, b) })
	left := map[string]*answered{}
	for round := range 4 {
		a.wait(150 * (round + 1))
		want := a.copy()
		left[d.cut(t, dir)] = want
	}
	stop()
	all.Wait()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	bus.SetFsync(t, (*os.File).Sync)
	for dir, want := range left {
		want.check(t, dir)
	}
}

// answered is what the bus has promised to keep.
type answered struct {
	mu     sync.Mutex
	more   sync.Cond
	events map[string]bool // ids of Inbounds, stored or handed out
	keys   map[string]int  // the number of the last write of a key
}

func newAnswered() *answered {
	a := &answered{events: map[string]bool{}, keys: map[string]int{}}
	a.more.L = &a.mu
	return a
}

func (a *answered) event(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events[id] = true
	a.more.Broadcast()
}

// wait returns when there are n events.
func (a *answered) wait(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.events) < n {
		a.more.Wait()
	}
}

func (a *answered) copy() *answered {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &answered{events: maps.Clone(a.events), keys: maps.Clone(a.keys)}
}

func (a *answered) publish(ctx context.Context, t *testing.T, b *bus.Bus, g int) {
	for i := 0; ctx.Err() == nil; i++ {
		in := bustest.Inbound("sip", fmt.Sprint("lane", g), i)
		if i%20 == 19 {
			in.Data = []byte(strings.Repeat("large ", bus.MaxInline/5))
		}
		if _, err := b.Publish(t.Context(), in); err != nil {
			t.Error(err)
			return
		}
		a.event(in.ID)
	}
}

const keys = 7

// deletes tells whether the write of a number deletes its key.
func deletes(n int) bool { return n%5 == 4 }

func (a *answered) set(ctx context.Context, t *testing.T, b *bus.Bus) {
	k, err := b.Bucket(t.Context(), "keys")
	for n := 0; err == nil && ctx.Err() == nil; n++ {
		key := fmt.Sprint("key", n%keys)
		if deletes(n) {
			err = k.Delete(t.Context(), key)
		} else {
			_, err = k.Set(t.Context(), key, []byte(strconv.Itoa(n)))
		}
		a.mu.Lock()
		a.keys[key] = n
		a.mu.Unlock()
	}
	if err != nil {
		t.Error(err)
	}
}

func (a *answered) consume(ctx context.Context, t *testing.T, b *bus.Bus) {
	c, err := b.Consume(ctx, bus.ConsumeConfig{Name: "reader", Stream: bus.Inbounds})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for {
		m, err := c.Next(ctx)
		if err != nil {
			return
		}
		a.event(m.Event.EventID())
		_ = m.Ack()
	}
}

// check opens what a power cut left.
func (a *answered) check(t *testing.T, dir string) {
	b := open(t, bus.Config{Dir: dir})
	ctx := t.Context()
	there := map[string]bool{}
	err := b.Scan(ctx, bus.Inbounds, time.Time{}, func(r bus.Record) bool {
		there[r.Event.EventID()] = true
		e, err := b.At(ctx, bus.Inbounds, r.Seq)
		if in, ok := e.Event.(event.Inbound); err != nil || !ok {
			t.Errorf("%s: %v", r.Event.EventID(), err)
		} else if _, err := b.Load(ctx, in.Content); err != nil && a.events[in.ID] {
			t.Errorf("%s has lost its body: %v", in.ID, err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range a.events {
		if !there[id] {
			t.Errorf("%s was answered, or handed out, and is gone", id)
		}
	}
	k, err := b.Bucket(ctx, "keys")
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range a.keys {
		e, err := k.Get(ctx, key)
		got, _ := strconv.Atoi(string(e.Value))
		switch missing := errors.Is(err, bus.ErrNotFound); {
		case err != nil && !missing:
			t.Error(err)
		case missing && !deletes(n) && !deletes(n+keys): // the next write may have been under way
			t.Errorf("%s was set to %d and is gone", key, n)
		case !missing && got < n:
			t.Errorf("%s is %d again after %d", key, got, n)
		}
	}
	t.Logf("%d events and %d keys were answered, %d events are there", len(a.events), len(a.keys), len(there))
}

// A sync that fails is an error for those who wait for it. The kernel takes the
// pages for clean then, so the file is written anew before anything is answered.
func TestAFailedSyncIsNoPromise(t *testing.T) {
	d := &disk{files: map[string][]byte{}}
	var fails atomic.Bool
	var lied atomic.Int64 // syncs of the log that would have meant nothing
	torn := sync.Map{}
	bus.SetFsync(t, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		inode := info.Sys().(*syscall.Stat_t).Ino
		if fails.Load() && strings.HasSuffix(f.Name(), ".blk") {
			if held, err := os.Open(f.Name()); err == nil { // or another file would get its number
				if _, before := torn.LoadOrStore(inode, held); before {
					held.Close()
				}
			}
			return syscall.EIO
		}
		if _, bad := torn.Load(inode); bad {
			lied.Add(1)
			return nil
		}
		return d.sync(f)
	})
	t.Cleanup(func() {
		torn.Range(func(_, f any) bool { return f.(*os.File).Close() == nil })
	})
	dir := t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	a := newAnswered()
	publish := func(n int) error {
		in := bustest.Inbound("sip", "lane", n)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.Publish(ctx, in)
		if err == nil {
			a.event(in.ID)
		}
		return err
	}
	if err := publish(1); err != nil {
		t.Fatal(err)
	}
	c, err := b.Consume(t.Context(), bus.ConsumeConfig{Name: "reader", Stream: bus.Inbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fails.Store(true)
	if err := publish(2); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("with a sync that failed: %v", err)
	}
	fails.Store(false)
	for n := 2; n <= 3; n++ {
		for publish(n) != nil {
			if t.Context().Err() != nil {
				t.Fatal("storage did not recover")
			}
		}
	}
	for seq := uint64(1); seq <= 3; { // the reader has waited; nothing made it fail
		m, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Seq == seq {
			seq++
		}
	}
	left := d.cut(t, dir)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	bus.SetFsync(t, (*os.File).Sync)
	a.check(t, left)
	if n := lied.Load(); n > 0 {
		t.Errorf("%d syncs of a file were believed after one had failed", n)
	}
}

// A write that was given up may be in the log all the same. Repeated much later,
// when the server has forgotten its id, it is still the same event.
func TestAWriteOfUnknownOutcomeIsNotStoredTwice(t *testing.T) {
	const window = 100 * time.Millisecond // the shortest that the server takes
	bus.SetDedupeWindow(t, window)
	var fails atomic.Bool
	bus.SetFsync(t, func(f *os.File) error {
		if fails.Load() && strings.HasSuffix(f.Name(), ".blk") {
			return syscall.EIO
		}
		return f.Sync()
	})
	b := open(t, bus.Config{Dir: t.TempDir()})
	in := bustest.Inbound("sip", "lane", 1)
	fails.Store(true)
	if _, err := b.Publish(t.Context(), in); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("with a sync that failed: %v", err)
	}
	fails.Store(false)
	<-time.After(2 * window)
	for {
		seq, err := b.Publish(t.Context(), in)
		if err == nil {
			if last, err := b.LastSeq(t.Context(), bus.Inbounds); seq != 1 || last != 1 || err != nil {
				t.Errorf("it is stored at %d of %d: %v", seq, last, err)
			}
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("storage did not recover")
		}
	}
}
