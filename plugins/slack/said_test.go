package slack

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/slack/slacktest"
)

func TestWhatPeopleSayComesInOnce(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	root := s.Say(bob, ops, "look at &lt;this&gt; <@"+bob+"> in <#C1|general>: <https://example.com|here>", "")
	s.Say(bob, ops, "and this", root)
	in := p.got(2)
	want := `look at \<this\> \@Bob in \#general: [here](https://example.com)`
	if in[0].Sender != address(s.Team, bob) || in[0].SenderName != "Bob" || in[0].Recipient != address(s.Team, ops) ||
		in[0].NativeID != ops+"/"+root || in[0].Thread != "" || string(in[0].Data) != want || in[0].MediaType != "text/markdown;charset=utf-8" || time.Since(in[0].Sent) > time.Minute {
		t.Errorf("the first is %+v %q", in[0], in[0].Data)
	}
	if in[1].Thread != ops+"/"+root {
		t.Errorf("the second stands in %q", in[1].Thread)
	}
	s.Repeat(2)
	s.Say(bob, ops, "last", "")
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
	if n := len(p.got(3)); n != 3 {
		t.Errorf("the host has %d messages", n)
	}
}

func TestWhatIsNothingNewlySaidStaysOut(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	p.deliver(from("o1", address(s.Team, ops), event.ModeRoom, "an echo"))
	for i, fields := range []map[string]any{
		{"subtype": "message_changed", "message": map[string]any{"text": "edited"}},
		{"subtype": "message_deleted", "deleted_ts": "1.1"},
		{"subtype": "channel_join", "user": bob, "text": "joined"},
		{"type": "reaction_added", "user": bob},
		{"user": bob, "text": "no time", "ts": "yesterday"},
		{"user": s.BotUser, "text": "the app, without more"},
		{"bot_id": s.BotID, "subtype": "bot_message", "text": "the app under a name"},
	} {
		e := map[string]any{"type": "message", "ts": fmt.Sprintf("1700000000.%06d", i)}
		for k, v := range fields {
			e[k] = v
		}
		s.Tell(ops, e)
	}
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000001.000000", "subtype": "bot_message", "bot_id": "B0OTHER", "username": "builder", "text": "build 7 failed"})
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000002.000000", "subtype": "me_message", "user": bob, "text": "waves"})
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000003.000000", "subtype": "file_share", "user": bob, "text": "see", "files": []any{map[string]any{"name": "plan.pdf"}}})
	in := p.got(3)
	var texts []string
	for _, m := range in {
		texts = append(texts, string(m.Data))
	}
	if want := []string{"build 7 failed", "* waves", "see\n\n[file: plan.pdf]"}; !slices.Equal(texts, want) {
		t.Errorf("came in: %q, want %q", texts, want)
	}
	if !in[0].Automatic || in[0].SenderName != "builder" || in[0].Sender != address(s.Team, "B0OTHER") {
		t.Errorf("another app's post is %+v", in[0].Envelope)
	}
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
}

func TestABurstOverARenewalComesInOnceAndInOrder(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{SendAgain: 300 * time.Millisecond})
	p := start(t, s, bySocket(s)).connected()
	bob := s.Person("Bob")
	channels := []string{s.Channel("a"), s.Channel("b")}
	const n = 60
	for i := range n {
		for _, c := range channels {
			s.Say(bob, c, fmt.Sprintf("%02d", i), "")
		}
		switch i {
		case 20:
			s.Refresh()
		case 40:
			s.Cut()
		}
	}
	if got := len(p.got(2 * n)); got != 2*n {
		t.Errorf("the host has %d messages, want %d", got, 2*n)
	}
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
	if got := len(p.backend.Inbounds()); got != 2*n {
		t.Errorf("in the end the host has %d messages, want %d", got, 2*n)
	}
}

func TestWhatTheHostCanNotStoreIsNotAcknowledged(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{SendAgain: 200 * time.Millisecond})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	p.backend.SetBusy(sdk.ErrBusy)
	_, body := s.Event(bob, ops, "hello", "")
	if err := s.Push(t.Context(), body); err == nil {
		t.Error("it was acknowledged although it is not stored")
	}
	p.backend.SetBusy(nil)
	if err := s.Push(t.Context(), body); err != nil {
		t.Errorf("stored, it was not acknowledged: %v", err)
	}
	p.got(1)
}

