package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

// push pushes events of bob's as one transaction, once. It tells whether they
// were taken.
func (b *bridge) push(evs ...matrixtest.Event) bool {
	b.t.Helper()
	for i := range evs {
		evs[i].Type, evs[i].Sender = "m.room.message", "@bob:hs.org"
	}
	body, err := json.Marshal(map[string]any{"events": evs})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.hs.Push(b.t.Context(), b.door.Client(), b.door.URL, matrixtest.Transaction{ID: evs[0].ID, Body: body}) == nil
}

// fileOf is the event of a file that was sent some time ago.
func fileOf(room, id, uri string, age time.Duration) matrixtest.Event {
	return matrixtest.Event{
		ID: "$" + id, Room: room, Time: time.Now().Add(-age).UnixMilli(),
		Content: map[string]any{"msgtype": "m.file", "body": id, "url": uri},
	}
}

// fullDisk is a host's Media that keeps nothing.
type fullDisk struct{ sdk.Media }

func (fullDisk) Store(_ context.Context, _ string, r io.Reader) (event.Content, error) {
	_, err := io.Copy(io.Discard, r)
	return event.Content{}, errors.Join(err, errors.New("the disk is full"))
}

// What a file on a server elsewhere does holds up what is said in all rooms for
// a moment only.
func TestAFileThatCanNotBeFetchedIsNamed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(*matrixtest.Server, *bridge)
		age   time.Duration
		taken bool
	}{
		{"it is not there", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/download/", 1, 404, "M_NOT_FOUND") }, 0, true},
		{"its server is away, just now", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/download/", 1, 502, "M_UNKNOWN") }, 0, false},
		{"its server is away for a while", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/download/", 1, 502, "M_UNKNOWN") }, time.Hour, true},
		{"its server is away, and it claims to be of tomorrow", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/download/", 1, 502, "M_UNKNOWN") }, -time.Hour, true},
		{"a proxy answers, just now", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/download/", 1, 504, "") }, 0, false},
		{"a proxy answers for a while", func(hs *matrixtest.Server, _ *bridge) { hs.FailAt("/download/", 1, 504, "") }, time.Hour, true},
		{"it takes too long, just now", slow, 0, false},
		{"it takes too long for a while", slow, time.Hour, true},
		{"it breaks off, just now", func(hs *matrixtest.Server, _ *bridge) { hs.BreakFiles() }, 0, false},
		{"it breaks off for a while", func(hs *matrixtest.Server, _ *bridge) { hs.BreakFiles() }, time.Hour, true},
		{"the host keeps nothing", func(_ *matrixtest.Server, b *bridge) { b.host.media = fullDisk{b.Backend.Media()} }, time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs := newHomeserver(t)
			bob := hs.Human("bob", "")
			b := start(t, hs, sdktest.NewBackend())
			room := direct(t, hs, bob)
			uri := bob.Upload(matrixtest.File{Type: "text/plain", Data: []byte("data")})
			tc.fault(hs, b)
			taken := b.push(fileOf(room, "x", uri, tc.age))
			var got []string
			for _, in := range b.Inbounds() {
				got = append(got, string(in.Data))
			}
			want := []string{"[file: x]"}
			if !tc.taken {
				want = nil
			}
			if taken != tc.taken || !slices.Equal(got, want) {
				t.Errorf("taken: %v; came in %q", taken, got)
			}
		})
	}
}

func slow(hs *matrixtest.Server, b *bridge) {
	hs.StallAt("/download/")
	b.fetchFor = 300 * time.Millisecond
}

func TestFilesOfPeopleWaitForAHomeserverThatIsAway(t *testing.T) {
	hs := newHomeserver(t)
	hs.URL = "http://127.0.0.1:1" // nobody listens there
	b := open(t, hs, sdktest.NewBackend())
	if b.push(fileOf("!room", "x", "mxc://hs.org/x", time.Hour)) || len(b.Inbounds()) != 0 {
		t.Errorf("came in: %+v", b.Inbounds())
	}
}

// A route that names a room on a server that is away is no reason to hold up
// what is said in others.
func TestAnAliasThatCanNotBeResolvedHoldsUpNoOtherRoom(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/far:away.org", "matrix:r/ops:hs.org")
	ops := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	bob.Invite(ops, hs.Bot())
	room := direct(t, hs, bob)
	b.settled()
	hs.FailAt("/directory/room/%23far", 1000, 502, "M_UNKNOWN")
	b.places.askAgain()
	said := func(at, id string, age time.Duration) matrixtest.Event {
		return matrixtest.Event{
			ID: "$" + id, Room: at, Time: time.Now().Add(-age).UnixMilli(), Content: map[string]any{"msgtype": "m.text", "body": id},
		}
	}
	for _, tc := range []struct {
		name  string
		ev    matrixtest.Event
		taken bool
		to    event.Address
	}{
		{"in another room of a route", said(ops, "a", 0), true, "matrix:r/ops:hs.org"},
		{"in a room that may be the one, just now", said(room, "b", 0), false, ""},
		{"in a room that may be the one, a while ago", said(room, "c", time.Hour), true, "sip:alice@example.com"},
	} {
		n := len(b.Inbounds())
		taken := b.push(tc.ev)
		in := b.Inbounds()[n:]
		if taken != tc.taken || taken && (len(in) != 1 || in[0].Recipient != tc.to) {
			t.Errorf("%s: taken: %v; came in %+v", tc.name, taken, in)
		}
	}
}

// Each repetition of a transaction comes further than the last, however many of
// its files can't be fetched.
func TestWhatATransactionHasDoneIsNotDoneAgain(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	b.settled()
	var evs []matrixtest.Event
	for i := range 3 {
		uri := bob.Upload(matrixtest.File{Type: "text/plain", Data: []byte("data")})
		evs = append(evs, fileOf(room, fmt.Sprint("x", i), uri, 0))
	}
	hs.FailAt(evs[1].Content["url"].(string)[len("mxc://"):], 2, 502, "M_UNKNOWN")
	for i, want := range []bool{false, false, true} {
		if taken := b.push(evs...); taken != want {
			t.Fatalf("the %dth time taken: %v", i+1, taken)
		}
	}
	if n := b.asked("/download/"); n != 5 || len(b.Inbounds()) != 3 {
		t.Errorf("%d came in; files were asked for %d times", len(b.Inbounds()), n)
	}
}
