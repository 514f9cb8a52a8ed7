package core

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/route"
)

func TestTheNewestIdsOnNetworksAreRemembered(t *testing.T) {
	r := newRemotes()
	for i := range maxRemote + 10 {
		r.add(event.Status{Connector: "chat", RemoteIDs: []string{fmt.Sprint(i)}}, uint64(i+1))
	}
	if len(r.at) != maxRemote || len(r.order) != maxRemote {
		t.Errorf("%d and %d are remembered", len(r.at), len(r.order))
	}
	if _, ok := r.find("chat", "9"); ok {
		t.Error("the oldest is still there")
	}
	if seq, ok := r.find("chat", fmt.Sprint(maxRemote+9)); !ok || seq != maxRemote+10 {
		t.Errorf("the newest: %d, %v", seq, ok)
	}
	if _, ok := r.find("mail", "100"); ok {
		t.Error("an id of another network is found")
	}
	r.add(event.Status{Connector: "chat", RemoteIDs: []string{"100"}}, 7) // a later fact about the same
	if seq, _ := r.find("chat", "100"); seq != 7 || len(r.at) != maxRemote {
		t.Errorf("%d, %d", seq, len(r.at))
	}
}

// heard stores a message that comes in by the chat, and returns it as stored.
func (h *Host) heard(t *testing.T, native string, in event.Inbound) event.Inbound {
	t.Helper()
	in.NativeID = native
	id, err := h.put(t.Context(), &connector{name: "chat"}, in)
	if err != nil {
		t.Fatal(err)
	}
	seq, _ := h.bus.Stored(id)
	in, ok, err := at[event.Inbound](t.Context(), h.bus, bus.Inbounds, seq)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	return in
}

