package slack

import (
	"slices"
	"strings"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/slack/slacktest"
)

// K09: edits, deletions and reactions come in as what they are; what is no news
// or the app's own does not.
func TestWhatConcernsAnEarlierMessageComesIn(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	first := s.Say(bob, ops, "hi", "")
	p.got(1)
	said := func(user, text string, more ...string) map[string]any {
		m := map[string]any{"type": "message", "user": user, "text": text, "ts": first}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	n := 0
	tell := func(e map[string]any) {
		n++
		e["ts"] = "180000000" + string(rune('0'+n)) + ".000000"
		e["event_ts"] = e["ts"]
		s.Tell(ops, e)
		if e["want"] != nil {
			p.got(1 + e["want"].(int))
		}
	}
	tell(map[string]any{"type": "message", "subtype": "message_changed", "message": said(bob, "hi"), "previous_message": said(bob, "hi")})
	tell(map[string]any{"type": "message", "subtype": "message_changed", "message": said(s.BotUser, "x", "bot_id", s.BotID), "previous_message": said(s.BotUser, "y", "bot_id", s.BotID)})
	tell(map[string]any{"type": "message", "subtype": "message_changed", "message": said(bob, "*ho*"), "previous_message": said(bob, "hi"), "want": 1})
	tell(map[string]any{"type": "reaction_added", "user": bob, "reaction": "+1::skin-tone-2", "item": map[string]any{"type": "message", "channel": ops, "ts": first}, "want": 2})
	tell(map[string]any{"type": "reaction_added", "user": s.BotUser, "reaction": "tada", "item": map[string]any{"type": "message", "channel": ops, "ts": first}})
	tell(map[string]any{"type": "message", "subtype": "message_deleted", "deleted_ts": first, "previous_message": said(bob, "*ho*"), "want": 3})
	var got []string
	for _, in := range p.got(4)[1:] {
		if in.InReplyTo != ops+"/"+first || in.Sender != address(s.Team, bob) || in.Recipient != address(s.Team, ops) {
			t.Errorf("%+v", in)
		}
		got = append(got, string(in.Kind)+" "+string(in.Data))
	}
	if want := "edit **ho**|react 👍|redact "; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

func TestWhatConcernsAnEarlierMessageGoesOut(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	first := p.deliver(from("o1", address(s.Team, ops), event.ModeRoom, "hi")).RemoteIDs[0]
	about := func(id string, kind event.Kind, text string) event.Delivery {
		d := from(id, address(s.Team, ops), event.ModeRoom, text)
		d.Kind, d.InReplyTo = kind, first
		return d
	}
	p.deliver(about("o2", event.KindEdit, "h<o>"))
	p.deliver(about("o3", event.KindReact, "👍"))
	p.deliver(about("o3", event.KindReact, "👍")) // again, after a crash
	if m := s.Messages(ops); len(m) != 1 || m[0].Raw != "h&lt;o&gt;" || !slices.Equal(m[0].Reactions, []string{"thumbsup"}) {
		t.Errorf("%+v", m)
	}
	for name, d := range map[string]event.Delivery{
		"no such reaction": about("o4", event.KindReact, "🦖?"), "no such message": func() event.Delivery {
			d := about("o5", event.KindEdit, "x")
			d.InReplyTo = ops + "/1500000000.000000"
			return d
		}(), "somebody else's": func() event.Delivery {
			d := about("o6", event.KindEdit, "x")
			d.InReplyTo = ops + "/" + s.Say(bob, ops, "mine", "")
			return d
		}(),
	} {
		if _, err := p.c.Deliver(t.Context(), d); !event.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.deliver(about("o7", event.KindRedact, ""))
	p.deliver(about("o7", event.KindRedact, ""))
	if m := s.Messages(ops); len(m) != 1 || m[0].Text != "mine" {
		t.Errorf("%+v", m)
	}
}
