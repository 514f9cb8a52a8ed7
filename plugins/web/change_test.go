package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

// about is a delivery of a kind that concerns an earlier one.
func about(sender event.Address, kind event.Kind, concerns, id, text string) event.Delivery {
	d := from(sender, "web:room/lobby", id, text)
	d.Kind, d.InReplyTo = kind, concerns
	return d
}

// one returns the only message of the lobby.
func (b *browser) one() *message {
	b.t.Helper()
	v, _ := b.conv("r:lobby")
	if len(v.Messages) != 1 {
		b.t.Fatalf("the lobby has %q, want one message", texts(v.Messages))
	}
	return v.Messages[0]
}

func TestEditChangesTheShownMessage(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	page := eve.listen("0", "")
	page.until("ready")
	c.deliver(from(alice, "web:room/lobby", "d1", "helo"))
	first := parse[message](t, page.until("message").data)
	edit := about(alice, event.KindEdit, "d1", "e1", "hello")
	want := event.Receipt{State: event.Delivered, RemoteIDs: []string{"e1"}}
	if _, found, err := c.Find(t.Context(), edit, time.Time{}); found || err != nil {
		t.Errorf("before: found %v, %v", found, err)
	}
	for range 3 {
		if got := c.deliver(edit); !reflect.DeepEqual(got, want) {
			t.Fatalf("receipt %+v, want %+v", got, want)
		}
	}
	now := parse[message](t, page.until("message").data)
	if now.Text != "hello" || now.Edited == 0 || now.Seq != first.Seq || now.Rev <= first.Rev {
		t.Errorf("the page was shown %+v", now)
	}
	if got, found, err := c.Find(t.Context(), edit, time.Time{}); !found || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after: %+v, found %v, %v", got, found, err)
	}
	html := about(alice, event.KindEdit, "d1", "e2", "<p>hello <b>all</b></p>")
	html.MediaType = "text/html"
	c.deliver(html)
	c.deliver(edit) // late: what has happened once happens no more
	if m := eve.one(); m.Text != "hello all" || !strings.Contains(m.HTML, "<strong>all</strong>") {
		t.Errorf("shown: %q, %q", m.Text, m.HTML)
	}
}

func TestDeletionEmptiesTheMessage(t *testing.T) {
	s := newState()
	c := start(t, s, "")
	eve := c.join("eve")
	d := from(alice, "web:room/lobby", "d1", "secret")
	d.Title = "secret"
	d.Files = []event.File{{Name: "secret.txt", Content: event.Content{MediaType: "text/plain", Data: []byte("secret")}}}
	c.deliver(d)
	m := eve.one()
	at := fmt.Sprintf("/api/file?conv=r:lobby&seq=%d&n=0", m.Seq)
	if code, body := eve.get(at); code != http.StatusOK || body != "secret" {
		t.Fatalf("the file: %d %q", code, body)
	}
	c.deliver(about(alice, event.KindReact, "d1", "e0", "👍"))
	for range 2 {
		c.deliver(about(alice, event.KindRedact, "d1", "e1", ""))
	}
	c.deliver(d) // it comes again, and stays deleted
	if m := eve.one(); !m.Deleted || m.Text+m.Title != "" || m.Files != nil || m.Reactions != nil {
		t.Errorf("shown: %+v", m)
	}
	if code, _ := eve.get(at); code != http.StatusNotFound {
		t.Errorf("the file is given out: %d", code)
	}
	e, err := s.Get(t.Context(), messageKey("r:lobby", m.Seq))
	if err != nil || strings.Contains(string(e.Value), "secret") {
		t.Errorf("State keeps %q, %v", e.Value, err)
	}
}

