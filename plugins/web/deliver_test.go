package web

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

func TestDeliveryIsShownOnce(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	page := eve.listen("0", "")
	page.until("ready")
	d := from(alice, "web:room/lobby", "d1", "hello")
	d.Mode = event.ModeDesk
	want := event.Receipt{State: event.Delivered, RemoteIDs: []string{"d1"}, Anchor: "d1"}
	for range 3 {
		if got := c.deliver(d); !reflect.DeepEqual(got, want) {
			t.Fatalf("receipt %+v, want %+v", got, want)
		}
	}
	m := parse[message](t, page.until("message").data)
	if m.Text != "hello" || m.From != alice || m.Name != "Alice" {
		t.Errorf("the page was shown %+v", m)
	}
	if lobby, _ := eve.conv("r:lobby"); !slices.Equal(texts(lobby.Messages), []string{"hello"}) || lobby.Unread != 1 {
		t.Errorf("lobby has %q, %d unread; want one", texts(lobby.Messages), lobby.Unread)
	}
	d2 := from(alice, "web:room/lobby", "d2", "in the thread")
	d2.Mode, d2.Anchor = event.ModeDesk, "d1"
	if got := c.deliver(d2).Anchor; got != "d1" {
		t.Errorf("anchor %q of a message in a thread, want d1", got)
	}
	d3 := from(alice, "web:room/lobby", "d3", "to all")
	d3.Mode = event.ModeRoom
	if got := c.deliver(d3).Anchor; got != "" {
		t.Errorf("a room goes on in thread %q", got)
	}
}

func TestDeliveryToPersonOpensConversationWithSender(t *testing.T) {
	c := start(t, newState(), "")
	eve, mallory := c.join("eve"), c.join("mallory")
	c.deliver(from("SIP:alice@EXAMPLE.com", "web:u/eve", "d1", "psst"))
	id := outsideConv("eve", "sip:alice@example.com")
	v, ok := eve.conv(id)
	if !ok || v.Peer != "sip:alice@example.com" || !slices.Equal(texts(v.Messages), []string{"psst"}) {
		t.Fatalf("eve sees %+v", v)
	}
	if _, ok := mallory.conv(id); ok {
		t.Error("mallory sees eve's conversation")
	}
	if code, _ := mallory.get("/api/history?conv=" + id + "&before=9000000000000000"); code != http.StatusNotFound {
		t.Errorf("mallory reads eve's conversation: %d", code)
	}
	eve.say(id, "yes?")
	in := <-c.host.put
	if in.Recipient != "sip:alice@example.com" || in.Sender != "web:u/eve" {
		t.Errorf("the answer goes from %s to %s", in.Sender, in.Recipient)
	}
}

func TestRefusedDeliveries(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	left := c.join("left")
	left.post("/api/leave", struct{}{})
	for _, tc := range []struct {
		name  string
		wrong func(*event.Delivery)
	}{
		{"no such room", func(d *event.Delivery) { d.Target = "web:room/attic" }},
		{"nobody has the name", func(d *event.Delivery) { d.Target = "web:u/nobody" }},
		{"somebody gave the name back", func(d *event.Delivery) { d.Target = "web:u/left" }},
		{"not an address of ours", func(d *event.Delivery) { d.Target = "slack:T0/C0" }},
		{"a path as a name", func(d *event.Delivery) { d.Target = "web:room/../lobby" }},
		{"no sender", func(d *event.Delivery) { d.Target, d.From = "web:u/eve", "" }},
		{"unknown kind", func(d *event.Delivery) { d.Kind = event.KindTyping }},
		{"too long", func(d *event.Delivery) { d.Data = make([]byte, maxText+1) }},
		{"too long in Media", func(d *event.Delivery) { d.Data, d.Ref, d.Size = nil, "m1", maxText+1 }},
		{"status of nothing", func(d *event.Delivery) { d.Kind, d.State = event.KindStatus, event.Delivered }},
		{"status of a strange key", func(d *event.Delivery) {
			d.Kind, d.State, d.InReplyTo = event.KindStatus, event.Delivered, "../n/eve/00000000000000000001"
		}},
	} {
		d := from(alice, "web:room/lobby", "d-"+tc.name, "text")
		tc.wrong(&d)
		if _, err := c.Deliver(t.Context(), d); !event.IsPermanent(err) {
			t.Errorf("%s: %v, want a permanent error", tc.name, err)
		}
		if _, found, err := c.Find(t.Context(), d, time.Time{}); found || err != nil {
			t.Errorf("%s: found %v, %v", tc.name, found, err)
		}
	}
	if lobby, _ := eve.conv("r:lobby"); len(lobby.Messages) != 0 {
		t.Errorf("lobby has %q", texts(lobby.Messages))
	}
}

