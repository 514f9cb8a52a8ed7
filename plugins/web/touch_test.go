package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// touch changes a message as the page does.
func (b *browser) touch(what string, t touch) message {
	b.t.Helper()
	code, body := b.post("/api/"+what, t)
	if code != http.StatusOK {
		b.t.Fatalf("%s: %s %+v: %d %s", b.name, what, t, code, body)
	}
	return parse[message](b.t, body)
}

func (c *chat) next() event.Inbound {
	c.t.Helper()
	return <-c.host.put
}

// An edit, a deletion and a reaction are shown to everybody and told to the
// bridge, in their order, with the id that it knows the message by.
func TestChangesReachTheBridge(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	page := bob.listen("0", "")
	page.until("ready")
	m := eve.say("r:lobby", "helo")
	id := nativeID(m.Conv, m.Seq)
	edited := eve.touch("edit", touch{Conv: m.Conv, Seq: m.Seq, Text: "hello"})
	eve.touch("edit", touch{Conv: m.Conv, Seq: m.Seq, Text: "hello"}) // again: no news
	bob.touch("react", touch{Conv: m.Conv, Seq: m.Seq, Emoji: "🎉"})
	bob.touch("react", touch{Conv: m.Conv, Seq: m.Seq, Emoji: "🎉"})
	eve.touch("react", touch{Conv: m.Conv, Seq: m.Seq, Emoji: "🎉"})
	bob.touch("react", touch{Conv: m.Conv, Seq: m.Seq, Emoji: "🎉", Remove: true})
	bob.touch("react", touch{Conv: m.Conv, Seq: m.Seq, Emoji: "🎉", Remove: true})
	if got := eve.one().Reactions; len(got) != 1 || got[0].From != "web:u/eve" {
		t.Errorf("reactions: %+v", got)
	}
	if edited.Text != "hello" || edited.Edited == 0 {
		t.Errorf("edited: %+v", edited)
	}
	first := c.next()
	if first.Kind != event.KindMessage || first.NativeID != id {
		t.Errorf("first comes %+v", first)
	}
	ids := map[string]bool{id: true}
	var reaction string
	for i, want := range []struct {
		kind  event.Kind
		who   event.Address
		words string
	}{
		{event.KindEdit, "web:u/eve", "hello"}, {event.KindReact, "web:u/bob", "🎉"}, {event.KindReact, "web:u/eve", "🎉"},
		{event.KindRedact, "web:u/bob", ""}, {event.KindRedact, "web:u/eve", ""},
	} {
		if i == 4 { // by now the bridge has heard of all else
			eve.touch("delete", touch{Conv: m.Conv, Seq: m.Seq})
			eve.touch("delete", touch{Conv: m.Conv, Seq: m.Seq})
		}
		in := c.next()
		concerns := id
		switch i {
		case 1:
			reaction = in.NativeID
		case 3:
			concerns = reaction
		}
		if in.Kind != want.kind || in.Sender != want.who || string(in.Data) != want.words || in.InReplyTo != concerns || in.Recipient != "web:room/lobby" || ids[in.NativeID] {
			t.Errorf("%d: %+v, want %+v about %s", i, in, want, concerns)
		}
		ids[in.NativeID] = true
	}
	for {
		if got := parse[message](t, page.until("message").data); got.Deleted {
			break
		}
	}
	if len(c.host.put) != 0 {
		t.Errorf("%d more were put", len(c.host.put))
	}
}

// What was deleted before the bridge had it is told to nobody, nor what it
// became; only that it is gone, for the bridge may have it all the same.
func TestWhatWasDeletedInTimeIsToldToNobody(t *testing.T) {
	h := newHost(newState())
	h.hold = make(chan struct{})
	c := startWith(t, h, "")
	eve := c.join("eve")
	eve.say("r:lobby", "first") // the bridge is slow to take this
	m := eve.say("r:lobby", "my pin is 1234")
	eve.touch("edit", touch{Conv: m.Conv, Seq: m.Seq, Text: "my pin is secret"})
	eve.touch("react", touch{Conv: m.Conv, Seq: m.Seq, Emoji: "🎉"})
	eve.touch("delete", touch{Conv: m.Conv, Seq: m.Seq})
	last := eve.say("r:lobby", "last")
	close(h.hold)
	var got []string
	for {
		in := c.next()
		if got = append(got, string(in.Kind)+" "+string(in.Data)); in.NativeID == nativeID(last.Conv, last.Seq) {
			break
		}
	}
	if want := []string{"message first", "redact ", "message last"}; !slices.Equal(got, want) {
		t.Errorf("the bridge hears %q, want %q", got, want)
	}
}

