package slack

import (
	"slices"
	"strconv"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/slack/slacktest"
)

// about is a delivery that concerns what is called names in Slack.
func about(d event.Delivery, id string, kind event.Kind, text string, names ...string) event.Delivery {
	d.ID, d.Kind, d.Data, d.Files, d.InReplyTo = id, kind, []byte(text), nil, names[0]
	if kind == event.KindRedact {
		d.RemoteIDs = names
	}
	return d
}

func TestWhatConcernsAnEarlierMessageGoesOut(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	said := from("o1", address(s.Team, ops), event.ModeRoom, "hi")
	first := p.deliver(said).RemoteIDs[0]
	p.deliver(about(said, "o2", event.KindEdit, "h<o>", first))
	p.deliver(about(said, "o3", event.KindReact, "👍", first))
	p.deliver(about(said, "o3", event.KindReact, "👍", first)) // again, after a crash
	if m := s.Messages(ops); len(m) != 1 || m[0].Raw != "h&lt;o&gt;" || !slices.Equal(m[0].Reactions, []string{"thumbsup"}) {
		t.Errorf("%+v", m)
	}
	for name, d := range map[string]event.Delivery{
		"no such reaction": about(said, "o4", event.KindReact, "🦖?", first),
		"no such message":  about(said, "o5", event.KindEdit, "x", ops+"/1500000000.000000"),
		"somebody else's":  about(said, "o6", event.KindEdit, "x", ops+"/"+s.Say(bob, ops, "mine", "")),
		"no name":          about(said, "o7", event.KindEdit, "x", "nonsense"),
	} {
		if _, err := p.c.Deliver(t.Context(), d); !event.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.deliver(about(said, "o8", event.KindRedact, "", first))
	p.deliver(about(said, "o8", event.KindRedact, "", first))
	if m := s.Messages(ops); len(m) != 1 || m[0].Text != "mine" {
		t.Errorf("%+v", m)
	}
}

// A reaction is taken back by the name that its receipt gave, also one that is
// gone already, or whose message is.
func TestAReactionIsTakenBack(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	said := from("o1", address(s.Team, ops), event.ModeRoom, "hi")
	first := ops + "/" + s.Say(bob, ops, "hi", "")
	r := p.deliver(about(said, "o2", event.KindReact, "👍", first))
	p.deliver(about(said, "o3", event.KindReact, "🎉", first+"/1")) // to a file of bob's
	if want := []string{first + "/react/thumbsup/o2"}; !slices.Equal(r.RemoteIDs, want) {
		t.Errorf("it is called %q, want %q", r.RemoteIDs, want)
	}
	for range 2 {
		p.deliver(about(said, "o4", event.KindRedact, "", r.RemoteIDs...))
		if m := s.Messages(ops); len(m) != 1 || !slices.Equal(m[0].Reactions, []string{"tada"}) {
			t.Errorf("%+v", m)
		}
	}
	p.deliver(about(said, "o5", event.KindRedact, "", ops+"/1500000000.000000/react/tada"))
	if _, err := p.c.Deliver(t.Context(), about(said, "o6", event.KindRedact, "", first+"/react@1700000000.000100")); !event.IsPermanent(err) {
		t.Errorf("a person's: %v", err)
	}
}

// The app has one reaction of a kind on a message, for all outside who react so:
// it goes with the last of them. To take one's own back changes nothing for the
// others, also when it comes again, and after an answer was lost.
func TestAReactionGoesWithTheLastWhoHasIt(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	target := address(s.Team, ops)
	first := ops + "/" + s.Say(bob, ops, "hi", "")
	react := func(id string) (name string) {
		return p.deliver(about(from("", target, event.ModeRoom, ""), id, event.KindReact, "🎉", first)).RemoteIDs[0]
	}
	takeBack := func(name string) event.Delivery {
		return about(from("", target, event.ModeRoom, ""), "back", event.KindRedact, "", name)
	}
	shows := func(what string, want bool) {
		t.Helper()
		if got := s.Messages(ops)[0].Reactions; slices.Contains(got, "tada") != want {
			t.Errorf("%s: shown is %q", what, got)
		}
	}
	one, two := react("o1"), react("o2")
	if again := react("o1"); again != one || one == two {
		t.Errorf("they are called %q, %q and %q", one, again, two)
	}
	for range 2 {
		p.deliver(takeBack(one))
		shows("one of two took it back", true)
	}
	p.deliver(takeBack(react("o3")))
	shows("a third has come and gone", true)
	s.Mute("reactions.remove", 1)
	if _, err := p.attempt(takeBack(two)); err == nil || event.IsPermanent(err) {
		t.Errorf("an answer that was lost: %v", err)
	}
	p.open()
	for range 2 {
		p.deliver(takeBack(two))
		shows("the last took it back", false)
	}
	if left, err := p.backend.State().List(t.Context(), sharedPrefix, "", 10); err != nil || len(left) != 0 {
		t.Errorf("noted is %v, %v", left, err)
	}
	four := react("o4")
	p.deliver(takeBack(two))
	shows("one has it anew, the other took theirs back again", true)
	p.deliver(takeBack(first + "/react/tada")) // as earlier versions called it
	shows("without the delivery's id", false)
	p.deliver(takeBack(four))
}

// A note of who shares a reaction stays within what State takes: who reacted
// first is not in it any more.
func TestTheNoteOfASharedReactionIsBounded(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	tada := p.c.shared(spot{s.Channel("ops"), "1700000000.000100"}, "tada")
	id := func(i int) string { return event.OutboundID(strconv.Itoa(i), "", 0) }
	for i := range maxShared + 1 {
		if err := tada.join(t.Context(), id(i)); err != nil {
			t.Fatal(i, err)
		}
	}
	note, _, err := tada.read(t.Context())
	if err != nil || len(note.IDs) != maxShared || note.IDs[0] != id(1) {
		t.Errorf("%d ids, %v", len(note.IDs), err)
	}
}

// There is no going back behind an edit: to withdraw one, under the names that
// edits have and had, is settled and touches nothing.
func TestAnEditThatIsWithdrawnStays(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	said := from("o1", address(s.Team, ops), event.ModeRoom, "hi")
	first := p.deliver(said).RemoteIDs[0]
	edit := p.deliver(about(said, "o2", event.KindEdit, "ho", first)).RemoteIDs[0]
	for _, name := range []string{edit, first + "/o2", first + "/edit@1700000000.000100", first + "/edit"} {
		p.deliver(about(said, "o3", event.KindRedact, "", name))
	}
	p.deliver(about(said, "o4", event.KindEdit, "hu", edit)) // it changes what that changed
	if m := s.Messages(ops); len(m) != 1 || m[0].Text != "hu" {
		t.Errorf("%+v", m)
	}
}

// A deletion takes the files with it. What is gone already is no fault, and a
// file that Slack keeps does not keep the text, but is told.
func TestADeletionTakesTheFilesWithIt(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	said := from("o1", address(s.Team, ops), event.ModeRoom, "look")
	said.Files = []event.File{file("a.png", "one"), file("b.png", "two")}
	r := p.deliver(said)
	s.KeepFiles(true)
	d := about(said, "o2", event.KindRedact, "", r.RemoteIDs...)
	if _, err := p.c.Deliver(t.Context(), d); !event.IsPermanent(err) || len(s.Messages(ops)) != 0 || len(s.Files(ops)) != 2 {
		t.Errorf("with files that stay: %v, %+v, %q", err, s.Messages(ops), names(s.Files(ops)))
	}
	s.KeepFiles(false)
	d.RemoteIDs = append(d.RemoteIDs, "file/F0NOWHERE")
	for range 2 {
		p.deliver(d)
		if got := names(s.Files(ops)); len(got) != 0 {
			t.Errorf("left are %q", got)
		}
	}
}

// An edit can't change files: the receipt says so.
func TestTheFilesOfAnEditAreALoss(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	said := from("o1", address(s.Team, ops), event.ModeRoom, "hi")
	d := about(said, "o2", event.KindEdit, "ho", p.deliver(said).RemoteIDs[0])
	if r := p.deliver(d); len(r.Losses) != 0 {
		t.Errorf("without files it loses %q", r.Losses)
	}
	d.Files = []event.File{file("message.txt", "all of it")}
	if r := p.deliver(d); !slices.Equal(r.Losses, []string{string(notExchanged)}) || len(s.Files(ops)) != 0 {
		t.Errorf("%+v, %q", r, names(s.Files(ops)))
	}
}

// An app that was installed without the scope for reactions still posts: what
// it can't do fails, and holds nothing back.
func TestAnAppWithoutTheScopeForReactionsStillPosts(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{NoReactions: true, NoFiles: true})
	p := start(t, s, bySocket(s))
	ops := s.Channel("ops")
	said := from("o1", address(s.Team, ops), event.ModeRoom, "hi")
	first := p.deliver(said).RemoteIDs[0]
	for _, d := range []event.Delivery{
		about(said, "o2", event.KindReact, "👍", first), about(said, "o3", event.KindRedact, "", first+"/react/thumbsup"), about(said, "o4", event.KindRedact, "", first, "file/F1"),
	} {
		if _, err := p.c.Deliver(t.Context(), d); !event.IsPermanent(err) || policy(err) {
			t.Errorf("%s: %v", d.ID, err)
		}
	}
	if m := s.Messages(ops); len(m) != 0 {
		t.Errorf("with the file that stays the text stays: %+v", m)
	}
}

// A note about a file, an edit or a reaction of somebody's in Slack stands under
// the message that it belongs to.
func TestANoteStandsUnderWhatItBelongsTo(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	p := start(t, s, bySocket(s))
	ops, bob := s.Channel("ops"), s.Person("Bob")
	ts := s.Say(bob, ops, "hello", "")
	for i, rest := range []string{"/1", "/edit@1700000000.000100", "/react@1700000000.000100"} {
		d := from("n"+rest, address(s.Team, bob), "", "404 Not Found")
		d.Kind, d.State, d.InReplyTo = event.KindStatus, event.Failed, ops+"/"+ts+rest
		p.deliver(d)
		if m := s.Messages(ops); len(m) != i+2 || m[i+1].ThreadTS != ts {
			t.Errorf("%s: %+v", rest, m)
		}
	}
}
