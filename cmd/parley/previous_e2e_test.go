package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each release leaves a store here, as its host had it when it was killed:
//
//	go test ./cmd/parley -run TestAStoreOfAnEarlierVersion -store.leave v0.1
var leave = flag.String("store.leave", "", "write the store of this `version` into testdata/stores")

// forLong keeps what waits in a store of long ago.
var forLong = []string{`expiry = "7d"`, `expiry = "36000d"`, `age    = "30d"`, `age    = "36500d"`, `dead   = "90d"`, `dead   = "36500d"`}

const waiting = 20 // messages for bob in each of the stores

func TestAStoreOfAnEarlierVersionIsReadWithItsBacklog(t *testing.T) {
	t.Parallel()
	if *leave != "" {
		leaveStore(t, filepath.Join("testdata", "stores", *leave+".tar.gz"))
	}
	stores, err := filepath.Glob(filepath.Join("testdata", "stores", "*.tar.gz"))
	if err != nil || len(stores) == 0 {
		t.Fatalf("there are no stores: %v", err)
	}
	for _, path := range stores {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b := writeBridge(t, forLong...)
			unpack(t, path, filepath.Join(b.dir, "data"))
			b.start()
			bob := newUDPPhone(b, "bob")
			var want []string
			for i := range waiting {
				want = append(want, fmt.Sprintf("waits %02d", i))
			}
			bob.sees(want[waiting-1])
			b.send("alice", "bob", "and a new one") // whatever came twice came before it
			bob.sees("and a new one")
			got := slices.DeleteFunc(bob.texts(), func(s string) bool { // of the room, and about the dead letter
				return strings.HasPrefix(s, "settled") || strings.HasPrefix(s, "Not delivered")
			})
			if !slices.Equal(got, append(want, "and a new one")) {
				t.Errorf("the phone shows %q", got)
			}
			joinChat(t, b.web, "late").sees("settled 4", nil)
			if out, bad, code := b.cli("", "dead", "list", "--config", b.config); code != 0 || !strings.Contains(out, "application/x-odd") {
				t.Errorf("dead letters: %d, %q, %q", code, out, bad)
			}
		})
	}
}

// leaveStore packs the store of a host that was killed with something of
// everything in it.
func leaveStore(t *testing.T, path string) {
	t.Helper()
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	for i := range 5 {
		b.send("alice", "lobby", fmt.Sprint("settled ", i))
	}
	ann.sees("settled 4", nil)
	b.sends("bob", "sip:web-nobody@127.0.0.1", "text/plain", "??")
	b.says(`msg=failed connector=web`)
	for i := range waiting {
		b.send("alice", "bob", fmt.Sprintf("waits %02d", i))
	}
	b.crash()
	pack(t, filepath.Join(b.dir, "data"), path)
}

func pack(t *testing.T, dir, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		inside, _ := filepath.Rel(dir, name) // below dir
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(inside), Mode: 0o600, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, h.Name, string(data))
	}
}