func TestReactionsComeAndGo(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	c.deliver(from(alice, "web:room/lobby", "d1", "lunch?"))
	for range 2 {
		c.deliver(about(alice, event.KindReact, "d1", "e1", " 👍\n"))
	}
	bob := about("slack:T0/U1", event.KindReact, "d1", "e2", "👍")
	bob.SenderName = "Bob\u202e"
	c.deliver(bob)
	c.deliver(about(alice, event.KindReact, "d1", "e3", "🎉"))
	shown := func() (all []string) {
		for _, r := range eve.one().Reactions {
			all = append(all, r.Name+r.Emoji)
		}
		return all
	}
	if got := shown(); !slices.Equal(got, []string{"Alice👍", "Bob👍", "Alice🎉"}) {
		t.Errorf("shown: %q", got)
	}
	if _, err := c.Deliver(t.Context(), about(alice, event.KindRedact, "e2", "f0", "")); !event.IsPermanent(err) {
		t.Errorf("alice took Bob's back: %v", err)
	}
	for range 2 {
		c.deliver(about(alice, event.KindRedact, "e1", "f1", ""))
	}
	c.deliver(about(alice, event.KindReact, "d1", "e1", "👍")) // late
	if got := shown(); !slices.Equal(got, []string{"Bob👍", "Alice🎉"}) {
		t.Errorf("shown: %q", got)
	}
}

func TestRefusedChanges(t *testing.T) {
	c := start(t, newState(), `{"history": 10, "rooms": ["lobby", "ops"]}`)
	eve := c.join("eve")
	said := eve.say("r:lobby", "mine")
	c.deliver(from(alice, "web:room/lobby", "d0", "deleted"))
	c.deliver(about(alice, event.KindRedact, "d0", "r0", ""))
	c.deliver(from(alice, "web:room/lobby", "d1", "hello"))
	c.deliver(about(alice, event.KindEdit, "d1", "e1", "hello!"))
	c.deliver(about(alice, event.KindReact, "d1", "e2", "👍"))
	c.deliver(from(event.Anonymous, "web:room/lobby", "d2", "who?"))
	for _, tc := range []struct {
		name  string
		wrong func(*event.Delivery)
	}{
		{"an edit of nothing", func(d *event.Delivery) { d.InReplyTo = "" }},
		{"an edit of what is not known", func(d *event.Delivery) { d.InReplyTo = "d9" }},
		{"an edit of what was never said", func(d *event.Delivery) { d.InReplyTo = nativeID("r:lobby", 1) }},
		{"an edit of somebody else's", func(d *event.Delivery) { d.Sender, d.From = "sip:bob@127.0.0.1", "sip:bob@127.0.0.1" }},
		{"an edit of what was said here", func(d *event.Delivery) { d.InReplyTo = nativeID("r:lobby", said.Seq) }},
		{"a reaction of somebody else's taken back", func(d *event.Delivery) { d.Kind, d.InReplyTo, d.Sender = event.KindRedact, "e2", "sip:bob@127.0.0.1" }},
		{"a deletion of an edit", func(d *event.Delivery) { d.Kind, d.InReplyTo = event.KindRedact, "e1" }},
		{"an edit by another who has no name", func(d *event.Delivery) { d.InReplyTo, d.Sender = "d2", event.Anonymous }},
		{"an edit of what is deleted", func(d *event.Delivery) { d.InReplyTo = "d0" }},
		{"a reaction to what is deleted", func(d *event.Delivery) { d.Kind, d.InReplyTo = event.KindReact, "d0" }},
		{"a reaction without an emoji", func(d *event.Delivery) { d.Kind, d.Data = event.KindReact, []byte(" \n") }},
		{"of a message in another room", func(d *event.Delivery) { d.Target = "web:room/ops" }},
		{"of a strange key", func(d *event.Delivery) { d.InReplyTo = "../n/eve/00000000000000000001/00000000000000000001" }},
	} {
		d := about(alice, event.KindEdit, "d1", "x-"+tc.name, "😈")
		tc.wrong(&d)
		if _, err := c.Deliver(t.Context(), d); !event.IsPermanent(err) {
			t.Errorf("%s: %v, want a permanent error", tc.name, err)
		}
		if _, found, err := c.Find(t.Context(), d, time.Time{}); found || err != nil {
			t.Errorf("%s: found %v, %v", tc.name, found, err)
		}
	}
	v, _ := eve.conv("r:lobby")
	if got := texts(v.Messages); !slices.Equal(got, []string{"mine", "", "hello!", "who?"}) {
		t.Errorf("the room shows %q", got)
	}
}

