// Package imdn reads and writes what instant messages say about their
// delivery (RFC 5438): the headers by which a sender asks, and the
// message/imdn+xml that answers.
//
// It is pure, and reads bytes from outside: nothing here panics, and XML with
// a document type, entities of its own, or depth is refused.
package imdn

import (
	"slices"
	"strings"

	"parley.im/plugins/content/cpim"
)

// MediaType is that of a notification.
const MediaType = "message/imdn+xml"

// Space is the name space of the CPIM headers.
const Space = "urn:ietf:params:imdn"

// The CPIM headers, without the prefix.
const (
	MessageID   = "Message-ID"
	Disposition = "Disposition-Notification"
)

// MaxID is the longest Message-ID in bytes that is taken for one.
const MaxID = 256

// Ask is what a sender wants to be told of.
type Ask string

// What can be asked for (RFC 5438, section 6.2).
const (
	Positive   Ask = "positive-delivery"
	Negative   Ask = "negative-delivery"
	Processing Ask = "processing"
	Display    Ask = "display"
)

// Request returns the Message-ID of a message and what its sender asks for.
// Without an id nothing can be asked.
func Request(m cpim.Message) (id string, asks []Ask) {
	id = m.Value(Space, MessageID)
	if id == "" || len(id) > MaxID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", nil
	}
	for _, v := range m.Values(Space, Disposition) {
		for a := range strings.SplitSeq(v, ",") {
			a, _, _ = strings.Cut(a, ";")
			ask := Ask(strings.ToLower(strings.TrimSpace(a)))
			if slices.Contains([]Ask{Positive, Negative, Processing, Display}, ask) && !slices.Contains(asks, ask) {
				asks = append(asks, ask)
			}
		}
	}
	return id, asks
}

// Headers returns the CPIM headers by which a message asks.
func Headers(id string, asks ...Ask) []cpim.Header {
	list := []cpim.Header{{Name: "NS", Value: "imdn <" + Space + ">"}, {Name: "imdn." + MessageID, Value: id}}
	if len(asks) == 0 {
		return list
	}
	words := make([]string, len(asks))
	for i, a := range asks {
		words[i] = string(a)
	}
	return append(list, cpim.Header{Name: "imdn." + Disposition, Value: strings.Join(words, ", ")})
}