// went stores that an Outbound was delivered under some ids.
func (h *Host) went(t *testing.T, o event.Outbound, anchor string, ids ...string) {
	t.Helper()
	st := o.Status(event.Delivered, time.Now())
	st.RemoteIDs, st.Anchor = ids, anchor
	for _, e := range []event.Event{o, st} {
		seq, err := h.bus.Publish(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if e.EventID() == st.ID {
			h.remotes.add(st, seq)
		}
	}
}

// about makes what a user of the chat says a change of an earlier message.
func about(kind event.Kind, concerns string, in event.Inbound) event.Inbound {
	in.Kind, in.InReplyTo = kind, concerns
	in.Content = event.Content{MediaType: "text/plain", Data: []byte("new words")}
	return in
}

// Promise 5: nobody speaks for somebody else. A homeserver passes on edits of a
// message by whoever makes them. A deletion it authorises itself.
func TestAnEditIsByWhoSaidTheMessage(t *testing.T) {
	h := router(t)
	said := func(native string, who event.Address, kind event.Kind) string {
		in := h.heard(t, native, about(kind, "", spoken(who, "chat:r/lobby", "")))
		return in.ID
	}
	ann, anonymous := said("a1", "chat:u/ann", event.KindMessage), said("n1", event.Anonymous, event.KindMessage)
	reaction := said("a2", "chat:u/ann", event.KindReact)
	phone := dialled("sip:alice@example.com", "sip:lobby@example.com")
	phone.ID, phone.Hops, phone.NativeID = "phone", maxHops, "call"
	h.went(t, h.outboundOf(t, phone), "", "b1")
	for i, tc := range []struct {
		what     string
		kind     event.Kind
		who      event.Address
		concerns string
		want     string // the Inbound that it concerns
		refused  bool
	}{
		{"one's own", event.KindEdit, "chat:u/ann", "a1", ann, false},
		{"another's", event.KindEdit, "chat:u/bob", "a1", "", true},
		{"what the bridge posted", event.KindEdit, "chat:u/ann", "b1", "", true},
		{"of people without a name", event.KindEdit, event.Anonymous, "n1", "", true},
		{"one's own reaction", event.KindEdit, "chat:u/ann", "a2", "", true},
		{"what is not known", event.KindEdit, "chat:u/bob", "x1", "", false},
		{"a moderator's deletion", event.KindRedact, "chat:u/bob", "a1", ann, false},
		{"a moderator's deletion of what the bridge posted", event.KindRedact, "chat:u/bob", "b1", "phone", false},
		{"a deletion of what has no author", event.KindRedact, "chat:u/bob", "n1", anonymous, false},
		{"a reaction taken back", event.KindRedact, "chat:u/ann", "a2", reaction, false},
		{"a reaction to another's", event.KindReact, "chat:u/bob", "a1", ann, false},
		{"an answer to another", event.KindMessage, "chat:u/bob", "a1", ann, false},
	} {
		in := h.heard(t, fmt.Sprint("c", i), about(tc.kind, tc.concerns, spoken(tc.who, "chat:r/lobby", "")))
		outs, err := h.assign(t.Context(), in)
		if err != nil || (outs == nil) != tc.refused {
			t.Errorf("%s: %d targets, %v", tc.what, len(outs), err)
		}
		for _, o := range outs {
			if o.Concerns != tc.want {
				t.Errorf("%s: it concerns %q, want %q", tc.what, o.Concerns, tc.want)
			}
		}
		var letters []string
		for _, l := range h.letters(t) {
			if l.Inbound == in.ID {
				letters = append(letters, l.Reason)
			}
		}
		if tc.refused != slices.Equal(letters, []string{string(event.ReasonRefused)}) || !tc.refused && letters != nil {
			t.Errorf("%s: letters %q", tc.what, letters)
		}
		if _, told := h.bus.Stored(event.StatusID(event.OutboundID(in.ID, "", 1), event.Failed)); told != tc.refused {
			t.Errorf("%s: failed: %v", tc.what, told)
		}
	}
}

// An edit that is refused is settled when its letter is stored, not before.
func TestARefusedEditWaitsForItsLetter(t *testing.T) {
	h := router(t)
	h.heard(t, "a1", spoken("chat:u/ann", "chat:r/lobby", ""))
	in := h.heard(t, "c1", about(event.KindEdit, "a1", spoken("chat:u/bob", "chat:r/lobby", "")))
	r, err := h.resolve(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Title = strings.Repeat("x", 100<<10) // no event may have such a header
	for range 2 {
		if r, err = h.related(t.Context(), in, r); err == nil || r.outs == nil {
			t.Fatalf("without a letter: %+v, %v", r, err)
		}
	}
	in.Title = ""
	if r, err = h.related(t.Context(), in, r); err != nil || r.outs != nil || len(h.letters(t)) != 1 {
		t.Errorf("%+v, %v, %d letters", r, err, len(h.letters(t)))
	}
}

// A reaction to what was said in an earlier thread does not move the
// conversation back there.
func TestAReactionLeavesTheThread(t *testing.T) {
	h := router(t)
	for i, thread := range []string{"first", "second"} {
		in := h.heard(t, fmt.Sprint("e", i), spoken("chat:u/eve", "sip:alice@example.com", thread))
		h.routeOne(t, in)
	}
	for _, kind := range []event.Kind{event.KindReact, event.KindEdit, event.KindRedact} {
		h.routeOne(t, h.heard(t, string(kind), about(kind, "e0", spoken("chat:u/eve", "", ""))))
	}
	in := h.heard(t, "e2", spoken("chat:u/eve", "sip:alice@example.com", ""))
	r := h.routeOne(t, in)
	if at, err := h.talks.Anchor(t.Context(), "chat", r.conversation, "chat:u/eve"); err != nil || at != "second" {
		t.Errorf("answers go to %q, %v", at, err)
	}
}

// routeOne does with a message what route does.
func (h *Host) routeOne(t *testing.T, in event.Inbound) routed {
	t.Helper()
	r, err := h.resolve(t.Context(), in)
	if err == nil {
		r, err = h.related(t.Context(), in, r)
	}
	if err == nil {
		err = h.remember(t.Context(), in, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Of what is not kept any more nobody can tell who said it: the edit is told as
// the word of who made it.
func TestAnEditOfWhatIsGoneConcernsNothing(t *testing.T) {
	h := router(t)
	in := about(event.KindEdit, "a1", spoken("chat:u/ann", "chat:r/lobby", ""))
	for _, seq := range []uint64{0, 99} {
		if c, err := h.authorship(t.Context(), in, concern{inbound: "gone", seq: seq}); err != nil || c.inbound != "" {
			t.Errorf("at %d: %+v, %v", seq, c, err)
		}
	}
}

// Networks don't always tell the thread of a change or a reaction. It goes where
// the message went that it concerns.
func TestAChangeIsOfTheConversationOfItsMessage(t *testing.T) {
	h := router(t)
	desk, direct := dialled("sip:bob@example.com", "sip:support@example.com"), dialled("sip:alice@example.com", "sip:chat-eve@example.com")
	for _, x := range []struct {
		in             event.Inbound
		thread, native string
	}{{desk, "t1", "b1"}, {direct, "dm1", "b2"}} {
		x.in.ID, x.in.Hops, x.in.NativeID = x.native, maxHops, x.native
		out := h.outboundOf(t, x.in)
		if err := h.talks.SetAnchor(t.Context(), "chat", out.Conversation, out.Target, x.thread); err != nil {
			t.Fatal(err)
		}
		h.went(t, out, "", x.native)
		x.in.ID += "+"
		h.went(t, h.outboundOf(t, x.in), x.thread, x.native+"+")
	}
	h.heard(t, "a1", spoken("chat:u/ann", "", "t1"))
	h.heard(t, "e1", spoken("chat:u/eve", "sip:alice@example.com", ""))
	h.heard(t, "e2", spoken("chat:u/eve", "", "dm1"))
	for _, tc := range []struct {
		who, at          event.Address
		thread, concerns string
		reaches          event.Address
		err              error
	}{
		{"chat:u/ann", "chat:r/support", "", "b1", "sip:bob@example.com", nil},
		{"chat:u/ann", "chat:r/support", "elsewhere", "b1+", "sip:bob@example.com", nil},
		{"chat:u/ann", "", "", "b1", "sip:bob@example.com", nil},
		{"chat:u/ann", "", "", "a1", "sip:bob@example.com", nil},
		{"chat:u/ann", "chat:r/support", "a1", "a1", "sip:bob@example.com", nil},
		{"chat:u/eve", "", "", "b2", "sip:alice@example.com", nil},
		{"chat:u/eve", "", "elsewhere", "b2+", "sip:alice@example.com", nil},
		{"chat:u/eve", "", "", "e1", "sip:alice@example.com", nil},
		{"chat:u/eve", "", "", "e2", "sip:alice@example.com", nil},
		{"chat:u/mallory", "", "", "b2", "", route.ErrForbidden},
		{"chat:u/mallory", "", "", "e2", "", route.ErrForbidden},
		{"chat:u/ann", "chat:r/attic", "", "b1", "", route.ErrNoRoute},
		{"chat:u/ann", "", "", "unknown", "", route.ErrNoRoute},
		{"chat:u/ann", "", "", "", "", route.ErrNoRoute},
	} {
		for _, kind := range []event.Kind{event.KindReact, event.KindRedact, event.KindMessage} {
			in, want := about(kind, tc.concerns, spoken(tc.who, tc.at, tc.thread)), tc.err
			if kind == event.KindMessage {
				want = route.ErrNoRoute // it says itself where it belongs
			}
			d, err := h.find(t.Context(), &in)
			if !errors.Is(err, want) || want == nil && d.Targets[0].Address != tc.reaches {
				t.Errorf("%s by %s of %q at %q, %q: %v, %v", kind, tc.who, tc.concerns, tc.at, tc.thread, d.Targets, err)
			}
			if want != nil {
				continue
			}
			if d, err := h.now().table.Find(route.Message{Connector: "chat", Sender: in.Sender, Recipient: in.Recipient}); in.Thread == "" && err != nil {
				t.Errorf("what is stored leads nowhere: %v, %v", d, err)
			}
		}
	}
}

// What an operator sent anew is known by what the network called it then.
func TestWhatWasSentAnewIsKnownAtItsTarget(t *testing.T) {
	for name, went := range map[string]map[int][]string{
		"once":                           {1: {"m1", "m2"}},
		"after a failure":                {2: {"m1", "m2"}},
		"after several":                  {4: {"m1", "m2"}},
		"again, after it had bounced":    {1: {"m0"}, 2: {"m1", "m2"}},
		"after a failure, without an id": {1: {"m1", "m2"}, 2: nil},
	} {
		h := router(t)
		o := h.outboundOf(t, event.Inbound{ID: "in", Envelope: event.Envelope{
			NativeID: "n", Hops: maxHops, Origin: event.BuiltinSIP, Sender: "sip:alice@example.com", Recipient: "sip:lobby@example.com",
		}})
		for n := 1; n <= 4; n++ {
			if o.Generation, o.ID = n, event.OutboundID("in", o.Target, n); went[n] != nil {
				h.went(t, o, "", went[n]...)
			} else if _, err := h.bus.Publish(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := h.native(t.Context(), "chat", "in", o.Target); err != nil || !slices.Equal(got, []string{"m1", "m2"}) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if got, err := h.native(t.Context(), "chat", "in", "chat:r/elsewhere"); err != nil || got != nil {
			t.Errorf("%s: elsewhere %q, %v", name, got, err)
		}
	}
}

// After a start it takes a while until it is known what went out before. What
// concerns that waits, and nothing else does.
func TestWhatConcernsEarlierMessagesWaitsForTheLog(t *testing.T) {
	h := router(t)
	phone := dialled("sip:alice@example.com", "sip:lobby@example.com")
	phone.ID, phone.Hops, phone.NativeID = "phone", maxHops, "call"
	h.went(t, h.outboundOf(t, phone), "", "b1")
	h.remotes = newRemotes() // it starts anew
	before, err := h.bus.LastSeq(t.Context(), bus.Outbounds)
	if err != nil {
		t.Fatal(err)
	}
	reaction := h.heard(t, "r1", about(event.KindReact, "b1", spoken("chat:u/ann", "chat:r/lobby", "")))
	forged := h.heard(t, "r2", about(event.KindEdit, "b1", spoken("chat:u/ann", "chat:r/lobby", "")))
	other := h.heard(t, "o1", spoken("chat:u/eve", "sip:alice@example.com", ""))
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := h.route(ctx); err != nil {
			t.Error(err)
		}
	})
	defer all.Wait()
	defer stop()
	c, err := h.bus.Consume(ctx, bus.ConsumeConfig{Name: "test", Stream: bus.Outbounds, MaxPending: 10, AckWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next := func() event.Outbound {
		m, err := c.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = m.Ack()
		if m.Seq <= before {
			return event.Outbound{}
		}
		return m.Event.(event.Outbound)
	}
	first := next()
	for first.ID == "" {
		first = next()
	}
	if first.Inbound != other.ID {
		t.Errorf("the first is of %s", first.Inbound)
	}
	all.Go(func() { _ = h.learnRemotes(ctx) })
	for range 2 { // alice and the yard
		if o := next(); o.Inbound != reaction.ID || o.Concerns != "phone" {
			t.Errorf("%+v", o)
		}
	}
	dead := event.DeadID(event.OutboundID(forged.ID, "", 1))
	for a := h.books.read()["chat"]; a.underWay > 0 || a.taken < 3; a = h.books.read()["chat"] {
		runtime.Gosched()
	}
	if a := h.books.read()["chat"]; a.routed != 2 || a.refused != 1 || a.missing() != 0 {
		t.Errorf("the books say %+v", a)
	}
	if _, ok := h.bus.Stored(dead); !ok {
		t.Error("the forged edit left no letter")
	}
}

// A bus that can't be read is no reason to say that a message is not known.
func TestWhatAMessageConcernsIsNotGuessed(t *testing.T) {
	h := router(t)
	phone := dialled("sip:alice@example.com", "sip:lobby@example.com")
	phone.ID, phone.Hops, phone.NativeID = "phone", maxHops, "call"
	h.went(t, h.outboundOf(t, phone), "", "b1")
	in := about(event.KindReact, "b1", spoken("chat:u/ann", "chat:r/lobby", ""))
	if c, err := h.concerns(t.Context(), in); err != nil || c.inbound != "phone" {
		t.Fatalf("%+v, %v", c, err)
	}
	h.bus.Close()
	if c, err := h.concerns(t.Context(), in); err == nil {
		t.Errorf("without a bus: %+v", c)
	}
}
