package core

import (
	"errors"
	"strings"
	"testing"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/httpd"
)

// letters returns the open dead letters.
func (h *Host) letters(t *testing.T) (list []httpd.DeadLetter) {
	t.Helper()
	if err := h.deadLetters(t.Context(), httpd.DeadQuery{Body: true}, func(l httpd.DeadLetter) { list = append(list, l) }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAMessageThatNoRouteTookIsRoutedAnew(t *testing.T) {
	h := router(t)
	for recipient, want := range map[event.Address]string{
		"chat:r/lobby": "routed to 2 targets", // alice and the yard
		"chat:r/gone":  "still: no route",
	} {
		in := event.Inbound{ID: event.InboundID("chat", string(recipient)), Lane: "lane", Envelope: event.Envelope{
			Kind: event.KindMessage, Origin: "chat", NativeID: "n1", Sender: "chat:u/eve", Recipient: recipient, Hops: 5,
		}, Content: event.Content{MediaType: "text/plain", Data: []byte("hello")}}
		if err := h.unroutable(t.Context(), in, errors.New("the route was changed")); err != nil {
			t.Fatal(err)
		}
		list := h.letters(t)
		l := list[len(list)-1]
		if l.Recipient != string(recipient) || string(l.Body) != "hello" || l.Detail != "the route was changed" {
			t.Errorf("the letter is %+v", l)
		}
		done, err := h.retryDead(t.Context(), "root", []string{l.ID, l.ID})
		if err != nil || len(done) != 2 || !strings.HasPrefix(done[0].Text, want) {
			t.Errorf("%s: %+v, %v; want %s", recipient, done, err, want)
		}
		if again := done[1]; !again.Failed {
			t.Errorf("the second time: %+v", again)
		}
	}
	if left := h.letters(t); len(left) != 1 || left[0].Recipient != "chat:r/gone" {
		t.Errorf("left open: %+v", left)
	}
	last, err := h.bus.LastSeq(t.Context(), bus.Outbounds)
	if err != nil || last != 2 {
		t.Errorf("%d Outbounds, %v; want 2", last, err)
	}
	r, err := h.bus.At(t.Context(), bus.Outbounds, 1)
	if o, ok := r.Event.(event.Outbound); !ok || err != nil || o.Generation != 2 || string(o.Data) != "hello" {
		t.Errorf("the first is %+v, %v", r.Event, err)
	}
}
