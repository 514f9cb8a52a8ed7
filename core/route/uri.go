package route

import (
	"encoding/hex"
	"fmt"
	"strings"

	"parley.im/bus/event"
)

// canonical writes a SIP address so that equal ones are the same text: without
// password, port, parameters and headers, with the first domain for its
// aliases and those of a trunk for theirs, and with nothing percent-encoded without need (RFC 3261, section
// 19.1.4). Other addresses stay as they are.
func (t *Table) canonical(a event.Address) event.Address {
	rest, ok := cutScheme(string(a))
	if !ok {
		return a
	}
	user, host := "", rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, _ = strings.Cut(rest[:at], ":")
		user, host = decodeUnreserved(user)+"@", rest[at+1:]
	}
	host, _, _ = strings.Cut(host, ";")
	host, _, _ = strings.Cut(host, "?")
	host = strings.ToLower(withoutPort(host))
	if t.local(host) {
		host = strings.ToLower(t.setup.Domains[0])
	} else if first := t.behind(host); first != "" {
		host = first
	}
	return event.Address("sip:" + user + host)
}

func cutScheme(s string) (string, bool) {
	scheme, rest, ok := strings.Cut(s, ":")
	scheme = strings.ToLower(scheme)
	return rest, ok && (scheme == "sip" || scheme == "sips")
}

// withoutPort leaves an IPv6 address in brackets whole.
func withoutPort(host string) string {
	if i := strings.IndexByte(host, ']'); i >= 0 {
		return host[:i+1]
	}
	host, _, _ = strings.Cut(host, ":")
	return host
}

// decodeUnreserved decodes what is percent-encoded without need, and writes
// other escapes in upper case.
func decodeUnreserved(user string) string {
	var b strings.Builder
	for i := 0; i < len(user); i++ {
		if user[i] != '%' || i+2 >= len(user) {
			b.WriteByte(user[i])
			continue
		}
		c, err := hex.DecodeString(user[i+1 : i+3])
		switch {
		case err != nil:
			b.WriteByte('%')
			continue
		case unreserved(c[0]):
			b.WriteByte(c[0])
		default:
			fmt.Fprintf(&b, "%%%02X", c[0])
		}
		i += 2
	}
	return b.String()
}

// unreserved follows RFC 3261, section 25.1.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0
}
