// Package conversation knows who talks to whom where: the tokens that name
// conversations, lanes and targets on the bus without personal data, and what
// is remembered of a conversation: its route and correspondent, and the thread
// it goes on in at each target.
package conversation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strings"

	"parley.im/bus/event"
)

// Tokens makes opaque names. They are an HMAC with a key that the hosts of one
// store share: a plain hash of a phone number is guessed in seconds.
type Tokens struct{ key []byte }

// NewTokens returns the tokens of a key.
func NewTokens(key []byte) Tokens { return Tokens{slices.Clone(key)} }

// Inbound names what one sender says at one address in one thread of its
// network: a filter for subscribers, no unit of order.
func (t Tokens) Inbound(sender, recipient event.Address, thread string) string {
	return t.name("inbound", string(sender), string(recipient), thread)
}

// Conversation names a conversation of a route.
func (t Tokens) Conversation(route string, participants []string) string {
	return t.name("conversation", append([]string{route}, participants...)...)
}

// Lane names a conversation towards one target: the unit of order.
func (t Tokens) Lane(route, conversation string, target event.Address) string {
	return t.name("lane", route, conversation, string(target))
}

// Target names a target address of a connector.
func (t Tokens) Target(connector string, target event.Address) string {
	return t.name("target", connector, string(target))
}

// name is 128 bits in lower-case letters and digits, fit for a subject. Each
// part is preceded by its length.
func (t Tokens) name(kind string, parts ...string) string {
	h := hmac.New(sha256.New, t.key)
	var n [8]byte
	for _, p := range append([]string{kind}, parts...) {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}
