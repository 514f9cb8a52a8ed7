package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

func TestSaidInRoomReachesBridge(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	page := bob.listen("0", "")
	page.until("ready")
	m := eve.say("r:lobby", "hello")
	if got := parse[message](t, page.until("message").data); got.Text != "hello" || got.From != "web:u/eve" {
		t.Errorf("bob sees %+v", got)
	}
	in := <-c.host.put
	if in.Kind != event.KindMessage || in.Sender != "web:u/eve" || in.SenderName != "eve" || in.Recipient != "web:room/lobby" ||
		string(in.Data) != "hello" || in.MediaType != "text/plain;charset=utf-8" || in.NativeID != nativeID(m.Conv, m.Seq) {
		t.Errorf("the bridge got %+v", in)
	}
	page.marked(m.Seq, markSent)
}

func TestAnswerStandsInThread(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	c.deliver(from(alice, "web:room/lobby", "d1", "help"))
	v, _ := eve.conv("r:lobby")
	post := func(reply int64) int {
		code, _ := eve.post("/api/messages", postRequest{Conv: "r:lobby", Text: "coming", Nonce: nonce(), Reply: reply})
		return code
	}
	if code := post(v.Messages[0].Seq); code != http.StatusOK {
		t.Fatalf("reply: %d", code)
	}
	if in := <-c.host.put; in.Thread != "d1" {
		t.Errorf("thread %q, want d1", in.Thread)
	}
	if code := post(4711); code != http.StatusNotFound {
		t.Errorf("reply to nothing: %d", code)
	}
}

func TestWhatTheBridgeSaysBecomesMark(t *testing.T) {
	for _, tc := range []struct {
		name    string
		to      string
		answers []error
		mark    string
		puts    int
	}{
		{"a room without a route is local", "r:lobby", []error{sdk.ErrRefused}, markSent, 1},
		{"no route to a phone", "", []error{fmt.Errorf("refused: %w", sdk.ErrRefused)}, markFailed, 1},
		{"busy, then stored", "", []error{sdk.ErrBusy, sdk.ErrBusy}, markSent, 3},
		{"never", "", []error{event.Permanent(errors.New("bad"))}, markFailed, 1},
		{"unknown, then stored", "r:lobby", []error{errors.New("what?")}, markSent, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := start(t, newState(), "")
			c.host.answers = tc.answers
			eve := c.join("eve")
			if tc.to == "" {
				tc.to = eve.open(string(alice))
			}
			page := eve.listen("0", "")
			m := eve.say(tc.to, "hello")
			page.marked(m.Seq, tc.mark)
			if n := len(c.host.put); n != tc.puts {
				t.Errorf("%d puts, want %d", n, tc.puts)
			}
			for range tc.puts {
				if in := <-c.host.put; in.NativeID != nativeID(m.Conv, m.Seq) {
					t.Errorf("native id %s changed", in.NativeID)
				}
			}
		})
	}
}

func TestRepeatedPostIsOneMessage(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	p := postRequest{Conv: "r:lobby", Text: "once", Nonce: "12345678"}
	var seqs []int64
	for range 2 {
		_, body := eve.post("/api/messages", p)
		seqs = append(seqs, parse[message](t, body).Seq)
	}
	if v, _ := eve.conv("r:lobby"); seqs[0] != seqs[1] || len(v.Messages) != 1 {
		t.Errorf("posts became %v, the room has %q", seqs, texts(v.Messages))
	}
}

// What was answered with success reaches the bridge although the connector
// stops before each of the following writes, or in the middle of Put.
func TestPostCrashPoints(t *testing.T) {
	for write := 1; write <= 4; write++ {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, applied %v", write, applied), func(t *testing.T) { crashDuringPost(t, write, applied) })
		}
	}
}

