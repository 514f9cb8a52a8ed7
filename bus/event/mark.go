package event

import (
	"slices"
	"strconv"
	"strings"
)

// A Mark goes with a message to the networks that have room for data nobody
// sees, so that a bridge that meets the message there knows it again: messages
// that cross several bridges go round in no circle.
type Mark struct {
	ID   string   // id of the Inbound at the first bridge
	Hops int      // bridges it may still cross
	Seen []string // PlaceToken of rooms that have it, or get it from who wrote the mark
}

// Limits of a mark. A mark beyond them is none.
const (
	maxMark = 512
	maxSeen = 32
)

// PlaceToken is how a mark names a room's address. It is short and says nothing
// to somebody who does not know the address; two addresses have the same once
// in 2^40.
func PlaceToken(a Address) string { return id("place", string(a))[:8] }

// String returns the mark as it travels: ID, hops and places joined by ";" and
// ".", in lower-case letters and digits. The oldest places are left out when
// there are too many.
func (m Mark) String() string {
	seen := m.Seen[max(len(m.Seen)-maxSeen, 0):]
	return m.ID + ";" + strconv.Itoa(m.Hops) + ";" + strings.Join(seen, ".")
}

// ParseMark reads what String wrote. Anybody may have written s: ok is false
// for what is no mark.
func ParseMark(s string) (m Mark, ok bool) {
	parts := strings.Split(s, ";")
	if len(s) > maxMark || len(parts) != 3 || !isToken(parts[0], 32) {
		return Mark{}, false
	}
	hops, err := strconv.ParseUint(parts[1], 10, 7)
	if err != nil {
		return Mark{}, false
	}
	m = Mark{ID: parts[0], Hops: int(hops)}
	if parts[2] == "" {
		return m, true
	}
	m.Seen = strings.Split(parts[2], ".")
	bad := slices.ContainsFunc(m.Seen, func(t string) bool { return !isToken(t, 8) })
	if bad || len(m.Seen) > maxSeen {
		return Mark{}, false
	}
	return m, true
}

// isToken tells whether s is n characters of base32.
func isToken(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