func TestAnswersAndChangesNameWhatCameIn(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	d := from(alice, "web:room/lobby", "d1", "help")
	d.Mode, d.Anchor = event.ModeDesk, "d0"
	c.deliver(d)
	at := eve.one().Seq
	eve.touch("react", touch{Conv: "r:lobby", Seq: at, Emoji: "👀"})
	if in := c.next(); in.InReplyTo != "d1" || in.Thread != "d0" || string(in.Data) != "👀" {
		t.Errorf("the reaction: %+v", in)
	}
	_, body := eve.post("/api/messages", postRequest{Conv: "r:lobby", Text: "coming", Nonce: nonce(), Reply: at})
	if m := parse[message](t, body); m.Reply != at || m.Thread != "d0" {
		t.Errorf("the answer is shown as %+v", m)
	}
	if in := c.next(); in.InReplyTo != "d1" || in.Thread != "d0" || in.Kind != event.KindMessage {
		t.Errorf("the answer: %+v", in)
	}
	direct := from(alice, "web:u/eve", "d2", "psst")
	c.deliver(direct)
	conv := outsideConv("eve", alice)
	v, _ := eve.conv(conv)
	eve.touch("react", touch{Conv: conv, Seq: v.Messages[0].Seq, Emoji: "✅"})
	if in := c.next(); in.InReplyTo != "d2" || in.Recipient != alice || in.Sender != "web:u/eve" {
		t.Errorf("the reaction to one person: %+v", in)
	}
}

func TestRefusedTouches(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	m := eve.say("r:lobby", "mine")
	gone := eve.say("r:lobby", "gone")
	eve.touch("delete", touch{Conv: gone.Conv, Seq: gone.Seq})
	pair := eve.open("@bob")
	private := eve.say(pair, "psst")
	c.join("mallory")
	for _, tc := range []struct {
		name, what string
		by         *browser
		with       touch
		code       int
	}{
		{"an edit of another's", "edit", bob, touch{Conv: m.Conv, Seq: m.Seq, Text: "yours"}, 403},
		{"a deletion of another's", "delete", bob, touch{Conv: m.Conv, Seq: m.Seq}, 403},
		{"an edit of nothing", "edit", eve, touch{Conv: m.Conv, Seq: 4711, Text: "x"}, 404},
		{"an empty edit", "edit", eve, touch{Conv: m.Conv, Seq: m.Seq, Text: " \n"}, 400},
		{"a long edit", "edit", eve, touch{Conv: m.Conv, Seq: m.Seq, Text: strings.Repeat("x", maxText+1)}, 400},
		{"an edit of what is deleted", "edit", eve, touch{Conv: gone.Conv, Seq: gone.Seq, Text: "x"}, 409},
		{"a reaction to what is deleted", "react", bob, touch{Conv: gone.Conv, Seq: gone.Seq, Emoji: "👍"}, 409},
		{"a reaction of words", "react", bob, touch{Conv: m.Conv, Seq: m.Seq, Emoji: "<b>no</b>"}, 400},
		{"elsewhere", "react", bob, touch{Conv: "r:attic", Seq: m.Seq, Emoji: "👍"}, 404},
		{"somebody else's conversation", "react", c.join("nosy"), touch{Conv: pair, Seq: private.Seq, Emoji: "👍"}, 404},
	} {
		if code, body := tc.by.post("/api/"+tc.what, tc.with); code != tc.code {
			t.Errorf("%s: %d %s, want %d", tc.name, code, body, tc.code)
		}
	}
	if v, _ := eve.conv("r:lobby"); v.Messages[0].Text != "mine" || v.Messages[0].Reactions != nil {
		t.Errorf("the message is %+v", v.Messages[0])
	}
}

// Who takes over a name does not take over what was said under it.
func TestPredecessorsMessagesAreNotTheirs(t *testing.T) {
	c := start(t, newState(), "")
	old := c.join("eve")
	m := old.say("r:lobby", "by another eve")
	old.post("/api/leave", struct{}{})
	for _, what := range []string{"edit", "delete"} {
		if code, _ := c.join("eve"+what).post("/api/"+what, touch{Conv: m.Conv, Seq: m.Seq, Text: "x"}); code != http.StatusForbidden {
			t.Errorf("%s by a stranger: %d", what, code)
		}
	}
	eve := c.join("eve")
	for _, what := range []string{"edit", "delete"} {
		if code, _ := eve.post("/api/"+what, touch{Conv: m.Conv, Seq: m.Seq, Text: "x"}); code != http.StatusForbidden {
			t.Errorf("%s: %d", what, code)
		}
	}
}

func TestPairChangesLocally(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	id := eve.open("@bob")
	m := eve.say(id, "psst")
	eve.touch("edit", touch{Conv: id, Seq: m.Seq, Text: "hello"})
	bob.touch("react", touch{Conv: id, Seq: m.Seq, Emoji: "👍"})
	if v, _ := bob.conv(id); v.Messages[0].Text != "hello" || len(v.Messages[0].Reactions) != 1 {
		t.Errorf("bob sees %+v", v.Messages[0])
	}
	if n := len(c.host.put) + len(c.host.state.keys("o/")); n != 0 {
		t.Errorf("the bridge was told %d times", n)
	}
}

