package web

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestResumeMissesNothing(t *testing.T) {
	s := newState()
	c := start(t, s, "")
	eve := c.join("eve")
	page := eve.listen("0", "")
	page.until("ready")
	c.deliver(from(alice, "web:room/lobby", "d0", "seen"))
	seen := page.until("message").id
	page.close()
	m := eve.say("r:lobby", "while away")
	conv := eve.open(string(alice))
	c.deliver(from(alice, "web:u/eve", "d1", "direct"))
	<-c.host.put
	c.Close(t.Context())

	eve.chat = start(t, s, "")
	if err := eve.store.mark(t.Context(), m.Conv, m.Seq, markDelivered, ""); err != nil {
		t.Fatal(err)
	}
	page = eve.listen("0", seen)
	got := map[string]string{}
	for {
		e := <-page.events
		if e.kind == "ready" {
			break
		}
		if e.kind == "message" {
			m := parse[message](t, e.data)
			got[m.Conv+" "+m.Text] = m.Mark
		}
	}
	want := map[string]string{"r:lobby while away": markDelivered, conv + " direct": ""}
	if len(got) != len(want) || got["r:lobby while away"] != markDelivered {
		t.Errorf("resumed with %v, want %v", got, want)
	}
	eve.deliver(from(alice, "web:room/lobby", "d2", "live"))
	if m := parse[message](t, page.until("message").data); m.Text != "live" {
		t.Errorf("then came %+v", m)
	}
}

// Pages that come and go while many speak at once see every message: an event
// id never runs ahead of what was shown.
func TestResumeUnderLoad(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	const speakers, each = 8, 60
	var wg sync.WaitGroup
	for i := range speakers {
		wg.Go(func() {
			for j := range each {
				if _, err := c.Deliver(t.Context(), from(alice, "web:room/lobby", fmt.Sprint(i, "-", j), fmt.Sprint(i, "-", j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := map[string]bool{}
	last := "0"
	for round := 0; len(seen) < speakers*each; round++ {
		if round > 1000 {
			t.Fatalf("only %d of %d came", len(seen), speakers*each)
		}
		page := eve.listen("0", last)
	reading:
		for range 7 {
			if len(seen) == speakers*each {
				break
			}
			select {
			case <-page.done: // too slow for all that comes: it was dropped, and resumes
				if len(page.events) == 0 {
					break reading
				}
			case e := <-page.events:
				if e.id != "" {
					last = e.id
				}
				if e.kind == "message" {
					seen[parse[message](t, e.data).Text] = true
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("only %d of %d came", len(seen), speakers*each)
			}
		}
		// What the stream has already written counts as lost on the way.
		page.close()
	}
	wg.Wait()
}

func TestCursorLeavesNoGap(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	c.deliver(from(alice, "web:room/lobby", "d1", "one"))
	state := eve.state()
	c.deliver(from(alice, "web:room/lobby", "d2", "two"))
	page := eve.listen(strconv.FormatInt(state.Cursor, 10), "")
	if m := parse[message](t, page.until("message").data); m.Text != "two" {
		t.Errorf("after the cursor came %q", m.Text)
	}
}

func TestAwayTooLongStartsAnew(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	for i := range maxResume + 1 {
		c.deliver(from(alice, "web:room/lobby", fmt.Sprint("d", i), "x"))
	}
	eve.listen("0", "").until("reset")
	eve.listen("9000000000000000", "").until("reset") // from a State that is gone
}

func TestSlowPageIsDropped(t *testing.T) {
	h, err := openHub(t.Context(), newState())
	if err != nil {
		t.Fatal(err)
	}
	slow, _, _ := h.join("eve", 0)
	quick, _, _ := h.join("bob", 0)
	for range queueLength + 1 {
		n, err := h.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.finish(n, &message{Conv: "r:lobby", Seq: n, Rev: n})
		for len(quick.queue) > 0 {
			<-quick.queue
		}
	}
	select {
	case <-slow.gone:
	default:
		t.Error("the slow page is still there")
	}
	select {
	case <-quick.gone:
		t.Error("the quick page is gone")
	default:
	}
}

func TestNumbersRiseAcrossRestarts(t *testing.T) {
	s := newState()
	h, _ := openHub(t.Context(), s)
	a, _ := h.begin(t.Context())
	b, _ := h.begin(t.Context())
	if got := h.cursor(); got != a-1 {
		t.Errorf("cursor %d while %d is under way", got, a)
	}
	h.finish(b, nil)
	if got := h.cursor(); got != a-1 {
		t.Errorf("cursor %d while %d is under way", got, a)
	}
	h.finish(a, nil)
	if got := h.cursor(); got != b {
		t.Errorf("cursor %d, want %d", got, b)
	}
	again, _ := openHub(t.Context(), s)
	if n, _ := again.begin(t.Context()); n <= b {
		t.Errorf("%d was given out after %d", n, b)
	}
}

func TestPresenceAndReadAreShared(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	page := eve.listen("0", "")
	page.until("ready")
	other := bob.listen("0", "")
	if got := parse[[]string](t, page.until("presence").data); !slices.Contains(got, "eve") {
		t.Errorf("present: %q", got)
	}
	other.until("ready")
	other.close()
	for !slices.Equal(parse[[]string](t, page.until("presence").data), []string{"eve"}) {
	}
	c.deliver(from(alice, "web:room/lobby", "d1", "x"))
	m := parse[message](t, page.until("message").data)
	eve.post("/api/read", map[string]any{"conv": "r:lobby", "seq": m.Seq})
	page.until("read")
	if v, _ := eve.conv("r:lobby"); v.Unread != 0 || v.Read != m.Seq {
		t.Errorf("unread %d, read %d", v.Unread, v.Read)
	}
	if v, _ := bob.conv("r:lobby"); v.Unread != 1 {
		t.Errorf("bob has %d unread", v.Unread)
	}
}

func TestCloseEndsStreams(t *testing.T) {
	c := start(t, newState(), "")
	page := c.join("eve").listen("0", "")
	page.until("ready")
	c.Close(t.Context())
	<-page.done
}
