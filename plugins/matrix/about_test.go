package matrix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk/sdktest"
)

// X10: replies, edits, deletions and reactions come in as what they are.
func TestWhatConcernsAnEarlierMessageComesIn(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	b := start(t, hs, sdktest.NewBackend())
	room := direct(t, hs, bob)
	first := bob.Say(room, "hi")
	to := map[string]any{"event_id": first}
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "yes", "m.relates_to": map[string]any{"m.in_reply_to": to}})
	bob.Send(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* ho", "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": first},
		"m.new_content": map[string]any{"msgtype": "m.text", "body": "ho", "format": "org.matrix.custom.html", "formatted_body": "<b>ho</b>"},
	})
	bob.Send(room, "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": first, "key": "👍"}})
	bob.Send(room, "m.room.redaction", map[string]any{"redacts": first})
	bob.Send(room, "m.room.redaction", map[string]any{"redacts": 7})
	bob.Send(room, "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": first, "key": strings.Repeat("x", maxKey+1)}})
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "* x", "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": first}})
	b.settled()
	var got []string
	for _, in := range b.Inbounds()[1:] {
		if in.InReplyTo != first || in.Sender != "matrix:u/bob:hs.org" || in.Recipient == "" {
			t.Errorf("%+v", in)
		}
		got = append(got, string(in.Kind)+" "+string(in.Data))
	}
	if want := "message yes|edit <p><strong>ho</strong></p>|react 👍|redact "; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

func TestWhatConcernsAnEarlierMessageGoesOut(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	first := b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "hi")).RemoteIDs[0]
	about := func(id string, kind event.Kind, text string) event.Delivery {
		d := to("matrix:r/ops:hs.org", event.ModeRoom, id, text)
		d.Kind, d.InReplyTo = kind, first
		return d
	}
	b.deliver(about("d2", event.KindMessage, "yes"))
	edit := about("d3", event.KindEdit, "**ho**")
	edit.MediaType = "text/markdown"
	b.deliver(edit)
	b.deliver(edit) // again, after a crash
	b.deliver(about("d4", event.KindReact, "👍"))
	msgs := hs.Messages(room)
	relates := func(c map[string]any) map[string]any { m, _ := c["m.relates_to"].(map[string]any); return m }
	if reply, _ := relates(msgs[1].Content)["m.in_reply_to"].(map[string]any); reply["event_id"] != first {
		t.Errorf("the reply is %v", msgs[1].Content)
	}
	c := msgs[2].Content
	now, _ := c["m.new_content"].(map[string]any)
	if len(msgs) != 3 || relates(c)["rel_type"] != "m.replace" || relates(c)["event_id"] != first || c["body"] != "* ho" || now["body"] != "ho" || now["formatted_body"] != "<strong>ho</strong>" {
		t.Errorf("the edit is %v", c)
	}
	var reactions, withdrawn int
	for _, e := range hs.Events(room) {
		if e.Type == "m.reaction" && relates(e.Content)["key"] == "👍" && relates(e.Content)["event_id"] == first && e.Sender == alice {
			reactions++
		}
	}
	b.deliver(about("d5", event.KindRedact, ""))
	for _, e := range hs.Events(room) {
		if e.ID == first && len(e.Content) == 0 {
			withdrawn++
		}
	}
	if reactions != 1 || withdrawn != 1 {
		t.Errorf("%d reactions, %d withdrawn", reactions, withdrawn)
	}
}

// Everybody may send an edit of anything; only who wrote a message edits it.
func TestAnEditOfSomebodyElsesMessageIsPassedOver(t *testing.T) {
	hs := newHomeserver(t)
	bob, carol := hs.Human("bob", ""), hs.Human("carol", "")
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	carol.Join(room)
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/ops:hs.org")
	bridged := b.deliver(to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "from outside")).RemoteIDs[0]
	his := bob.Say(room, "from Bob")
	b.settled()
	for _, tc := range []struct {
		name  string
		who   *matrixtest.Human
		about string
		want  int
	}{
		{"of what was said outside", bob, bridged, 0},
		{"of what somebody else said", carol, his, 0},
		{"of what cannot be looked at", carol, "$none", 1},
		{"of one's own", bob, his, 1},
	} {
		n := len(b.Inbounds())
		edit(tc.who, room, tc.about, "changed")
		b.settled()
		if got := len(b.Inbounds()) - n; got != tc.want {
			t.Errorf("%s: %d came in; want %d", tc.name, got, tc.want)
		}
	}
	if n := b.host.log.count("passed over"); n != 2 {
		t.Errorf("the log says so %d times", n)
	}
}

func edit(who *matrixtest.Human, room, about, text string) {
	who.Send(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* " + text, "m.new_content": map[string]any{"msgtype": "m.text", "body": text},
		"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": about},
	})
}

