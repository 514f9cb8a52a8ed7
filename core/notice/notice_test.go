package notice

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

func stage() *Stage {
	return &Stage{
		Wants: func(connector string, state event.State) bool {
			return connector == "web" || state == event.Failed
		},
		Phones: func(connector string) bool { return connector == "sip" },
		Lane:   func(conversation string, sender event.Address) string { return "lane" },
		Log:    slog.New(slog.DiscardHandler),
	}
}

// sent is a fact about a message that ann wrote in the chat.
func sent(state event.State, target event.Address) event.Status {
	return event.Status{
		ID: event.StatusID(string(target), state), State: state, Outbound: "out-" + string(target), Inbound: "in", Connector: "sip", Target: target,
		Kind: event.KindMessage, Sender: "web:u/ann", Recipient: "sip:bob@x", Origin: "web", NativeID: "n1", Generation: 1, Lane: "l", Conversation: "c", Thread: "t1",
	}
}

func TestWhoIsToldWhat(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*event.Status)
		due    bool
	}{
		{"a sender whose network shows marks", func(*event.Status) {}, true},
		{"a sender whose network does not", func(s *event.Status) { s.Origin = "sip" }, false},
		{"a sender by SIP of a failure", func(s *event.Status) { s.Origin, s.State = "sip", event.Failed }, true},
		{"nobody of a state that the network does not show", func(s *event.Status) { s.Origin = "mail" }, false},
		{"nobody about a notice", func(s *event.Status) { s.Kind = event.KindStatus }, false},
		{"no machine", func(s *event.Status) { s.Automatic = true }, false},
		{"nobody without a name for the message", func(s *event.Status) { s.NativeID = "" }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := sent(event.Delivered, "sip:bob@x")
			tc.change(&st)
			n, due := stage().notice(st)
			if due != tc.due {
				t.Fatalf("due is %v", due)
			}
			if !due {
				return
			}
			if n.Target != "web:u/ann" || n.InReplyTo != "n1" || n.Delivery().Anchor != "t1" || n.State != st.State || n.Kind != event.KindStatus || !n.Automatic || n.Connector != st.Origin {
				t.Errorf("the notice is %+v", n)
			}
			if _, again := stage().notice(n.Status(event.Failed, time.Now())); again {
				t.Error("a notice about a notice")
			}
		})
	}
}

func TestAPhoneGetsTheReceiptsItAskedFor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		state  event.State
		change func(*event.Status)
		due    bool
		told   event.State // by a receipt; empty: by a text
	}{
		{"delivered, and asked", event.Delivered, func(s *event.Status) { s.Wants = []event.State{event.Delivered} }, true, event.Delivered},
		{"delivered, and not asked", event.Delivered, func(s *event.Status) { s.Wants = []event.State{event.Displayed} }, false, ""},
		{"accepted is not delivered", event.Accepted, func(s *event.Status) { s.Wants = []event.State{event.Delivered} }, false, ""},
		{"displayed, and asked", event.Displayed, func(s *event.Status) { s.Wants = []event.State{event.Displayed} }, true, event.Displayed},
		{"failed, and asked", event.Failed, func(s *event.Status) { s.Wants = []event.State{event.Failed} }, true, event.Failed},
		{"failed, and not asked", event.Failed, func(s *event.Status) { s.Wants = []event.State{event.Delivered} }, true, ""},
		{"asked without an id", event.Delivered, func(s *event.Status) { s.Wants, s.MessageID = []event.State{event.Delivered}, "" }, false, ""},
		{"delivered in a room is processed", event.Delivered, func(s *event.Status) { s.Wants, s.Mode = []event.State{event.Accepted}, event.ModeRoom }, true, event.Accepted},
		{"delivered in a room is not delivered", event.Delivered, func(s *event.Status) { s.Wants, s.Mode = []event.State{event.Delivered}, event.ModeRoom }, false, ""},
		{"one in a room has seen it", event.Displayed, func(s *event.Status) { s.Wants, s.Mode = []event.State{event.Displayed}, event.ModeRoom }, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := sent(tc.state, "web:u/eve")
			st.Origin, st.MessageID, st.Sent = "sip", "m1", time.Unix(1e9, 0)
			tc.change(&st)
			n, due := stage().notice(st)
			if due != tc.due {
				t.Fatalf("due is %v", due)
			}
			want := ""
			if tc.told != "" {
				want = "m1"
			}
			if due && (n.MessageID != want || want != "" && (n.State != tc.told || n.Delivery().MessageID != want || !n.Sent.Equal(st.Sent))) {
				t.Errorf("the notice is %+v", n)
			}
		})
	}
}

func TestARoomAnswersOnceButEachFailureIsTold(t *testing.T) {
	id := func(st event.Status) string {
		n, due := stage().notice(st)
		if !due {
			t.Fatal("not due")
		}
		return n.ID
	}
	if id(sent(event.Delivered, "sip:a@x")) != id(sent(event.Delivered, "sip:b@x")) {
		t.Error("two members' receipts are two notices")
	}
	if id(sent(event.Delivered, "sip:a@x")) == id(sent(event.Accepted, "sip:a@x")) {
		t.Error("two facts are one notice")
	}
	if id(sent(event.Failed, "sip:a@x")) == id(sent(event.Failed, "sip:b@x")) {
		t.Error("two failures are one notice")
	}
}

func TestAStatusBecomesAStoredNoticeOnce(t *testing.T) {
	log, err := bus.Open(t.Context(), bus.Config{Durability: bus.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := stage()
	s.Bus = log
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	for _, target := range []event.Address{"sip:a@x", "sip:b@x"} {
		if _, err := log.Publish(t.Context(), sent(event.Delivered, target)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Publish(t.Context(), sent(event.Failed, "sip:c@x")); err != nil {
		t.Fatal(err)
	}
	c, err := log.Consume(t.Context(), bus.ConsumeConfig{Name: "test", Stream: bus.Outbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var states []event.State
	for len(states) == 0 || states[len(states)-1] != event.Failed {
		m, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, m.Event.(event.Outbound).State)
	}
	if len(states) != 2 {
		t.Errorf("notices are %v, want delivered and failed", states)
	}
}

func TestTextsAboutFailuresAreFew(t *testing.T) {
	s := stage()
	told := func(origin string, sender event.Address, n int) (count int) {
		for range n {
			st := sent(event.Failed, "web:u/eve")
			st.Origin, st.Sender = origin, sender
			if s.moderate(st, event.Outbound{}) {
				count++
			}
		}
		return count
	}
	if n := told("sip", "sip:alice@x", 100); n != burst {
		t.Errorf("%d texts at once, want %d", n, burst)
	}
	if n := told("sip", "sip:bob@x", 2); n != 2 {
		t.Errorf("another sender gets %d of 2", n)
	}
	if n := told("web", "web:u/ann", 100); n != 100 {
		t.Errorf("marks are no texts: %d of 100", n)
	}
	asked := sent(event.Failed, "web:u/eve")
	asked.Origin, asked.Sender = "sip", "sip:alice@x"
	if !s.moderate(asked, event.Outbound{Envelope: event.Envelope{MessageID: "m1"}}) {
		t.Error("a receipt that was asked for is no text")
	}
	var p pace
	now := time.Now()
	for range burst {
		p.take("sip:alice@x", now)
	}
	if p.take("sip:alice@x", now.Add(every/2)) || !p.take("sip:alice@x", now.Add(every)) || p.take("sip:alice@x", now.Add(every)) {
		t.Error("it is not one a minute afterwards")
	}
}
