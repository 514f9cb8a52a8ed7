//go:build linux && peers

package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// damages is how many damaged copies of a store are tried.
const damages = 40

// What a power cut or a bad disk can do to a store: the host starts and
// delivers what is left, in order and once, or says that it can't. Only damage
// to the log of Outbounds itself, or to the records of the lanes that wait, can
// cost messages.
func TestPeersADamagedStoreStartsOrSaysWhyNot(t *testing.T) {
	b := newBridge(t)
	var want []string // by bob's phone, which is off
	for i := range 60 {
		want = append(want, fmt.Sprintf("waits %02d", i))
		b.send("alice", "bob", want[i])
	}
	b.crash()
	whole := filepath.Join(b.dir, "whole")
	if err := os.Rename(filepath.Join(b.dir, "data"), whole); err != nil {
		t.Fatal(err)
	}
	for n := range damages {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			data := filepath.Join(b.dir, "data")
			if err := os.RemoveAll(data); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join(data, "jetstream"), os.DirFS(filepath.Join(whole, "jetstream"))); err != nil {
				t.Fatal(err)
			}
			what := damage(t, data, uint64(n))
			t.Log(what)
			h := *b
			h.t = t
			if !h.startsOrSays(data) {
				t.Logf("%s: it does not start, and says why: %s", what, h.tail(1))
				return
			}
			got := h.backlog()
			missing := len(want) - len(got)
			t.Logf("%d of %d come", len(got), len(want))
			if !isPartOf(got, want) {
				t.Errorf("%s: the phone shows %q", what, got)
			}
			if missing > 0 && !strings.Contains(what, "PARLEY_OUTBOUND/msgs/") && !strings.Contains(what, "KV_parley_deliver/msgs/") {
				t.Errorf("%s: %d messages are gone", what, missing)
			}
			h.kill()
		})
	}
}

// startsOrSays starts the host. It returns false if the host ended instead and
// named the store.
func (b *bridge) startsOrSays(data string) bool {
	b.t.Helper()
	b.proc = start(b.t, "parley", exec.Command(parley, "run", "--config", b.config))
	for line := ""; !strings.HasPrefix(line, "Parley is running"); {
		select {
		case <-b.done:
			if !strings.Contains(b.tail(5), data) {
				b.t.Errorf("it ended and did not name the store: %s", b.tail(20))
			}
			return false
		default:
			line = b.says(`^Parley is running|^parley: .*`)[0]
			if strings.HasPrefix(line, "parley: ") {
				b.ends()
			}
		}
	}
	return true
}

// backlog switches bob's phone on and returns what comes until nothing waits.
func (b *bridge) backlog() []string {
	b.t.Helper()
	phone := newUDPPhone(b, "bob")
	idle := []string{`parley_outbound_held{connector="sip"} 0`, `parley_lanes_parked{connector="sip"} 0`, `parley_consumer_pending{consumer="deliver-sip"} 0`}
	for end := time.Now().Add(patience); ; <-time.After(50 * time.Millisecond) {
		text, err := b.metrics(b.t.Context())
		if err == nil && !slices.ContainsFunc(idle, func(line string) bool { return !strings.Contains(text, line) }) {
			return phone.texts()
		}
		if time.Now().After(end) {
			b.t.Errorf("it never becomes idle: %v; the phone shows %d", err, len(phone.texts()))
			return phone.texts()
		}
	}
}

// isPartOf tells whether got is what is left of want, in order.
func isPartOf(got, want []string) bool {
	for _, g := range got {
		i := slices.Index(want, g)
		if i < 0 {
			return false
		}
		want = want[i+1:]
	}
	return true
}

// damage changes one file of a store, as seed says.
func damage(t *testing.T, data string, seed uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	var files []string
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if i, bad := d.Info(); err == nil && bad == nil && d.Type().IsRegular() && i.Size() > 0 && strings.Contains(path, "/streams/") {
			files = append(files, path)
			if strings.HasSuffix(path, ".blk") { // where the messages are
				files = append(files, path, path, path)
			}
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	slices.Sort(files)
	path := files[r.IntN(len(files))]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := r.IntN(len(text))
	name := strings.TrimPrefix(path, data)
	if r.IntN(2) == 0 {
		if err := os.Truncate(path, int64(at)); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s of %d bytes, cut at %d", name, len(text), at)
	}
	text[at] ^= 1 << r.IntN(8)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s, a bit of byte %d of %d flipped", name, at, len(text))
}