func crashDuringPost(t *testing.T, write int, applied bool) {
	s := newState()
	first := start(t, s, "")
	first.host.hold = make(chan struct{})
	eve := first.join("eve")
	s.crashAt(write, applied)
	post := postRequest{Conv: "r:lobby", Text: "mine", Nonce: nonce()}
	code, _ := eve.post("/api/messages", post)
	close(first.host.hold)
	if write > 2 { // after the answer: wait until the bridge has been asked
		<-first.host.put
	}
	first.Close(t.Context())
	s.revive()

	second := start(t, s, "")
	eve.chat = second
	page := eve.listen("0", "")
	if code != http.StatusOK {
		if code, body := eve.post("/api/messages", post); code != http.StatusOK {
			t.Fatalf("repeated: %d %s", code, body)
		}
	}
	for {
		m := parse[message](t, page.until("message").data)
		if m.Mark == markSent {
			break
		}
	}
	v, _ := eve.conv("r:lobby")
	if !slices.Equal(texts(v.Messages), []string{"mine"}) {
		t.Errorf("the room shows %q", texts(v.Messages))
	}
	ids := map[string]bool{}
	for len(second.host.put) > 0 {
		ids[(<-second.host.put).NativeID] = true
	}
	if len(ids) > 1 {
		t.Errorf("the bridge got several: %v", ids)
	}
}

func TestWaitingMessagesAreHandedOverAtOpen(t *testing.T) {
	s := newState()
	first := start(t, s, "")
	first.host.hold = make(chan struct{}) // the bridge never answers
	eve := first.join("eve")
	for i := range 5 {
		eve.say("r:lobby", fmt.Sprint(i))
	}
	first.Close(t.Context())
	second := start(t, s, "")
	for i := range 5 {
		select {
		case in := <-second.host.put:
			if string(in.Data) != fmt.Sprint(i) {
				t.Errorf("%d came as %q", i, in.Data)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was handed over")
		}
	}
}

func TestPairTalksLocally(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob, mallory := c.join("eve"), c.join("bob"), c.join("mallory")
	id := eve.open("@bob")
	eve.say(id, "psst")
	if v, ok := bob.conv(id); !ok || v.Kind != "person" || v.Title != "eve" || !slices.Equal(texts(v.Messages), []string{"psst"}) || v.Unread != 1 {
		t.Errorf("bob sees %+v", v)
	}
	if code, _ := mallory.post("/api/messages", postRequest{Conv: id, Text: "x", Nonce: nonce()}); code != http.StatusNotFound {
		t.Errorf("mallory writes there: %d", code)
	}
	bob.post("/api/leave", struct{}{})
	if code, _ := eve.post("/api/messages", postRequest{Conv: id, Text: "x", Nonce: nonce()}); code != http.StatusNotFound {
		t.Errorf("eve writes to nobody: %d", code)
	}
	if n := len(c.host.put); n != 0 {
		t.Errorf("the bridge was told %d times", n)
	}
}

func TestOpen(t *testing.T) {
	c := start(t, newState(), `{"sip_domain": "127.0.0.1"}`)
	eve := c.join("eve")
	c.join("bob")
	for _, tc := range []struct {
		to   string
		code int
		peer event.Address
	}{
		{"alice", 200, "sip:alice@127.0.0.1"},
		{"alice@Example.COM", 200, "sip:alice@example.com"},
		{"sip:Alice@EXAMPLE.com", 200, "sip:Alice@example.com"},
		{"@bob", 200, "web:u/bob"},
		{"web:u/bob", 200, "web:u/bob"},
		{"@eve", 400, ""},
		{"@nobody", 404, ""},
		{"web:room/lobby", 400, ""},
		{"sip:nohost", 400, ""},
		{"sip:a b@c", 400, ""},
		{"sip:a@b\u0000", 400, ""},
		{"", 400, ""},
	} {
		code, body := eve.post("/api/open", map[string]string{"to": tc.to})
		if code != tc.code || code == 200 && parse[convView](t, body).Peer != tc.peer {
			t.Errorf("open %q: %d %s, want %d %s", tc.to, code, body, tc.code, tc.peer)
		}
	}
	c.host.refuses = sdk.ErrRefused
	if code, _ := eve.post("/api/open", map[string]string{"to": "sip:x@nowhere.example"}); code != http.StatusUnprocessableEntity {
		t.Errorf("an address without a route: %d", code)
	}
}
