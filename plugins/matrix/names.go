package matrix

import (
	"encoding/hex"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// maxID is the longest user id in bytes. Matrix specification, appendices,
// "User Identifiers".
const maxID = 255

// names tells which Matrix users are the bridge's own: the bot, and a ghost
// for each author from another network. A ghost's name can be read back:
//
//	sip:alice@example.com  ⇄  @_parley_sip_alice_example.com:hs.org
//
// The first "_" after the prefix ends the scheme, each later one is an "@".
// What a localpart cannot hold, and "_" itself, is "=" and two hex digits.
type names struct {
	prefix  string // of the ghosts' localparts
	aliases string // of the aliases' localparts
	domain  string // server name
	bot     id.UserID
}

// ghost returns the user that stands for an author. Only an author whose name
// would be too long has none.
func (n names) ghost(a event.Address) (id.UserID, error) {
	if err := a.Check(); err != nil {
		return "", fmt.Errorf("no Matrix user can stand for the author: %w", err)
	}
	u := n.user(n.prefix + a.Scheme() + "_" + encode(a.Rest()))
	if len(u) > maxID {
		return "", fmt.Errorf("no Matrix user can stand for %.80s…: its id would have %d bytes, and %d are allowed", a, len(u), maxID)
	}
	return u, nil
}

func (n names) user(localpart string) id.UserID { return id.UserID("@" + localpart + ":" + n.domain) }

// author is the reverse of ghost; ok is false for any other user.
func (n names) author(u id.UserID) (a event.Address, ok bool) {
	local, ok := strings.CutSuffix(string(u), ":"+n.domain)
	local, ours := strings.CutPrefix(local, "@"+n.prefix)
	scheme, rest, split := strings.Cut(local, "_")
	if !ok || !ours || !split || len(u) > maxID {
		return "", false
	}
	rest, ok = decode(rest)
	a = event.Address(scheme + ":" + rest)
	if !ok || a.Scheme() != scheme || a.Check() != nil {
		return "", false
	}
	return a, true
}

// owns tells whether u is the bot or in the namespace of the ghosts.
func (n names) owns(u id.UserID) bool {
	return u == n.bot || strings.HasPrefix(string(u), "@"+n.prefix) && strings.HasSuffix(string(u), ":"+n.domain)
}

// ownsAlias tells whether an alias is in the bridge's namespace.
func (n names) ownsAlias(alias string) bool {
	return strings.HasPrefix(alias, "#"+n.aliases) && strings.HasSuffix(alias, ":"+n.domain)
}

// plain tells whether a byte stands for itself in a localpart.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+'
}

func encode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '@':
			b.WriteByte('_')
		default:
			b.WriteString("=" + hex.EncodeToString([]byte{c}))
		}
	}
	return b.String()
}

// decode is the reverse of encode. Each text has one form only, so that no two
// users stand for one author.
func decode(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '_':
			b.WriteByte('@')
		case c == '=' && i+2 < len(s):
			x, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil || plain(x[0]) || x[0] == '@' || strings.ToLower(s[i+1:i+3]) != s[i+1:i+3] {
				return "", false
			}
			b.WriteByte(x[0])
			i += 2
		default:
			return "", false
		}
	}
	return b.String(), true
}
