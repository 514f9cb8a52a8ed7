package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIndexForgetsTheOldest(t *testing.T) {
	x := newIndex(3, time.Hour)
	now := time.Now()
	x.load(Inbounds, "too old", 1, now.Add(-2*time.Hour))
	x.load(Inbounds, "a", 2, now.Add(-3*time.Minute))
	x.load(Outbounds, "b", 1, now.Add(-4*time.Minute))
	x.load(Inbounds, "c", 3, now.Add(-2*time.Minute))
	x.load(Statuses, "d", 1, now.Add(-time.Minute))
	for id, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true, "too old": false} {
		if _, ok := x.lookup(id); ok != want {
			t.Errorf("%s is known: %v, want %v", id, ok, want)
		}
	}
	if x.size() != 3 {
		t.Errorf("%d ids, want 3", x.size())
	}
}

func TestIndexStaysWithinItsLimit(t *testing.T) {
	x := newIndex(1000, time.Hour)
	for i := range 20_000 {
		x.load(Streams()[i%4], fmt.Sprint(i), uint64(i), time.Now())
	}
	kept := 0
	for _, q := range x.ages {
		kept += cap(q.items)
	}
	if x.size() != 1000 || kept > 20_000 {
		t.Errorf("%d ids and room for %d; want 1000 ids", x.size(), kept)
	}
	if seq, ok := x.lookup("19999"); !ok || seq != 19999 {
		t.Errorf("the last is %d, %v", seq, ok)
	}
}

func TestIndexFlight(t *testing.T) {
	x := newIndex(10, time.Hour)
	_, f, first := x.claim("a")
	if _, g, again := x.claim("a"); !first || again || f != g {
		t.Fatal("the second caller did not join the first")
	}
	if _, ok := x.lookup("a"); ok {
		t.Error("an id on its way counts as stored")
	}
	x.settle(Inbounds, "a", 0, ErrFull)
	if <-f.done; f.err != ErrFull {
		t.Errorf("the flight ended with %v", f.err)
	}
	_, f, _ = x.claim("a")
	x.settle(Inbounds, "a", 7, nil)
	if <-f.done; f.seq != 7 || f.err != nil {
		t.Errorf("the flight ended with %d, %v", f.seq, f.err)
	}
	if seq, f, _ := x.claim("a"); seq != 7 || f != nil {
		t.Errorf("claimed again: %d, %v", seq, f)
	}
}

// TestKeysAreAnOrderedSet compares keys with a plain map.
func TestKeysAreAnOrderedSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := newKeys(), map[string]uint64{}
		key := rapid.StringMatching(`[ab.ß]{1,4}`)
		for revision := range rapid.Uint64Range(1, 60).Draw(t, "steps") {
			k := key.Draw(t, "key")
			if rapid.Bool().Draw(t, "put") {
				x.put(k, revision+1)
				model[k] = revision + 1
			} else {
				x.drop(k, x.revision(k))
				delete(model, k)
			}
		}
		prefix, after := rapid.StringMatching(`[ab]{0,2}`).Draw(t, "prefix"), rapid.StringMatching(`[ab.]{0,3}`).Draw(t, "after")
		limit := rapid.IntRange(0, 5).Draw(t, "limit")
		var want []string
		for k := range model {
			if strings.HasPrefix(k, prefix) && k > after {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		if limit > 0 && len(want) > limit {
			want = want[:limit]
		}
		if got := x.list(prefix, after, limit); !slices.Equal(got, want) {
			t.Fatalf("%d of prefix %q after %q: got %q, want %q", limit, prefix, after, got, want)
		}
	})
}

func TestKeysHearOfOthers(t *testing.T) {
	x := newKeys()
	x.put("a", 5)
	x.dropHere("a", 5) // deleted by this host at 6
	x.put("a", 5)      // the log tells late of the write
	if got := x.list("", "", 0); len(got) != 0 {
		t.Errorf("a deleted key came back: %q", got)
	}
	x.heard("a", 6)
	x.put("a", 7)
	if got := x.list("", "", 0); len(got) != 1 || x.revision("a") != 7 {
		t.Errorf("a key that was written anew: %q at %d", got, x.revision("a"))
	}
	x.heard("a", 6) // again, late
	if x.revision("a") != 7 {
		t.Error("an old deletion removed a newer key")
	}
}

func TestKeyCodeKeepsOrderAndPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if strings.Compare(a, b) != strings.Compare(encodeKey(a), encodeKey(b)) {
			t.Fatalf("the order of %q and %q is lost", a, b)
		}
		if strings.HasPrefix(a, b) != strings.HasPrefix(encodeKey(a), encodeKey(b)) {
			t.Fatalf("the prefix of %q and %q is lost", a, b)
		}
		if back, ok := decodeKey(encodeKey(a)); !ok || back != a {
			t.Fatalf("%q came back as %q", a, back)
		}
	})
}