// The network where a message is deleted decides who may: a moderator there
// deletes what others said, and what was said here, too.
func TestAModeratorDeletes(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	said := eve.say("r:lobby", "mine")
	c.deliver(from(alice, "web:room/lobby", "d1", "hello"))
	c.deliver(from(event.Anonymous, "web:room/lobby", "d2", "who?"))
	for id, concerns := range map[string]string{"f1": "d1", "f2": "d2", "f3": nativeID("r:lobby", said.Seq)} {
		for range 2 {
			c.deliver(about("matrix:u/moderator:hs.org", event.KindRedact, concerns, id, ""))
		}
	}
	v, _ := eve.conv("r:lobby")
	for _, m := range v.Messages {
		if !m.Deleted || m.Text != "" {
			t.Errorf("shown: %+v", m)
		}
	}
	if len(v.Messages) != 3 {
		t.Errorf("%d messages", len(v.Messages))
	}
}

// What is too old to be shown can't be changed, but it is as good as deleted.
func TestChangesOfTrimmedMessages(t *testing.T) {
	c := start(t, newState(), `{"history": 10}`)
	c.deliver(from(alice, "web:room/lobby", "d1", "old"))
	c.deliver(about(alice, event.KindReact, "d1", "e1", "👍"))
	for i := range 11 {
		c.deliver(from(alice, "web:room/lobby", fmt.Sprint("more", i), "more"))
	}
	for id, concerns := range map[string]string{"f1": "d1", "f2": "e1"} {
		c.deliver(about(alice, event.KindRedact, concerns, id, ""))
	}
	for _, kind := range []event.Kind{event.KindEdit, event.KindReact} {
		if _, err := c.Deliver(t.Context(), about(alice, kind, "d1", "f-"+string(kind), "x")); !event.IsPermanent(err) || !errors.Is(err, errNoMessage) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestAnswerNamesWhatItAnswers(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	c.deliver(from(alice, "web:room/lobby", "d1", "help"))
	said := eve.say("r:lobby", "how?")
	first, _ := eve.conv("r:lobby")
	for _, tc := range []struct {
		concerns string
		reply    int64
	}{{"d1", first.Messages[0].Seq}, {nativeID("r:lobby", said.Seq), said.Seq}, {"d9", 0}, {nativeID("r:attic", said.Seq), 0}, {"", 0}} {
		d := from(alice, "web:room/lobby", "a-"+tc.concerns, "answer")
		d.InReplyTo = tc.concerns
		c.deliver(d)
		v, _ := eve.conv("r:lobby")
		if got := v.Messages[len(v.Messages)-1]; got.Reply != tc.reply {
			t.Errorf("an answer to %q answers %d, want %d", tc.concerns, got.Reply, tc.reply)
		}
	}
}

// A change survives a crash at each of its writes, whether or not the last one
// came through: repeated it is one change.
func TestChangeCrashPoints(t *testing.T) {
	for _, kind := range []event.Kind{event.KindEdit, event.KindRedact, event.KindReact} {
		for write := 1; write <= 2; write++ {
			for _, applied := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d, applied %v", kind, write, applied), func(t *testing.T) {
					crashDuringChange(t, about(alice, kind, "d1", "e1", "👍"), write, applied)
				})
			}
		}
	}
}

func crashDuringChange(t *testing.T, d event.Delivery, write int, applied bool) {
	s := newState()
	first := start(t, s, "")
	eve := first.join("eve")
	first.deliver(from(alice, "web:room/lobby", "d1", "words"))
	s.crashAt(write, applied)
	if _, err := first.Deliver(t.Context(), d); err == nil || event.IsPermanent(err) {
		t.Fatalf("delivered during a crash: %v", err)
	}
	s.revive()
	first.Close(context.Background())
	second := start(t, s, "")
	eve.chat = second
	if _, found, err := second.Find(t.Context(), d, time.Time{}); err != nil || found != (write == 2 && applied) {
		t.Errorf("found %v, %v", found, err)
	}
	second.deliver(d)
	if _, found, err := second.Find(t.Context(), d, time.Time{}); err != nil || !found {
		t.Errorf("after the repeat: found %v, %v", found, err)
	}
	m := eve.one()
	ok := map[event.Kind]bool{
		event.KindEdit:   m.Text == "👍" && m.Edited != 0,
		event.KindRedact: m.Text == "" && m.Deleted,
		event.KindReact:  len(m.Reactions) == 1 && m.Reactions[0].ID == "e1",
	}[d.Kind]
	if !ok {
		t.Errorf("shown: %+v", m)
	}
}
