package main

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"
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
