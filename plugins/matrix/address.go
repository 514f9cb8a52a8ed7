package matrix

import (
	"fmt"
	"net/url"
	"strings"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// Network is the connector's network and the scheme of its addresses.
const Network = "matrix"

// The kinds of a Matrix address, by the sigil of the identifier it stands for.
const (
	aUser  = '@'
	aAlias = '#'
	aRoom  = '!'
)

// kinds are the words of matrix: URIs. Matrix specification, appendices, "URIs".
var kinds = map[string]byte{"u": aUser, "r": aAlias, "roomid": aRoom}

// A target is a Matrix address taken apart.
type target struct {
	kind byte     // sigil
	id   string   // the identifier with its sigil
	via  []string // servers that know the room
}

// readAddress takes a Matrix address apart: matrix:u/bob:hs.org,
// matrix:r/room:hs.org, matrix:roomid/xyz:hs.org?via=hs.org.
func readAddress(a event.Address) (target, error) {
	wrong := fmt.Errorf("%q is no Matrix address; write matrix:u/NAME:SERVER, matrix:r/ALIAS:SERVER or matrix:roomid/ID:SERVER", string(a))
	rest, query, _ := strings.Cut(a.Rest(), "?")
	word, escaped, ok := strings.Cut(rest, "/")
	kind := kinds[word]
	name, err := url.PathUnescape(escaped)
	if a.Scheme() != Network || !ok || kind == 0 || err != nil || name == "" || len(name) > 254 {
		return target{}, wrong
	}
	local, server, ok := strings.Cut(name, ":")
	if kind != aRoom && (!ok || local == "" || server == "") {
		return target{}, wrong
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return target{}, wrong
	}
	return target{kind, string(kind) + name, values["via"]}, nil
}

// userAddress returns the address of a Matrix user.
func userAddress(u id.UserID) event.Address {
	return event.Address(Network + ":u/" + escape(strings.TrimPrefix(string(u), "@")))
}

// aliasAddress returns the address of a room by its alias.
func aliasAddress(alias string) event.Address {
	return event.Address(Network + ":r/" + escape(strings.TrimPrefix(alias, "#")))
}

// escape writes an identifier so that it is one part of a URI.
func escape(name string) string { return url.PathEscape(name) }

// An anchor is a room's id, with "/" and the root event where the conversation
// is a thread.
func anchor(room id.RoomID, root id.EventID) string {
	if root == "" {
		return string(room)
	}
	return string(room) + "/" + string(root)
}

// readAnchor is the reverse of anchor. It returns no room for what is none.
func readAnchor(a string) (room id.RoomID, root id.EventID) {
	if !strings.HasPrefix(a, "!") {
		return "", ""
	}
	if i := strings.Index(a, "/$"); i > 0 {
		return id.RoomID(a[:i]), id.EventID(a[i+1:])
	}
	return id.RoomID(a), ""
}
