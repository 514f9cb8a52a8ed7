package matrix

import (
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
