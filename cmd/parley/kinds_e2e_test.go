package main

import (
	"bytes"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"parley.im/plugins/matrix/matrixtest"
)

// An answer in Matrix to what a phone said is one in mail, too, also after the
// host was killed; a correction is told in words where there are none; a
// reaction is not told at all.
func TestAnswersAndCorrectionsAcrossNetworks(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	tn.send("alice", "town", "first")
	tn.shown("first", "matrix", "mail")
	var first string
	for _, e := range tn.hs.Messages(tn.room) {
		if e.Text() == "first" {
			first = e.ID
		}
	}
	tn.says(`msg=delivered connector=matrix`)
	tn.says(`msg=accepted connector=email`)
	tn.crash()
	tn.start()
	second := tn.mia.Send(tn.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "second", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": first}},
	})
	tn.phone.sees("second")
	tn.shown("second", "mail")
	mails := tn.relay.Mails()
	one, two := mailHeader(t, mails[0].Data), mailHeader(t, mails[1].Data)
	if id := one.Get("Message-Id"); id == "" || !strings.Contains(two.Get("In-Reply-To"), id) {
		t.Errorf("the second mail answers %q, not %q", two.Get("In-Reply-To"), id)
	}
	tn.mia.Send(tn.room, "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": second, "key": "👍"}})
	tn.mia.Send(tn.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* seconds", "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": second},
		"m.new_content": map[string]any{"msgtype": "m.text", "body": "seconds"},
	})
	tn.phone.sees("[corrected]\n\nseconds")
	for _, text := range tn.phone.texts() {
		if strings.Contains(text, "👍") || strings.Contains(text, "reaction") {
			t.Errorf("the phone shows %q", text)
		}
	}
}

func mailHeader(t *testing.T, data []byte) mail.Header {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

// What is changed in Matrix changes in the web chat, in its place.
func TestMatrixChangesAreShownInPlace(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	said := tn.mia.Say(tn.room, "seen?")
	m := tn.ann.sees("seen?", nil)
	tn.mia.Send(tn.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* seen it?", "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": said},
		"m.new_content": map[string]any{"msgtype": "m.text", "body": "seen it?"},
	})
	tn.ann.where(m, "the edit", func(m chatMessage) bool { return m.Text == "seen it?" && m.Edited != 0 })
	reaction := tn.mia.Send(tn.room, "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": said, "key": "👍"}})
	tn.ann.where(m, "the reaction", func(m chatMessage) bool {
		return len(m.Reactions) == 1 && m.Reactions[0].Emoji == "👍" && m.Reactions[0].Name == "Mia"
	})
	tn.mia.Send(tn.room, "m.room.redaction", map[string]any{"redacts": reaction})
	tn.ann.where(m, "that the reaction was taken back", func(m chatMessage) bool { return len(m.Reactions) == 0 })
	tn.mia.Send(tn.room, "m.room.redaction", map[string]any{"redacts": said})
	tn.ann.where(m, "the deletion", func(m chatMessage) bool { return m.Deleted && m.Text == "" })
	if got := tn.ann.texts(""); !slices.Equal(got, []string{""}) {
		t.Errorf("the chat shows %q", got)
	}
}

// A homeserver lets anybody in a room edit what anybody said, and leaves it to
// people's programs to show it or not. Nobody reads it elsewhere as the words of
// who said it.
func TestNobodyRewritesWhatOthersSaid(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	rex := tn.hs.Human("rex", "Rex")
	rex.Join(tn.room)
	said := tn.mia.Say(tn.room, "I stay")
	m := tn.ann.sees("I stay", nil)
	tn.ann.say("r:lobby", "me too")
	own := tn.ann.sees("me too", nil)
	ghost := tn.matrixEvent("me too", func(e matrixtest.Event) bool { return e.Text() == "me too" }).ID
	for _, event := range []string{said, ghost} {
		rex.Send(tn.room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "* I leave", "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": event},
			"m.new_content": map[string]any{"msgtype": "m.text", "body": "I leave"},
		})
	}
	rex.Say(tn.room, "done")
	tn.ann.sees("done", nil) // behind the edits
	tn.phone.sees("done")
	tn.ann.where(m, "mia's words", func(m chatMessage) bool { return m.Text == "I stay" && m.Edited == 0 })
	tn.ann.where(own, "ann's words", func(m chatMessage) bool { return m.Text == "me too" && m.Edited == 0 })
	if shown := strings.Join(append(tn.ann.texts(""), tn.phone.texts()...), "\n"); strings.Contains(shown, "I leave") {
		t.Errorf("somebody reads %q", shown)
	}
}

// What is changed in the web chat changes in Matrix, and is told in words on a
// phone. Answers name what they answer, both ways.
func TestWebChangesReachMatrix(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	tn.ann.say("r:lobby", "helo")
	m := tn.ann.sees("helo", nil)
	tn.phone.sees("helo")
	helo := tn.matrixEvent("helo", func(e matrixtest.Event) bool { return e.Text() == "helo" }).ID
	tn.ann.touch("edit", m, map[string]any{"text": "hello"})
	tn.phone.sees("[corrected]\n\nhello")
	tn.matrixEvent("the edit", func(e matrixtest.Event) bool {
		now, _ := e.Content["m.new_content"].(map[string]any)
		return now["body"] == "hello" && relates(e, "m.replace") == helo
	})
	question := tn.mia.Send(tn.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "who?", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": helo}},
	})
	who := tn.ann.sees("who?", func(who chatMessage) bool { return who.Reply == m.Seq })
	tn.ann.touch("react", who, map[string]any{"emoji": "👀"})
	reaction := tn.matrixEvent("the reaction", func(e matrixtest.Event) bool {
		return e.Type == "m.reaction" && relates(e, "m.annotation") == question
	}).ID
	tn.ann.touch("react", who, map[string]any{"emoji": "👀", "remove": true})
	tn.ann.post("api/messages", map[string]any{"conv": who.Conv, "text": "me", "nonce": "nonce-me", "reply": who.Seq}, nil)
	tn.matrixEvent("the answer", func(e matrixtest.Event) bool {
		about, _ := e.Content["m.relates_to"].(map[string]any)
		to, _ := about["m.in_reply_to"].(map[string]any)
		return e.Text() == "me" && to["event_id"] == question
	})
	tn.ann.touch("delete", m, nil)
	for _, gone := range []string{reaction, helo} {
		tn.matrixEvent("that it is gone", func(e matrixtest.Event) bool { return e.ID == gone && len(e.Content) == 0 })
	}
}

// matrixEvent waits for an event in the town's room.
func (tn *town) matrixEvent(what string, ok func(matrixtest.Event) bool) (found matrixtest.Event) {
	tn.t.Helper()
	tn.await("matrix", func() bool {
		list := tn.hs.Events(tn.room)
		i := slices.IndexFunc(list, ok)
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	}, func() string { return "never in Matrix: " + what })
	return found
}

// relates returns the event that e relates to in a way.
func relates(e matrixtest.Event, how string) string {
	about, _ := e.Content["m.relates_to"].(map[string]any)
	id, _ := about["event_id"].(string)
	if about["rel_type"] != how {
		return ""
	}
	return id
}
