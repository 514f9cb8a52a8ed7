package slack

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/slack/slacktest"
)

func TestAMessageIsShownAsItWasWrittenUnderItsAuthorsName(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	text := "5 < 6 & *7* @channel <!here> <@U0BOT> https://example.com"
	r := p.deliver(from("o1", address(s.Team, ops), event.ModeRoom, text))
	m := s.Messages(ops)[0]
	raw := "5 &lt; 6 &amp; *\u200b7* @\u200bchannel &lt;!here&gt; &lt;@U0BOT&gt; <https://example.com>"
	if m.Raw != raw || m.Name != "Alice" || m.ID != "o1" || m.ThreadTS != "" {
		t.Errorf("shown is %+v", m)
	}
	if r.State != event.Delivered || !slices.Equal(r.RemoteIDs, []string{ops + "/" + m.TS}) || r.Anchor != "" {
		t.Errorf("the receipt is %+v", r)
	}
}

func TestAMarkGoesWithAPost(t *testing.T) {
	d := from("o1", "slack:T0/C0", event.ModeRoom, "text")
	payload := post{id: d.ID, mark: "the mark"}.metadata().EventPayload
	if payload[outboundID] != "o1" || payload[outboundMark] != "the mark" {
		t.Errorf("the post bears %v", payload)
	}
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	post := func(id, mark string, more map[string]any) {
		e := map[string]any{
			"type": "message", "subtype": "bot_message", "ts": "170000000" + id + ".000000", "text": id,
			"metadata": map[string]any{"event_type": outboundEvent, "event_payload": map[string]any{outboundID: id, outboundMark: mark}},
		}
		for k, v := range more {
			e[k] = v
		}
		s.Tell(ops, e)
	}
	post("1", "of another bridge", map[string]any{"bot_id": "B0OTHER", "app_id": "A0OTHER"})
	post("2", "", map[string]any{"bot_id": "B0OTHER", "app_id": "A0OTHER"}) // what a bridge says for itself
	post("3", "its own", map[string]any{"bot_id": s.BotID})
	post("4", "not a bridge's", map[string]any{"user": bob, "app_id": "A0OTHER", "subtype": nil})
	in := p.got(2)
	if len(in) != 2 || in[0].Mark != "of another bridge" || in[1].Mark != "" || string(in[1].Data) != "4" {
		t.Errorf("came in: %+v", in)
	}
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
}

func TestWithoutTheScopeNamesStandBeforeTheText(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{NoNames: true})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	p.deliver(from("o1", address(s.Team, ops), event.ModeRoom, "hello"))
	if m := s.Messages(ops)[0]; m.Text != "Alice: hello" || m.Name != "" {
		t.Errorf("shown is %+v", m)
	}
}

func TestADeskHasAThreadForEachConversation(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	desk := s.Channel("support")
	first := p.deliver(from("o1", address(s.Team, desk), event.ModeDesk, "it is broken"))
	d := from("o2", address(s.Team, desk), event.ModeDesk, "still")
	d.Anchor = first.Anchor
	second := p.deliver(d)
	list := s.Messages(desk)
	if list[0].Name != "Alice · alice@example.com" || first.Anchor != desk+"/"+list[0].TS || second.Anchor != first.Anchor {
		t.Errorf("the thread begins with %+v; anchors %q and %q", list[0], first.Anchor, second.Anchor)
	}
	if list[1].ThreadTS != list[0].TS || list[1].Name != "Alice" {
		t.Errorf("the second stands at %+v", list[1])
	}
}

func TestAPersonHasAThreadForEachWhoWrites(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	bob := s.Person("Bob")
	r := p.deliver(from("o1", address(s.Team, bob), event.ModeDirect, "psst"))
	m := s.Messages(s.Direct(bob))[0]
	if m.Text != "psst" || r.Anchor != m.Channel+"/"+m.TS {
		t.Errorf("shown is %+v, the anchor %q", m, r.Anchor)
	}
}

