package core

import (
	"errors"
	"log/slog"
	"testing"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/config"
	"parley.im/core/conversation"
	"parley.im/core/route"
	"parley.im/core/sipedge"
	"parley.im/plugins/sdk"
)

// router is a host that can route, with one connector "chat".
func router(t *testing.T) *Host {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Durability: bus.Memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	talks, err := b.Bucket(t.Context(), "conversations")
	if err != nil {
		t.Fatal(err)
	}
	c := &config.Config{}
	c.SIP.Domains = []string{"example.com"}
	c.SIP.Accounts = []config.Account{{User: "alice"}, {User: "bob"}}
	c.Routes = []config.Route{
		{Name: "people", Mode: "direct", SIP: "sip:chat-{user}@example.com", To: []string{"chat:u/{user}"}},
		{Name: "support", Mode: "desk", SIP: "sip:support@example.com", To: []string{"chat:r/support", "chat:u/support"}},
		{Name: "lobby", Mode: "room", SIP: "sip:lobby@example.com", Members: []string{"sip:alice@example.com"}, To: []string{"chat:r/lobby", "chat:r/yard"}},
	}
	h := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	h.bus, h.tokens, h.talks = b, conversation.NewTokens([]byte("key")), conversation.NewStore(talkBucket{talks})
	table, problems := newTable(c, map[string]sdk.Description{"chat": {Schemes: []string{"chat"}}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	h.current.Store(&setup{config: c, table: table})
	if h.edge, err = sipedge.New(edgeConfig(c, kept{nonce: []byte("nonce")}, h.Log), edgeHost{h}); err != nil {
		t.Fatal(err)
	}
	close(h.wired)
	h.remotes.begin() // there is nothing to be read
	return h
}

// assigned stores what in becomes, and returns it.
func (h *Host) assigned(t *testing.T, in event.Inbound) []event.Outbound {
	t.Helper()
	in.ID, in.Hops, in.NativeID = "in-"+string(in.Sender), maxHops, "n1"
	outs, err := h.assign(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return outs
}

// spoken is what a user of the chat says.
func spoken(sender, recipient event.Address, thread string) event.Inbound {
	return event.Inbound{Envelope: event.Envelope{Origin: "chat", Sender: sender, Recipient: recipient, Thread: thread}}
}

// dialled is what a phone says.
func dialled(sender, recipient event.Address) event.Inbound {
	return event.Inbound{Envelope: event.Envelope{Origin: event.BuiltinSIP, Sender: sender, Recipient: recipient}}
}

func targets(outs []event.Outbound) (list []event.Address) {
	for _, o := range outs {
		list = append(list, o.Target)
	}
	return list
}

func TestAThreadAloneTellsWhomAnAnswerIsFor(t *testing.T) {
	h := router(t)
	for _, tc := range []struct {
		from, to event.Address
		mode     event.Mode
		thread   string
		answers  event.Address // who answers
		reaches  event.Address // the first target
	}{
		{"sip:alice@example.com", "sip:chat-eve@example.com", event.ModeDirect, "dm1", "chat:u/eve", "sip:alice@example.com"},
		{"sip:bob@example.com", "sip:support@example.com", event.ModeDesk, "t1", "chat:u/ann", "sip:bob@example.com"},
		{"sip:alice@example.com", "sip:lobby@example.com", event.ModeRoom, "r1", "chat:u/ann", "sip:alice@example.com"},
	} {
		out := h.assigned(t, dialled(tc.from, tc.to))[0]
		if out.Mode != tc.mode || out.Delivery().Mode != tc.mode {
			t.Fatalf("%s: the mode is %q", tc.to, out.Mode)
		}
		if err := h.talks.SetAnchor(t.Context(), "chat", out.Conversation, out.Target, tc.thread); err != nil {
			t.Fatal(err)
		}
		back := h.assigned(t, spoken(tc.answers, "", tc.thread))
		if len(back) == 0 || back[0].Target != tc.reaches || back[0].Conversation != out.Conversation {
			t.Errorf("an answer in %s reaches %v in conversation %v", tc.thread, targets(back), back)
		}
	}
}

func TestADeskIsAnsweredAlsoByTheAddressItself(t *testing.T) {
	h := router(t)
	outs := h.assigned(t, dialled("sip:bob@example.com", "sip:support@example.com"))
	if err := h.talks.SetAnchor(t.Context(), "chat", outs[1].Conversation, "chat:u/support", "mail-token"); err != nil {
		t.Fatal(err)
	}
	back := h.assigned(t, spoken("chat:u/support", "", "mail-token"))
	if got := targets(back); len(got) != 2 || got[0] != "sip:bob@example.com" || got[1] != "chat:r/support" {
		t.Errorf("it reaches %v", got)
	}
}

func TestAThreadIsNoWayInForOthers(t *testing.T) {
	h := router(t)
	out := h.assigned(t, dialled("sip:alice@example.com", "sip:chat-eve@example.com"))[0]
	if err := h.talks.SetAnchor(t.Context(), "chat", out.Conversation, out.Target, "dm1"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		in   event.Inbound
		want error
	}{
		{spoken("chat:u/mallory", "", "dm1"), route.ErrForbidden},
		{spoken("chat:u/eve", "", "unknown"), route.ErrNoRoute},
		{spoken("chat:u/eve", "", ""), route.ErrNoRoute},
		{spoken("chat:u/eve", "sip:nobody@example.com", "dm1"), route.ErrNoRoute},
	} {
		in := tc.in
		if _, err := h.find(t.Context(), &in); !errors.Is(err, tc.want) {
			t.Errorf("%s in %q: got %v, want %v", in.Sender, tc.in.Thread, err, tc.want)
		}
		if _, err := h.put(t.Context(), &connector{name: "chat"}, event.Inbound{Envelope: event.Envelope{
			Sender: tc.in.Sender, Recipient: tc.in.Recipient, Thread: tc.in.Thread, NativeID: "n"}}); !errors.Is(err, sdk.ErrRefused) {
			t.Errorf("%s in %q: put gives %v", tc.in.Sender, tc.in.Thread, err)
		}
	}
	in := spoken("chat:u/eve", "sip:bob@example.com", "dm1") // she says herself whom she means
	if d, err := h.find(t.Context(), &in); err != nil || d.Targets[0].Address != "sip:bob@example.com" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestAPersonIsAnsweredWhereTheyWroteLast(t *testing.T) {
	h := router(t)
	anchor := func() string {
		out := h.assigned(t, dialled("sip:alice@example.com", "sip:chat-eve@example.com"))[0]
		a, err := h.talks.Anchor(t.Context(), "chat", out.Conversation, out.Target)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, thread := range []string{"first", "second", ""} {
		h.assigned(t, spoken("chat:u/eve", "sip:alice@example.com", thread))
	}
	if got := anchor(); got != "second" {
		t.Errorf("alice's answer goes to thread %q", got)
	}
	old := spoken("chat:u/eve", "", "first") // the first one still leads to her
	if d, err := h.find(t.Context(), &old); err != nil || d.Targets[0].Address != "sip:alice@example.com" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestWithoutASenderItIsAskedWhetherAnybodyIsThere(t *testing.T) {
	h := router(t)
	b := &backend{h: h, c: &connector{name: "chat"}}
	for recipient, want := range map[event.Address]bool{
		"sip:alice@example.com": true, "chat:r/lobby": true, "sip:nobody@example.com": false, "chat:r/nowhere": false,
	} {
		err := b.Accepts(t.Context(), spoken("", recipient, ""))
		if (err == nil) != want || err != nil && !errors.Is(err, sdk.ErrRefused) {
			t.Errorf("%s: %v", recipient, err)
		}
	}
}

func TestTheIDOfAnAnsweredMessageStaysOnItsNetwork(t *testing.T) {
	h := router(t)
	in := spoken("chat:u/ann", "chat:r/lobby", "")
	in.InReplyTo = "1700.1"
	if out := h.assigned(t, in)[0]; out.Delivery().InReplyTo != "" {
		t.Errorf("a phone is told it answers %q", out.InReplyTo)
	}
}

func TestPlacesAreTheFixedAddressesOfAConnector(t *testing.T) {
	routes := []config.Route{
		{To: []string{"chat:r/a", "mailto:x@y"}}, {To: []string{"chat:u/{user}"}}, {To: []string{"chat:r/b"}, Via: "other"},
		{To: []string{"chat:r/a", "chat:r/c"}, Via: "chat"},
	}
	got := places(routes, "chat", []string{"chat", "talk"})
	if len(got) != 2 || got[0] != "chat:r/a" || got[1] != "chat:r/c" {
		t.Errorf("got %v", got)
	}
}
