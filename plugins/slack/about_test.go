package slack

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/slack/slacktest"
)

// changes tells the app of things that Slack calls changes of a channel.
type changes struct {
	s       *slacktest.Server
	channel string
	n       int
}

// tell tells one event, each later than the one before.
func (c *changes) tell(e map[string]any) {
	c.n++
	at := fmt.Sprintf("1800000000.%06d", c.n)
	e["ts"], e["event_ts"] = at, at
	if e["type"] == nil {
		e["type"] = "message"
	}
	c.s.Tell(c.channel, e)
}

// said is a message within an event, with more fields or others.
func was(ts, user, text string, more map[string]any) map[string]any {
	m := map[string]any{"type": "message", "user": user, "text": text, "ts": ts}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// K09: edits, deletions and reactions come in as what they are; what is no news
// or the app's own does not.
func TestWhatConcernsAnEarlierMessageComesIn(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	first := s.Say(bob, ops, "hi", "")
	p.got(1)
	c := &changes{s: s, channel: ops}
	c.tell(map[string]any{"subtype": "message_changed", "message": was(first, bob, "hi", nil), "previous_message": was(first, bob, "hi", nil)})
	c.tell(map[string]any{"subtype": "message_changed", "message": was(first, bob, "*ho*", nil), "previous_message": was(first, bob, "hi", nil)})
	p.got(2)
	c.tell(map[string]any{"subtype": "message_deleted", "deleted_ts": first, "previous_message": was(first, bob, "*ho*", nil)})
	var got []string
	for _, in := range p.got(3)[1:] {
		if in.InReplyTo != ops+"/"+first || in.Sender != address(s.Team, bob) || in.Recipient != address(s.Team, ops) {
			t.Errorf("%+v", in)
		}
		got = append(got, string(in.Kind)+" "+string(in.Data))
	}
	if want := "edit **ho**|redact "; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

// Slack says which message a reaction is to, but not in which thread that
// stands: the host is told the message alone. A reaction that is taken back is
// withdrawn by the name that it came in by, and one that is made again is
// another.
func TestReactionsComeInAndAreTakenBack(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	desk, bob, eve := s.Channel("support"), s.Person("Bob"), s.Person("Eve")
	root := p.deliver(from("o1", address(s.Team, desk), event.ModeDesk, "it is broken"))
	begin, _ := readSpot(root.Anchor)
	reply := s.Say(bob, desk, "is it?", begin.ts)
	p.got(1)
	s.React(eve, desk, reply, "tada", true) // of a reaction that nobody knows
	for _, taken := range []bool{false, true, false} {
		s.React(bob, desk, reply, "thumbsup::skin-tone-2", taken)
	}
	s.React(eve, desk, reply, "thumbsup::skin-tone-2", false)
	in := p.got(5)[1:]
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
	about := desk + "/" + reply
	for i, want := range []struct {
		kind      event.Kind
		who, what string
		text      string
	}{
		{event.KindReact, bob, about, "👍"},
		{event.KindRedact, bob, in[0].NativeID, ""},
		{event.KindReact, bob, about, "👍"},
		{event.KindReact, eve, about, "👍"},
	} {
		got := in[i]
		if got.Kind != want.kind || got.Sender != address(s.Team, want.who) || got.InReplyTo != want.what || string(got.Data) != want.text || got.Thread != "" || got.Recipient != "" {
			t.Errorf("%d: %+v", i, got)
		}
		if !strings.HasPrefix(got.NativeID, about+"/") {
			t.Errorf("%d is called %q", i, got.NativeID)
		}
	}
	if in[0].NativeID == in[2].NativeID || len(in) != 4 {
		t.Errorf("%d came in; both times it is called %q", len(in), in[0].NativeID)
	}
	if notes, err := p.backend.State().List(t.Context(), reactionPrefix, "", 10); len(notes) != 2 || err != nil {
		t.Errorf("%d reactions are noted, %v", len(notes), err)
	}
}

// An edit is by who wrote the message: what apps post, this one or another, and
// what Slack itself puts in a message's place is nobody's edit.
func TestNobodyEditsWhatAnAppHasPosted(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	mine, _ := readSpot(p.deliver(from("o1", address(s.Team, ops), event.ModeDesk, "from outside")).RemoteIDs[0])
	hers := s.Say(bob, ops, "hers", "")
	p.got(1)
	own, other := map[string]any{"bot_id": s.BotID, "app_id": s.App}, map[string]any{"bot_id": "B0OTHER", "app_id": "A0OTHER"}
	slackbots := map[string]any{"subtype": "tombstone", "hidden": true, "thread_ts": mine.ts}
	c := &changes{s: s, channel: ops}
	for _, e := range []struct{ now, before map[string]any }{
		{was(mine.ts, s.BotUser, "x", own), was(mine.ts, s.BotUser, "from outside", own)},
		{was(mine.ts, "", "x", own), was(mine.ts, "", "from outside", own)},
		{was(mine.ts, s.BotUser, "x", nil), was(mine.ts, s.BotUser, "from outside", nil)}, // a file's, which names no bot
		{was(mine.ts, bob, "x", nil), was(mine.ts, s.BotUser, "from outside", own)},
		{was(mine.ts, bob, "x", nil), was(mine.ts, bob, "from outside", own)},
		{was(mine.ts, bob, "x", map[string]any{"app_id": s.App}), was(mine.ts, bob, "from outside", map[string]any{"app_id": s.App})},
		{was("1700000000.000001", "U0OTHER", "x", other), was("1700000000.000001", "U0OTHER", "y", other)},
		{was("1700000000.000001", bob, "x", other), was("1700000000.000001", bob, "y", other)}, // an app, for bob
		{was(hers, "U0OTHER", "x", nil), was(hers, bob, "hers", nil)},
		{was(mine.ts, slackbot, "This message was deleted.", slackbots), was(mine.ts, s.BotUser, "from outside", own)},
	} {
		c.tell(map[string]any{"subtype": "message_changed", "message": e.now, "previous_message": e.before})
	}
	c.tell(map[string]any{"subtype": "message_deleted", "deleted_ts": mine.ts, "previous_message": was(mine.ts, s.BotUser, "from outside", own)})
	c.tell(map[string]any{"subtype": "message_deleted", "deleted_ts": mine.ts, "previous_message": was(mine.ts, slackbot, "This message was deleted.", slackbots)})
	s.Say(bob, ops, "last", "")
	p.got(2)
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
	if in := p.got(2); len(in) != 2 || string(in[1].Data) != "last" {
		t.Errorf("came in: %+v", in)
	}
}

// Slack tells the app what it does itself, too.
func TestTheAppsOwnChangesAreNoNews(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	d := from("o1", address(s.Team, ops), event.ModeRoom, "helo")
	d.InReplyTo = p.deliver(d).RemoteIDs[0]
	for i, kind := range []event.Kind{event.KindEdit, event.KindReact, event.KindRedact} {
		d.ID, d.Kind, d.Data = fmt.Sprint("c", i), kind, []byte("🎉")
		d.InReplyTo = p.deliver(d).RemoteIDs[0]
		if kind == event.KindEdit {
			d.InReplyTo = ops + "/" + s.Messages(ops)[0].TS
		}
	}
	s.Say(bob, ops, "last", "")
	p.got(1)
	p.await("acknowledgements", func() bool { return s.Unacknowledged() == 0 })
	if in := p.got(1); len(in) != 1 {
		t.Errorf("came in: %+v", in)
	}
}

// The beginning of a thread that is deleted leaves a tombstone, which Slack
// tells as a change.
func TestADeletedBeginningIsADeletion(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	first := s.Say(bob, ops, "hi", "")
	p.got(1)
	c := &changes{s: s, channel: ops}
	c.tell(map[string]any{
		"subtype": "message_changed", "previous_message": was(first, bob, "hi", map[string]any{"thread_ts": first}),
		"message": was(first, slackbot, "This message was deleted.", map[string]any{"subtype": "tombstone", "thread_ts": first}),
	})
	in := p.got(2)[1]
	if in.Kind != event.KindRedact || in.InReplyTo != ops+"/"+first || in.Sender != address(s.Team, bob) || len(in.Data) != 0 {
		t.Errorf("%+v", in)
	}
}

// A message with files came in as several, and each of them is withdrawn.
func TestADeletionWithdrawsTheFilesToo(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s)).connected()
	ops, bob := s.Channel("ops"), s.Person("Bob")
	before := 0
	for i, text := range []string{"see", ""} {
		ts := fmt.Sprintf("170000000%d.000000", i)
		shared := map[string]any{"subtype": "file_share", "files": []any{s.Attach("a.png", "image/png", []byte("a")), s.Attach("b.png", "image/png", []byte("b"))}}
		whole := ops + "/" + ts
		want := []string{whole, whole + "/1", whole + "/2"}
		if text == "" {
			want = want[1:]
		}
		s.Tell(ops, was(ts, bob, text, shared))
		p.got(before + len(want))
		c := &changes{s: s, channel: ops, n: 10 * i}
		c.tell(map[string]any{"subtype": "message_deleted", "deleted_ts": ts, "previous_message": was(ts, bob, text, shared)})
		var came, gone []string
		for _, in := range p.got(before + 2*len(want))[before:] {
			if in.Kind == event.KindRedact {
				gone = append(gone, in.InReplyTo)
			} else {
				came = append(came, in.NativeID)
			}
		}
		if !slices.Equal(came, want) || !slices.Equal(gone, want) {
			t.Errorf("%q came in, %q is withdrawn, want %q", came, gone, want)
		}
		before += 2 * len(want)
	}
}