// A delivery survives a crash at each of its writes, whether or not the last
// write came through: Find tells the truth, and repeated it is one message.
func TestDeliveryCrashPoints(t *testing.T) {
	for _, target := range []event.Address{"web:room/lobby", "web:u/eve"} {
		for write := 1; write <= 3; write++ {
			for _, applied := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d, applied %v", target, write, applied), func(t *testing.T) {
					crashDuringDelivery(t, target, write, applied)
				})
			}
		}
	}
}

func crashDuringDelivery(t *testing.T, target event.Address, write int, applied bool) {
	s := newState()
	first := start(t, s, "")
	eve := first.join("eve")
	conv := roomConv("lobby")
	if target == "web:u/eve" {
		conv = outsideConv("eve", alice)
	}
	d := from(alice, target, "d1", "once")
	s.crashAt(write, applied)
	_, err := first.Deliver(t.Context(), d)
	s.revive()
	first.Close(t.Context())

	second := start(t, s, "")
	_, found, ferr := second.Find(t.Context(), d, time.Time{})
	if ferr != nil || found != (len(s.keys("m/")) == 1) {
		t.Errorf("found %v, %v; the history has %q", found, ferr, s.keys("m/"))
	}
	if err == nil && !found {
		t.Error("a delivery that succeeded is not found")
	}
	second.deliver(d)
	if _, found, err := second.Find(t.Context(), d, time.Time{}); !found || err != nil {
		t.Errorf("after the repeat: found %v, %v", found, err)
	}
	eve.chat = second
	if v, _ := eve.conv(conv); !slices.Equal(texts(v.Messages), []string{"once"}) {
		t.Errorf("%s shows %q, want it once", conv, texts(v.Messages))
	}
}

// The same process goes on after a write whose outcome it doesn't know.
func TestDeliveryRepeatedAfterUnknownWrite(t *testing.T) {
	for write := 1; write <= 2; write++ {
		s := newState()
		c := start(t, s, "")
		eve := c.join("eve")
		page := eve.listen("0", "")
		page.until("ready")
		s.crashAt(write, true)
		if _, err := c.Deliver(t.Context(), from(alice, "web:room/lobby", "d1", "once")); err == nil {
			t.Fatalf("write %d: no error", write)
		}
		s.revive()
		d := from(alice, "web:room/lobby", "d1", "once")
		if _, found, err := c.Find(t.Context(), d, time.Now()); err != nil || found {
			t.Errorf("write %d: found is %v, %v, but no page shows it", write, found, err)
		}
		c.deliver(d)
		if m := parse[message](t, page.until("message").data); m.Text != "once" {
			t.Errorf("write %d: shown %+v", write, m)
		}
		if n := len(s.keys("m/")); n != 1 {
			t.Errorf("write %d: %d messages", write, n)
		}
	}
}

func TestTrimmedDeliveryStaysFound(t *testing.T) {
	s := newState()
	c := start(t, s, `{"history": 10}`)
	eve := c.join("eve")
	for i := range 25 {
		c.deliver(from(alice, "web:room/lobby", fmt.Sprint("d", i), fmt.Sprint("text ", i)))
	}
	if n := len(s.keys("m/r:lobby/")); n != 10 {
		t.Errorf("%d messages are kept, want 10", n)
	}
	old := from(alice, "web:room/lobby", "d3", "text 3")
	if _, found, err := c.Find(t.Context(), old, time.Time{}); !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	c.deliver(old)
	v, _ := eve.conv("r:lobby")
	if got := texts(v.Messages); len(got) != 10 || got[0] != "text 15" || got[9] != "text 24" {
		t.Errorf("the room shows %q", got)
	}
}

