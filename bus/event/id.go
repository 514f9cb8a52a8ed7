package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"
)

// id hashes a kind of id and its parts. Each part is preceded by its length,
// so that no two lists of parts hash alike by moving a boundary.
func id(kind string, parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range append([]string{kind}, parts...) {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:20]))
}

// InboundID returns the identity of a message that came in by a connector
// instance (or "sip"). From SIP the parts are the authenticated identity or
// trunk, the Request-URI's AOR, Call-ID, CSeq number and From tag; from a
// connector the native id alone.
func InboundID(connector string, parts ...string) string {
	return id("inbound", append([]string{connector}, parts...)...)
}

// OutboundID returns the identity of an Inbound assigned to a target.
func OutboundID(inbound string, target Address, generation int) string {
	return id("outbound", inbound, string(target), strconv.Itoa(generation))
}

// StatusID returns the identity of the fact that an Outbound reached a state.
func StatusID(outbound string, s State) string { return id("status", outbound, string(s)) }

// DeadID returns the identity of the dead letter of an Outbound.
func DeadID(outbound string) string { return id("dead", outbound) }
