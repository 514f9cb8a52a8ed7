package web

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.im/bus/event"
)

// maxName is the longest name of a person or room.
const maxName = 32

var errName = errors.New("a name has 1 to 32 letters a-z, digits, - _ and ., and begins and ends with a letter or digit")

// checkName returns name in lower case. Names are ASCII, so that an address
// made of one can be read back and two that look alike are alike.
func checkName(name string) (string, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || len(name) > maxName {
		return "", errName
	}
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(name)-1
		if !plain && !(inner && strings.IndexByte("-_.", c) >= 0) {
			return "", errName
		}
	}
	return name, nil
}

func personAddress(name string) event.Address { return event.Address("web:u/" + name) }
func roomAddress(name string) event.Address   { return event.Address("web:room/" + name) }

// readAddress takes a web address apart; kind is "u" or "room".
func readAddress(a event.Address) (kind, name string, err error) {
	kind, name, ok := strings.Cut(a.Rest(), "/")
	if a.Scheme() != Network || !ok || kind != "u" && kind != "room" {
		return "", "", fmt.Errorf("%q is neither web:room/NAME nor web:u/NAME", string(a))
	}
	if name, err = checkName(name); err != nil {
		return "", "", fmt.Errorf("%q: %w", string(a), err)
	}
	return kind, name, nil
}

// A conversation's id is r:<room>, w:<person>:<person> in order, or
// x:<person>:<hash of the address outside>.
func roomConv(room string) string { return "r:" + room }

func pairConv(a, b string) string { return "w:" + min(a, b) + ":" + max(a, b) }

func outsideConv(person string, peer event.Address) string {
	return "x:" + person + ":" + hash("peer", string(peer))
}

// members returns the people of a conversation; everybody for a room.
func members(conv string) (names []string, everybody bool) {
	parts := strings.Split(conv, ":")
	switch {
	case parts[0] == "w" && len(parts) == 3:
		return parts[1:], false
	case parts[0] == "x" && len(parts) == 3:
		return parts[1:2], false
	}
	return nil, parts[0] == "r"
}

// normal folds what does not tell two peers apart: the case of scheme and
// host. RFC 3261, section 19.1.4.
func normal(a event.Address) event.Address {
	user, host, ok := strings.Cut(a.Rest(), "@")
	if !ok {
		return event.Address(a.Scheme() + ":" + a.Rest())
	}
	return event.Address(a.Scheme() + ":" + user + "@" + strings.ToLower(host))
}

// checkPeer says whether a page may open a conversation with an address.
func checkPeer(a event.Address) error {
	if err := a.Check(); err != nil {
		return err
	}
	if len(a) > 320 {
		return errors.New("that address is too long")
	}
	if s := a.Scheme(); s == "sip" || s == "sips" {
		user, host, ok := strings.Cut(a.Rest(), "@")
		if !ok || user == "" || host == "" || strings.ContainsAny(host, "@/\\<>\"") {
			return fmt.Errorf("%q is no SIP address; write it like sip:alice@example.com", string(a))
		}
	}
	return nil
}

// messageKey is the State key of a message.
func messageKey(conv string, seq int64) string { return "m/" + nativeID(conv, seq) }

// nativeID is what the bridge knows a message said here by.
func nativeID(conv string, seq int64) string { return fmt.Sprintf("%s/%020d", conv, seq) }

// readNativeID is the reverse of nativeID.
func readNativeID(id string) (conv string, seq int64, err error) {
	conv, digits, ok := strings.Cut(id, "/")
	seq, err = strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || seq < 0 || nativeID(conv, seq) != id {
		return "", 0, fmt.Errorf("%q is no message of this chat", id)
	}
	return conv, seq, nil
}

// hash makes a short token of parts that are secret, long or hostile.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:20]))
}

// clean makes hostile text harmless to show: valid UTF-8 and no controls, of
// which lines keeps tab and newline. Marks that turn the direction of writing
// around are removed from single lines, where they could disguise a name.
func clean(s string, lines bool) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if lines {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case lines && r == '\r':
			return '\n'
		case unicode.IsControl(r):
			return utf8.RuneError
		case !lines && (unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'):
			return -1
		}
		return r
	}, s)
}

// short cuts s to at most n bytes between characters.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