// In a direct conversation the address that began it is no part of what was
// said, and the first message is that which its thread is called by.
func TestWhatIsChangedInADirectMessage(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	set := settingsJSON(map[string]any{"bot_token": s.BotToken, "app_token": s.AppToken, "api_url": s.APIURL(), "sip_domain": "example.com"})
	p := start(t, s, set).connected()
	bob := s.Person("Bob")
	dm := s.Direct(bob)
	root := s.Say(bob, dm, "alice good mourning", "")
	p.got(1)
	c := &changes{s: s, channel: dm}
	c.tell(map[string]any{"subtype": "message_changed", "message": was(root, bob, "alice good morning", nil), "previous_message": was(root, bob, "alice good mourning", nil)})
	p.got(2)
	reply := s.Say(bob, dm, "alice is your name", root)
	p.got(3)
	c.tell(map[string]any{"subtype": "message_changed", "message": was(reply, bob, "alice was your name", map[string]any{"thread_ts": root}), "previous_message": was(reply, bob, "alice is your name", nil)})
	in := p.got(4)
	for i, want := range map[int]string{1: "good morning", 3: "alice was your name"} {
		if in[i].Kind != event.KindEdit || string(in[i].Data) != want || in[i].Thread != dm+"/"+root || in[i].Recipient != "" {
			t.Errorf("%+v %q", in[i].Envelope, in[i].Data)
		}
	}
}
