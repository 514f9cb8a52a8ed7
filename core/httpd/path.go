package httpd

import (
	"net/url"
	"strings"
)

const connectorRoot = "/c/"

// maxName bounds a connector's name in a path.
const maxName = 64

// splitPath takes /c/<name><rest> apart; rest is empty or begins with a slash
// and stays escaped as it came. ok is false for a path outside /c/.
func splitPath(escaped string) (name, rest string, ok bool) {
	tail, ok := strings.CutPrefix(escaped, connectorRoot)
	if !ok {
		return "", "", false
	}
	name, _, _ = strings.Cut(tail, "/")
	return name, tail[len(name):], true
}

// isName tells whether s can be the name of a connector instance.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// cleanPath returns the decoded form of an escaped path, unless a connector
// could read it as another path than the door did: dot segments, in any
// spelling, and control characters are refused.
func cleanPath(escaped string) (decoded string, ok bool) {
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return "", false
	}
	for _, c := range []byte(decoded) {
		if c < ' ' || c == 0x7f {
			return "", false
		}
	}
	for segment := range strings.FieldsFuncSeq(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return decoded, true
}