func TestHostileTextStaysText(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	hostile := "<script>alert(1)</script>\r\n\x00\x1b[31m\u202eevil \"q\" \\ \u2028 'x' \xff end"
	d := from(alice, "web:room/lobby", "d1\r\n<b>", hostile)
	d.SenderName, d.Title = "<b>A\u202e\r\nBcc: x\x00</b>", "<i>\u2066t\n</i>"
	c.deliver(d)
	said := eve.say("r:lobby", "<img src=x onerror=alert(1)>\u0007")
	v, _ := eve.conv("r:lobby")
	want := "<script>alert(1)</script>\n\ufffd\ufffd[31mevil \"q\" \\ \n 'x' \ufffd end"
	if got := v.Messages[0]; got.Text != want || got.Name != "<b>A\ufffd\ufffdBcc: x\ufffd</b>" || got.Title != "<i>t\ufffd</i>" {
		t.Errorf("shown: %q by %q, %q", got.Text, got.Name, got.Title)
	}
	if said.Text != "<img src=x onerror=alert(1)>\ufffd" {
		t.Errorf("said: %q", said.Text)
	}
	code, body := eve.get("/api/state")
	if code != http.StatusOK || strings.ContainsAny(body, "\x00\x1b\r\n") {
		t.Errorf("the answer has raw controls: %q", body)
	}
	big := from(alice, "web:room/lobby", "d2", strings.Repeat("<\"\n\u2028", maxText/6))
	if c.deliver(big); len(big.Data) > maxText {
		t.Fatal("the test's text is too long")
	}
}

func TestStatusBecomesMark(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	conv := eve.open(string(alice))
	page := eve.listen("0", "")
	page.until("ready")
	status := func(m message, s event.State, words string) event.Delivery {
		return event.Delivery{
			ID: "s-" + string(s) + words, Kind: event.KindStatus, Target: "web:u/eve", From: alice, State: s,
			InReplyTo: nativeID(m.Conv, m.Seq), Content: event.Content{MediaType: "text/plain", Data: []byte(words)},
		}
	}
	m := eve.say(conv, "hello")
	page.marked(m.Seq, markSent)
	c.deliver(status(m, event.Accepted, ""))
	page.marked(m.Seq, markAccepted)
	c.deliver(status(m, event.Delivered, ""))
	page.marked(m.Seq, markDelivered)
	c.deliver(status(m, event.Accepted, "")) // late: changes nothing
	c.deliver(status(m, event.Failed, "sip:alice@127.0.0.1:\n<b>busy</b>"))
	if got := page.marked(m.Seq, markFailed); got.Reason != "sip:alice@127.0.0.1:\ufffd<b>busy</b>" {
		t.Errorf("reason %q", got.Reason)
	}
	c.deliver(status(m, event.Delivered, "")) // the dead letter was sent again
	page.marked(m.Seq, markDelivered)

	other := status(m, event.Failed, "no")
	other.Target = "web:u/mallory"
	if _, err := c.Deliver(t.Context(), other); !event.IsPermanent(err) {
		t.Errorf("a status for somebody else's message: %v", err)
	}
}

func TestFailuresInRoomAddUp(t *testing.T) {
	m := &message{Conv: "r:lobby", Mark: markSent}
	for _, step := range []struct{ mark, reason string }{
		{markFailed, "bob: off"}, {markDelivered, ""}, {markFailed, "bob: off"}, {markFailed, "carl: gone"},
	} {
		if n := m.marked(step.mark, step.reason); n != nil {
			m = n
		}
	}
	if m.Mark != markFailed || m.Reason != "bob: off\ncarl: gone" {
		t.Errorf("mark %s, reason %q", m.Mark, m.Reason)
	}
}