func TestWhatSlackAnswersIsToldAsItIs(t *testing.T) {
	const unknownOutcome = "unknown"
	for _, tc := range []struct {
		name   string
		fault  func(*slacktest.Server)
		want   string // permanent, a scope, or unknown
		posted int
	}{
		{"a slower pace", func(s *slacktest.Server) { s.Limit(7 * time.Second) }, "target", 0},
		{"an answer that is lost", func(s *slacktest.Server) { s.LoseAnswers(1) }, unknownOutcome, 1},
		{"an error of Slack's own", func(s *slacktest.Server) { s.Fail(503) }, unknownOutcome, 0},
		{"a token that was revoked", func(s *slacktest.Server) { s.Revoke(true) }, "connector", 0},
		{"nobody there", func(s *slacktest.Server) { s.Close() }, "connector", 0},
		{"a channel that is archived", func(s *slacktest.Server) { s.Archive(s.All()[0].Channel, true) }, "permanent", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newWorkspace(t, slacktest.Options{})
			ops := s.Channel("ops")
			p := start(t, s, bySocket(s))
			p.deliver(from("before", address(s.Team, ops), event.ModeRoom, "before"))
			tc.fault(s)
			p.c.api.close() // idle connections
			_, err := p.c.Deliver(t.Context(), from("o1", address(s.Team, ops), event.ModeRoom, "hello"))
			scope, after, later := event.AsRetry(err)
			got := unknownOutcome
			switch {
			case event.IsPermanent(err):
				got = "permanent"
			case later:
				got = scope.String()
			}
			if err == nil || got != tc.want {
				t.Errorf("got %v, which says %s", err, got)
			}
			if tc.want == "target" && after != 7*time.Second {
				t.Errorf("after %v", after)
			}
			if n := len(s.Messages(ops)) - 1; n != tc.posted {
				t.Errorf("%d were posted", n)
			}
		})
	}
}

func TestARefusalSaysWhatTheAdminHasToDo(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	for target, want := range map[event.Address]string{
		address(s.Team, s.Closed("hidden", true)): "invite",
		address("T0OTHER", "C0"):                  "another workspace",
		address(s.Team, "C0NOWHERE"):              "no such channel",
		address(s.Team, "U0NOBODY"):               "no such person",
		"slack:nonsense":                          "no Slack address",
	} {
		_, err := p.c.Deliver(t.Context(), from("o1", target, event.ModeRoom, "hello"))
		if !event.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", target, err)
		}
	}
	open := s.Closed("open", false) // a public one it joins by itself
	p.deliver(from("o2", address(s.Team, open), event.ModeRoom, "hello"))
}

func TestItFindsWhatItPosted(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	first := time.Now()
	for _, mode := range []event.Mode{event.ModeRoom, event.ModeDesk, event.ModeDirect} {
		target := address(s.Team, ops)
		if mode == event.ModeDirect {
			target = address(s.Team, bob)
		}
		begin := from("begin-"+string(mode), target, mode, "begin")
		thread := p.deliver(begin).Anchor
		for range 450 { // more than two pages
			s.Say(bob, ops, "chatter", "")
		}
		d := from("lost-"+string(mode), target, mode, "hello")
		d.Anchor = thread
		if _, found, err := p.c.Find(t.Context(), d, first); found || err != nil {
			t.Errorf("%s: before it was sent: %v, %v", mode, found, err)
		}
		s.LoseAnswers(1)
		if _, err := p.c.Deliver(t.Context(), d); err == nil {
			t.Fatal("the answer was not lost")
		}
		r, found, err := p.c.Find(t.Context(), d, first)
		if err != nil || !found || len(r.RemoteIDs) != 1 || r.Anchor != thread {
			t.Errorf("%s: %+v, %v, %v", mode, r, found, err)
		}
		again, found, err := p.c.Find(t.Context(), begin, first)
		if err != nil || !found || again.Anchor != thread {
			t.Errorf("%s: the beginning: %+v, %v, %v", mode, again, found, err)
		}
	}
	s.Fail(500)
	if _, _, err := p.c.Find(t.Context(), from("begin-room", address(s.Team, ops), event.ModeRoom, ""), first); err == nil || event.IsPermanent(err) {
		t.Errorf("when nobody can tell: %v", err)
	}
}