// A message that is deleted before the bridge has it is never told of.
func TestDeletedBeforeItWasSent(t *testing.T) {
	s := newState()
	first := start(t, s, "")
	first.host.hold = make(chan struct{}) // the bridge never answers
	eve := first.join("eve")
	m := eve.say("r:lobby", "secret")
	eve.touch("delete", touch{Conv: m.Conv, Seq: m.Seq})
	first.Close(t.Context())
	second := start(t, s, "")
	if in := second.next(); in.Kind != event.KindRedact || in.InReplyTo != nativeID(m.Conv, m.Seq) {
		t.Errorf("the bridge got %+v", in)
	}
}

// What was answered with success reaches the bridge although the connector
// stops before each of the following writes, or in the middle of Put.
func TestTouchCrashPoints(t *testing.T) {
	for _, what := range []string{"edit", "delete", "react"} {
		for write := 1; write <= 4; write++ {
			for _, applied := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d, applied %v", what, write, applied), func(t *testing.T) {
					crashDuringTouch(t, what, write, applied)
				})
			}
		}
	}
}

func crashDuringTouch(t *testing.T, what string, write int, applied bool) {
	s := newState()
	first := start(t, s, "")
	eve := first.join("eve")
	page := eve.listen("0", "")
	m := eve.say("r:lobby", "words")
	page.marked(m.Seq, markSent)
	page.close()
	said := first.next()
	await(t, s)
	first.host.hold = make(chan struct{})
	s.crashAt(write, applied)
	with := touch{Conv: m.Conv, Seq: m.Seq, Text: "👍", Emoji: "👍"}
	code, _ := eve.post("/api/"+what, with)
	close(first.host.hold)
	ids := map[string]bool{}
	if write > 2 { // after the answer: wait until the bridge has been asked
		ids[first.next().NativeID] = true
	}
	first.Close(context.Background())
	s.revive()

	second := start(t, s, "")
	eve.chat = second
	if code != http.StatusOK {
		eve.touch(what, with)
	}
	await(t, s)
	for len(second.host.put) > 0 {
		in := second.next()
		ids[in.NativeID] = true
		if in.InReplyTo != said.NativeID {
			t.Errorf("it concerns %q, want %q", in.InReplyTo, said.NativeID)
		}
	}
	if len(ids) != 1 {
		t.Errorf("the bridge got several, or none: %v", ids)
	}
	now := eve.one()
	if ok := map[string]bool{"edit": now.Text == "👍", "delete": now.Deleted, "react": len(now.Reactions) == 1}[what]; !ok {
		t.Errorf("shown: %+v", now)
	}
}

// await waits until nothing is in the outbox.
func await(t *testing.T, s *memState) {
	t.Helper()
	for len(s.keys("o/")) > 0 {
		select {
		case <-s.news:
		case <-time.After(10 * time.Second):
			t.Fatalf("in the outbox remains %q", s.keys("o/"))
		}
	}
}

// What the bridge refuses of a change is told to who made it, if the message
// is theirs.
func TestRefusedChangeBecomesMark(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	conv := eve.open(string(alice))
	page := eve.listen("0", "")
	page.until("ready")
	m := eve.say(conv, "hello")
	page.marked(m.Seq, markSent)
	c.host.answers = []error{sdk.ErrBusy, event.Permanent(errors.New("bad"))}
	eve.touch("edit", touch{Conv: conv, Seq: m.Seq, Text: "hallo"})
	if got := page.marked(m.Seq, markFailed); !strings.HasPrefix(got.Reason, notChanged) || got.Text != "hallo" {
		t.Errorf("shown: %+v", got)
	}
	c.host.answers = nil
	edited := eve.touch("edit", touch{Conv: conv, Seq: m.Seq, Text: "hey"})
	status := event.Delivery{
		ID: "s1", Kind: event.KindStatus, Target: "web:u/eve", From: alice, State: event.Delivered,
		InReplyTo: changeID(conv, m.Seq, edited.Rev), Content: event.Content{MediaType: "text/plain"},
	}
	c.deliver(status)
	status.ID, status.State, status.Data = "s2", event.Failed, []byte("it is off")
	c.deliver(status)
	for {
		got := page.marked(m.Seq, markFailed)
		if slices.Contains(strings.Split(got.Reason, "\n"), notChanged+"it is off") {
			break
		}
	}
}

func FuzzWaiting(f *testing.F) {
	f.Add([]byte(changeID("r:lobby", 1, 2) + "\n{}\nwords"))
	f.Add([]byte("\n\n"))
	f.Add([]byte(nativeID("r:lobby", 1)))
	f.Fuzz(func(t *testing.T, value []byte) {
		w, err := decodeWaiting(value)
		if err != nil {
			return
		}
		id := waitingID(value)
		again, err := decodeWaiting(w.encode(id))
		if err != nil || again.words != w.words || waitingID(w.encode(id)) != id {
			t.Errorf("%q came back as %+v, %v", value, again, err)
		}
	})
}
