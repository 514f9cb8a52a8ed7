package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"parley.im/bus/event"
)

// The marks of a message that was said here.
const (
	markSending   = "sending"   // durable here, not yet stored by the bridge
	markSent      = "sent"      // the bridge has it, or it concerns nobody outside
	markAccepted  = "accepted"  // the far side took responsibility
	markDelivered = "delivered" // it reached somebody
	markDisplayed = "displayed" // somebody saw it
	markFailed    = "failed"    // it did not reach somebody; Reason says why
)

// ranks orders the marks; failed is beside the order, see marked.
func rank(mark string) int {
	return slices.Index([]string{markSending, markSent, markAccepted, markDelivered, markDisplayed}, mark)
}

// A message is one thing said in a conversation. It is never changed in place:
// a new mark or an edit makes a new message with the same Seq and a higher Rev.
type message struct {
	Conv      string        `json:"conv"`
	Seq       int64         `json:"seq"`  // place in the conversation
	Rev       int64         `json:"rev"`  // number of its last change
	Time      int64         `json:"time"` // milliseconds since 1970
	From      event.Address `json:"from"`
	Name      string        `json:"name,omitempty"`
	Title     string        `json:"title,omitempty"`
	Mark      string        `json:"mark,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Thread    string        `json:"thread,omitempty"` // anchor of the thread it stands in
	Anchor    string        `json:"anchor,omitempty"` // of a message from outside: the thread that answers it
	Automatic bool          `json:"automatic,omitempty"`
	Nonce     string        `json:"nonce,omitempty"`    // the page's own, so that a repeated post is one message
	Delivery  string        `json:"delivery,omitempty"` // id of the delivery it came by
	Reply     int64         `json:"reply,omitempty"`    // Seq of the message that it answers
	Edited    int64         `json:"edited,omitempty"`   // milliseconds since 1970; 0 when it reads as it was said
	Deleted   bool          `json:"deleted,omitempty"`  // what it said is gone
	Reactions []reaction    `json:"reactions,omitempty"`
	Pending   []int64       `json:"pending,omitempty"` // numbers of changes made here that the bridge has not stored yet
	HTML      string        `json:"html,omitempty"`    // Text with its formats, as package markup writes HTML
	Files     []file        `json:"files,omitempty"`
	Text      string        `json:"text,omitempty"`

	revision uint64 // of its State entry
}

// encode gives the State value: a line of JSON without the text, and the text
// as it is, so that no text grows beyond what a value may hold.
func (m *message) encode() []byte {
	head := *m
	head.Text = ""
	return append(append(marshal(head), '\n'), m.Text...)
}

func decodeMessage(value []byte) (*message, error) {
	head, text, ok := bytes.Cut(value, []byte("\n"))
	if !ok {
		return nil, errors.New("a stored message has no text")
	}
	var m message
	if err := json.Unmarshal(head, &m); err != nil {
		return nil, fmt.Errorf("a stored message: %w", err)
	}
	m.Text = string(text)
	return &m, nil
}

// view is what a page is given: files are asked for by their place.
func (m *message) view() []byte { return marshal(m.shown()) }

// id is what the bridge knows m by.
func (m *message) id() string { return cmp.Or(m.Delivery, nativeID(m.Conv, m.Seq)) }

// thread is where an answer to m belongs.
func (m *message) thread() string { return cmp.Or(m.Anchor, m.Thread) }

// shown is m as others may see it.
func (m *message) shown() *message {
	if len(m.Files) == 0 && m.Pending == nil {
		return m
	}
	n := *m
	n.Pending = nil
	n.Files = slices.Clone(m.Files)
	for i := range n.Files {
		n.Files[i].Ref, n.Files[i].SHA256 = "", ""
	}
	return &n
}

// shown are messages as others may see them.
func shown(list []*message) []*message {
	out := make([]*message, len(list))
	for i, m := range list {
		out[i] = m.shown()
	}
	return out
}

// marshal writes v on one line. The values here can always be written.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// visibleTo tells whether a person who holds a name since a number may see m.
// Who takes over a name does not see the predecessor's conversations.
func (m *message) visibleTo(person string, since int64) bool {
	names, everybody := members(m.Conv)
	return everybody || m.Seq >= since && slices.Contains(names, person)
}

// marked returns m with a later mark, or nil when it would change nothing.
// Failures add up, for a room may fail towards several people; a delivery
// after a failure, of a repeated dead letter, counts in a direct conversation.
func (m *message) marked(mark, reason string) *message {
	n := *m
	switch {
	case mark == markFailed && m.Mark == markFailed:
		if reason == "" || containsReason(m.Reason, reason) || len(m.Reason) > maxReason {
			return nil
		}
		n.Reason = m.Reason + "\n" + reason
	case mark == markFailed:
		n.Reason = reason
	case m.Mark == markFailed:
		if _, everybody := members(m.Conv); everybody || rank(mark) < rank(markDelivered) {
			return nil
		}
		n.Reason = ""
	case rank(mark) <= rank(m.Mark):
		return nil
	}
	n.Mark = mark
	n.Reason = short(n.Reason, 2*maxReason)
	return &n
}

const maxReason = 500