func TestAFailureIsToldOnceInTheThread(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	ts := s.Say(bob, ops, "hello", "")
	d := event.Delivery{
		ID: "n1", Kind: event.KindStatus, Target: address(s.Team, bob), State: event.Failed, Automatic: true,
		InReplyTo: ops + "/" + ts, Content: event.Content{MediaType: "text/plain", Data: []byte("sip:alice@example.com: 404 Not Found")},
	}
	first := time.Now()
	p.deliver(d)
	note := s.Messages(ops)[1]
	if note.ThreadTS != ts || !strings.Contains(note.Text, "404 Not Found") {
		t.Errorf("the note is %+v", note)
	}
	if _, found, err := p.c.Find(t.Context(), d, first); !found || err != nil {
		t.Errorf("find: %v, %v", found, err)
	}
	d.InReplyTo = "nonsense"
	if _, err := p.c.Deliver(t.Context(), d); !event.IsPermanent(err) {
		t.Errorf("about nothing: %v", err)
	}
}

func TestVerdictsOfErrorsThatAreNotSlacks(t *testing.T) {
	broken := errors.New("broken pipe")
	if err := verdict(broken, true); err != broken {
		t.Errorf("after it was written: %v", err)
	}
	if scope, _, ok := event.AsRetry(verdict(broken, false)); !ok || scope != event.ScopeConnector {
		t.Error("before it was written it is known that nothing was sent")
	}
	if verdict(nil, true) != nil {
		t.Error("no error is one")
	}
}

func TestAThreadThatIsGoneBeginsAnew(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	desk := s.Channel("support")
	d := from("o1", address(s.Team, desk), event.ModeDesk, "it is broken")
	first := p.deliver(d)
	s.Delete(desk, s.Messages(desk)[0].TS)
	d.ID, d.Anchor = "o2", first.Anchor
	if _, found, err := p.c.Find(t.Context(), d, time.Now()); found || err != nil {
		t.Errorf("find in a thread that is gone: %v, %v", found, err)
	}
	r := p.deliver(d)
	m := s.Messages(desk)[0]
	if m.ThreadTS != "" || r.Anchor != desk+"/"+m.TS || m.Name != "Alice · alice@example.com" {
		t.Errorf("it stands at %+v, the anchor is %q", m, r.Anchor)
	}
}

func TestALongNameDoesNotHideTheAddress(t *testing.T) {
	d := from("o1", "slack:T/C", event.ModeDesk, "")
	for _, name := range []string{strings.Repeat("Bob ", 50), "\u200bBob"} {
		d.SenderName = name
		got := author(d, true)
		if !strings.HasPrefix(got, "Bob") || !strings.HasSuffix(got, " · alice@example.com") || len(got) > maxUsername {
			t.Errorf("%q became %q", name, got)
		}
	}
	d.SenderName = "\u2060\u200b"
	if got := author(d, true); got != "sip:alice@example.com" {
		t.Errorf("a name that nobody sees became %q", got)
	}
}

func TestTitleAndCharsetAreNotLost(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	d := from("o1", address(s.Team, ops), event.ModeRoom, "caf\xe9")
	d.Title, d.MediaType = "Lunch", "text/plain;charset=iso-8859-1"
	p.deliver(d)
	if got := s.Messages(ops)[0].Text; got != "Lunch\ncafé" {
		t.Errorf("shown is %q", got)
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	told := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Authorization") }))
	defer other.Close()
	redirecting := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer redirecting.Close()
	a := newAPI(settings{BotToken: "xoxb-secret", APIURL: redirecting.URL + "/"})
	defer a.close()
	if _, err := a.identity(t.Context()); err == nil {
		t.Error("a redirection is an answer")
	}
	select {
	case token := <-told:
		t.Errorf("another host was told %q", token)
	default:
	}
}