// A deleted message does not say any more in which thread it stood: the host
// knows by the message.
func TestWhatConcernsAMessageAtADeskNamesNoThread(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "desk", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/desk:hs.org")
	root := b.deliver(to("matrix:r/desk:hs.org", event.ModeDesk, "d1", "help")).RemoteIDs[0]
	his := bob.Answer(room, root, "how?")
	hs.FailAt("/event/", 1, 500, "M_UNKNOWN") // it is asked again
	edit(bob, room, his, "how so?")
	bob.Send(room, "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": root, "key": "👍"}})
	bob.Send(room, "m.room.redaction", map[string]any{"redacts": his})
	b.settled()
	var got []string
	for _, in := range b.Inbounds()[1:] {
		got = append(got, string(in.Kind)+" "+in.InReplyTo)
		if in.Thread != room || in.Recipient != "matrix:r/desk:hs.org" {
			t.Errorf("%s in %q to %q", in.Kind, in.Thread, in.Recipient)
		}
	}
	if want := []string{"edit " + his, "react " + root, "redact " + his}; !slices.Equal(got, want) {
		t.Errorf("came in %q; want %q", got, want)
	}
}

// Who answers without a thread is not told that it goes nowhere because the
// homeserver has failed once.
func TestAnAnswerWaitsUntilItsThreadCanBeTold(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "")
	room := bob.Create(matrixtest.Room{Alias: "desk", Public: true})
	b := start(t, hs, sdktest.NewBackend(), "matrix:r/desk:hs.org")
	root := b.deliver(to("matrix:r/desk:hs.org", event.ModeDesk, "d1", "help")).RemoteIDs[0]
	hs.FailAt("/event/", 1, 500, "M_UNKNOWN")
	bob.Send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "how?", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": root}}})
	b.settled()
	if in := b.Inbounds(); len(in) != 1 || in[0].Thread != room+"/"+root {
		t.Errorf("came in: %+v", in)
	}
}

func TestAnEditChangesTheWordsOnly(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	for i, tc := range []struct{ words, want string }{{"ho", "ho"}, {"", "[file not passed on: a.png]"}} {
		d := to("matrix:r/ops:hs.org", event.ModeRoom, fmt.Sprint("d", i), tc.words)
		d.Kind, d.InReplyTo, d.Files = event.KindEdit, "$first", []event.File{file("a.png", "image/png", "a")}
		r := b.deliver(d)
		msgs := hs.Messages(room)
		now, _ := msgs[len(msgs)-1].Content["m.new_content"].(map[string]any)
		if len(msgs) != i+1 || now["body"] != tc.want || now["msgtype"] != "m.text" || len(r.RemoteIDs) != 1 || !slices.Equal(r.Losses, []string{string(notEdited)}) {
			t.Errorf("%q: %v, %+v", tc.words, now, r)
		}
	}
}

// X09: an edit says everything twice, and has room for it once.
func TestALargeTextCanBeEdited(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	for i, tc := range []struct {
		name, text    string
		outer, format bool
	}{
		{"small", strings.Repeat("x", 1000), true, true},
		{"half of what fits", strings.Repeat("x", 25_000), false, true},
		{"all that fits", strings.Repeat("x", maxText), false, false},
	} {
		d := to("matrix:r/ops:hs.org", event.ModeRoom, fmt.Sprint("d", i), tc.text)
		d.Kind, d.InReplyTo, d.MediaType = event.KindEdit, "$first", "text/vnd.matrix.html"
		b.deliver(d)
		msgs := hs.Messages(room)
		c := msgs[len(msgs)-1].Content
		now, _ := c["m.new_content"].(map[string]any)
		_, formatted := now["formatted_body"]
		if len(msgs) != i+1 || now["body"] != tc.text || (c["body"] == "* "+tc.text) != tc.outer || formatted != tc.format {
			t.Errorf("%s: body of %d bytes, new body of %d, formatted %v", tc.name, len(c["body"].(string)), len(now["body"].(string)), formatted)
		}
	}
}

func TestADeletionTakesTheFilesToo(t *testing.T) {
	hs := newHomeserver(t)
	room := hs.Human("bob", "").Create(matrixtest.Room{Alias: "ops", Public: true})
	b := start(t, hs, sdktest.NewBackend())
	d := to("matrix:r/ops:hs.org", event.ModeRoom, "d1", "look")
	d.Files = []event.File{file("a.png", "image/png", "a"), file("b.png", "image/png", "b")}
	ids := b.deliver(d).RemoteIDs
	redact := to("matrix:r/ops:hs.org", event.ModeRoom, "d2", "")
	redact.Kind, redact.InReplyTo, redact.RemoteIDs = event.KindRedact, ids[0], ids
	r := b.deliver(redact)
	if again := b.deliver(redact); !slices.Equal(r.RemoteIDs, again.RemoteIDs) || len(r.RemoteIDs) != 3 {
		t.Errorf("the receipts are %+v and %+v", r, again)
	}
	for _, m := range hs.Messages(room) {
		if len(m.Content) > 0 {
			t.Errorf("still there: %v", m.Content)
		}
	}
}