func TestADirectMessageNamesWhomItIsFor(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{Pace: true})
	set := settingsJSON(map[string]any{"bot_token": s.BotToken, "app_token": s.AppToken, "api_url": s.APIURL(), "sip_domain": "example.com"})
	p := start(t, s, set).connected()
	bob := s.Person("Bob")
	dm := s.Direct(bob)
	ts := s.Say(bob, dm, "<mailto:alice@example.org|alice@example.org> good morning", "")
	s.Say(bob, dm, "<tel:+15551234|+15551234> call me", "")
	s.Say(bob, dm, "and in the thread", ts)
	in := p.got(3)
	if in[0].Recipient != "sip:alice@example.org" || string(in[0].Data) != "good morning" || in[0].Thread != dm+"/"+ts {
		t.Errorf("the first is %+v %q", in[0].Envelope, in[0].Data)
	}
	if in[1].Recipient != "sip:+15551234@example.com" || string(in[1].Data) != "call me" {
		t.Errorf("the second is %+v %q", in[1].Envelope, in[1].Data)
	}
	if in[2].Recipient != "" || in[2].Thread != dm+"/"+ts {
		t.Errorf("in the thread: %+v", in[2].Envelope)
	}

	p.backend.Refuse("sip:nobody@example.com")
	s.Say(bob, dm, "nobody are you there", "")
	s.Say(bob, dm, "hello", "")
	p.await("two hints", func() bool { return len(s.Messages(dm)) == 7 })
	s.Repeat(2)
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
	hints := 0
	for _, m := range s.Messages(dm) {
		if m.User == s.BotUser {
			hints++
			if !strings.Contains(m.Text, "alice Hello") || m.ThreadTS == "" {
				t.Errorf("the hint is %+v", m)
			}
		}
	}
	if hints != 2 {
		t.Errorf("%d hints, want one for each message", hints)
	}
}

func TestEventsOverHTTPNeedASignature(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, byHTTP(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	_, body := s.Event(bob, ops, "hello", "")
	post := func(body []byte, change func(http.Header)) (int, string) {
		r, err := http.NewRequest(http.MethodPost, p.url+eventsPath, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		s.Sign(r.Header, body, time.Now())
		change(r.Header)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	same := func(http.Header) {}
	for name, change := range map[string]func(http.Header){
		"none":            func(h http.Header) { h.Del("X-Slack-Signature") },
		"another's":       func(h http.Header) { h.Set("X-Slack-Signature", "v0="+strings.Repeat("00", 32)) },
		"an old one":      func(h http.Header) { s.Sign(h, body, time.Now().Add(-6*time.Minute)) },
		"of the future":   func(h http.Header) { s.Sign(h, body, time.Now().Add(6*time.Minute)) },
		"of another body": func(h http.Header) { s.Sign(h, []byte("{}"), time.Now()) },
	} {
		if code, _ := post(body, change); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
	if n := len(p.backend.Inbounds()); n != 0 {
		t.Fatalf("%d messages came in", n)
	}
	if code, text := post([]byte(`{"type":"url_verification","challenge":"c0ffee"}`), same); code != 200 || text != "c0ffee" {
		t.Errorf("the challenge: %d %q", code, text)
	}
	if code, _ := post([]byte(`{`), same); code != http.StatusBadRequest {
		t.Errorf("nonsense: %d", code)
	}
	if code, _ := post(bytes.Repeat([]byte("x"), maxEvent+1), same); code != http.StatusRequestEntityTooLarge {
		t.Errorf("too much: %d", code)
	}
	p.backend.SetBusy(sdk.ErrBusy)
	if code, _ := post(body, same); code != http.StatusServiceUnavailable {
		t.Errorf("busy: %d", code)
	}
	p.backend.SetBusy(nil)
	for range 2 {
		if code, _ := post(body, same); code != http.StatusOK {
			t.Errorf("a good one: %d", code)
		}
	}
	if n := len(p.backend.Inbounds()); n != 1 {
		t.Errorf("%d messages came in", n)
	}
}

func TestNamesHoldNoMessageUp(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	s.Slow("users.info", patience)
	began := time.Now()
	s.Say(bob, ops, strings.Repeat("<@U0SOMEBODY> <@U0ANOTHER> ", 100), "")
	in := p.got(1)
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v to store", took)
	}
	if in[0].SenderName != bob || !strings.HasPrefix(string(in[0].Data), "@U0SOMEBODY @U0ANOTHER") {
		t.Errorf("it came in from %q as %.40q", in[0].SenderName, in[0].Data)
	}
}

func TestAFieldOfAnotherTypeLosesNoMessage(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000000.000001", "user": bob, "text": "hello",
		"files": "none", "bot_id": nil, "username": 7, "metadata": []any{}, "attachments": map[string]any{}})
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000001.000001", "bot_id": "B0OTHER", "attachments": []any{map[string]any{"fallback": "build 7 failed"}}})
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000002.000001", "text": "from nobody"})
	s.Tell(ops, map[string]any{"type": "message", "ts": "1700000003.000001", "user": "USLACKBOT", "text": "a reminder"})
	in := p.got(3)
	if string(in[0].Data) != "hello" || string(in[1].Data) != "build 7 failed" || string(in[2].Data) != "a reminder" || !in[2].Automatic {
		t.Errorf("came in: %q %q %q", in[0].Data, in[1].Data, in[2].Data)
	}
}
