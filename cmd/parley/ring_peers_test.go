//go:build peers

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ringRoom = `[plugins.matrix]
homeserver   = %q
domain       = "hs.test"
registration = %q

[[route]]
name    = "ring"
mode    = "room"
sip     = "sip:ring@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["matrix:r/one:hs.test", "matrix:r/two:hs.test"]

[plugins.web]`

// newRing starts two bridges of two teams at one homeserver, each with an
// application service of its own. Both join the same two rooms.
func newRing(t *testing.T) (first, second *bridge, hs *dendrite) {
	t.Helper()
	dir := shortDir(t)
	var bridges []*bridge
	var registrations []string
	for _, name := range []string{"parley", "other"} {
		registration := filepath.Join(dir, name+".yaml")
		b := writeMatrixBridge(t, ringRoom, registration)
		text, err := os.ReadFile(registration)
		if err != nil {
			t.Fatal(err)
		}
		own := strings.NewReplacer("_parley_", "_"+name+"_", "id: parley", "id: "+name).Replace(string(text))
		if err := os.WriteFile(registration, []byte(own), 0o600); err != nil {
			t.Fatal(err)
		}
		bridges, registrations = append(bridges, b), append(registrations, registration)
	}
	hs = startDendrite(t, "hs.test", strings.Join(registrations, `", "`))
	return bridges[0], bridges[1], hs
}

// What a phone of one bridge says is in each room once and at each phone of both
// bridges once, although each bridge hears the other in both rooms.
func TestPeerTwoBridgesInARingMakeOneCopyEach(t *testing.T) {
	first, second, hs := newRing(t)
	mia := hs.human("mia", "Mia")
	one, two := mia.create("one"), mia.create("two")
	for _, b := range []*bridge{first, second} {
		b.edit("@HOMESERVER@", hs.url)
		b.start()
		b.says(`homeserver reached`)
	}
	near, far := newUDPPhone(first, "bob"), newUDPPhone(second, "bob")
	const texts = 5
	for i := range texts {
		first.send("alice", "ring", fmt.Sprintf("first %d", i))
		mia.sees(one, fmt.Sprintf("first %d", i)) // one after another: the rooms see both bridges' people
		mia.sees(two, fmt.Sprintf("first %d", i))
		far.sees(fmt.Sprintf("first %d", i))
		second.send("alice", "ring", fmt.Sprintf("second %d", i))
		mia.sees(one, fmt.Sprintf("second %d", i))
		mia.sees(two, fmt.Sprintf("second %d", i))
		near.sees(fmt.Sprintf("second %d", i))
	}
	// Rooms and bridges keep the order: whatever of these goes round comes before
	// what is said now.
	first.send("alice", "ring", "the last of the first")
	far.sees("the last of the first")
	second.send("alice", "ring", "the last of the second")
	near.sees("the last of the second")
	mia.sees(one, "the last of the second")
	mia.sees(two, "the last of the second")
	for who, got := range map[string][]string{
		"room one": mia.said(one), "room two": mia.said(two), "bob's phone at the first": near.texts(), "bob's phone at the second": far.texts(),
	} {
		times := map[string]int{}
		for _, s := range got {
			_, text, found := strings.Cut(s, "0.0.1:hs.test: ")
			if !found {
				text = s
			}
			times[text]++
		}
		for text, n := range times {
			if n != 1 {
				t.Errorf("%s has %q %d times", who, text, n)
			}
		}
		if len(times) != 2*texts+2 {
			t.Errorf("%s has %d texts, want %d: %q", who, len(times), 2*texts+2, got)
		}
	}
}
