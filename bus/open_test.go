package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"parley.im/bus"
	"parley.im/bus/bustest"
	"parley.im/bus/event"
)

func TestOpenRefuses(t *testing.T) {
	taken := t.TempDir()
	open(t, bus.Config{Dir: taken})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		config bus.Config
		want   error // nil: any
		text   string
	}{
		{"a folder that another has open", bus.Config{Dir: taken}, bus.ErrLocked, "bus.data"},
		{"a file as its folder", bus.Config{Dir: filepath.Join(file, "bus")}, syscall.ENOTDIR, "bus.data"},
		{"no folder", bus.Config{}, nil, "bus.data"},
		{"a durability it does not know", bus.Config{Dir: t.TempDir(), Durability: "async"}, nil, "fsync, interval or memory"},
		{"an external server of which nothing is proven", bus.Config{URL: "nats://127.0.0.1:1"}, bus.ErrUnproven, "bus.trust_sync"},
		{"an external server that is not there", bus.Config{URL: "nats://127.0.0.1:1", TrustSync: true}, nil, "127.0.0.1:1"},
	} {
		b, err := bus.Open(context.Background(), tc.config)
		if err == nil {
			b.Close()
			t.Errorf("%s: opened", tc.name)
			continue
		}
		if tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %q, want %v and a word about %s", tc.name, err, tc.want, tc.text)
		}
	}
}

// TestOpenReadOnly opens a folder that this user may not write to. Root may
// write everywhere, so the thread that opens gives its file access away; it is
// not unlocked, and ends with its goroutine.
func TestOpenReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		if os.Geteuid() == 0 {
			runtime.LockOSThread()
			if err := syscall.Setfsuid(65534); err != nil {
				opened <- err
				return
			}
		}
		b, err := bus.Open(context.Background(), bus.Config{Dir: dir})
		if err == nil {
			b.Close()
		}
		opened <- err
	}()
	err := <-opened
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "writable for the user that runs Parley") {
		t.Errorf("got %v, want a permission error that says what to do", err)
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, bus.Config{Dir: dir})
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v (%v), want 0700", st.Mode(), err)
	}
}

func TestBelowTheReserve(t *testing.T) {
	ctx := context.Background()
	b := open(t, bus.Config{Dir: t.TempDir(), Reserve: 1 << 60})
	in := bustest.Inbound("sip", "l1", 1)
	if _, err := b.Publish(ctx, in); !errors.Is(err, bus.ErrFull) {
		t.Errorf("an Inbound: got %v, want ErrFull", err)
	}
	if err := b.Healthy(ctx); !errors.Is(err, bus.ErrFull) {
		t.Errorf("healthy: got %v, want ErrFull", err)
	}
	out := bustest.Outbound("web", "l1", 1)
	for _, e := range []event.Event{out, out.Status(event.Failed, out.Time), event.Dead{DeadID: "d", Outbound: out}} {
		if _, err := b.Publish(ctx, e); err != nil {
			t.Errorf("%s: %v", e.Type(), err)
		}
	}
}

func TestStreamLimit(t *testing.T) {
	ctx := context.Background()
	b := open(t, bus.Config{Dir: t.TempDir(), StreamBytes: 64 << 10})
	var err error
	stored := 0
	for ; err == nil; stored++ {
		e := bustest.Inbound("sip", "l1", stored)
		e.Data = make([]byte, 8<<10)
		_, err = b.Publish(ctx, e)
	}
	if stored < 3 || stored > 9 || !errors.Is(err, bus.ErrFull) {
		t.Errorf("after %d events of 8 KiB in 64 KiB: got %v, want ErrFull", stored, err)
	}
	last, _ := b.LastSeq(ctx, bus.Inbounds)
	if last != uint64(stored-1) {
		t.Errorf("%d were accepted, %d are stored", stored-1, last)
	}
}
