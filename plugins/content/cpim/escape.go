package cpim

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The escapes of RFC 3862, section 2.3.
var escapes = map[byte]string{'\\': `\`, '"': `"`, '\'': `'`, 'b': "\b", 't': "\t", 'n': "\n", 'r': "\r"}

// unescape resolves escapes. What begins like one and is none stays as it is:
// some phones escape nothing.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `\`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		meant, n := meaning(rest)
		b.WriteString(meant)
		s = rest[n:]
	}
}

// meaning returns what an escape stands for, and how long it is behind its
// backslash: 0 for a backslash that is only that.
func meaning(s string) (meant string, n int) {
	if s == "" {
		return `\`, 0
	}
	if e, ok := escapes[s[0]]; ok {
		return e, 1
	}
	r, ok := unit(s)
	if !ok {
		return `\`, 0
	}
	if low, ok := unit(strings.TrimPrefix(s[5:], `\`)); ok && utf16.IsSurrogate(r) && s[5] == '\\' {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return string(pair), 11
		}
	}
	return string(r), 5 // half a character becomes U+FFFD
}

// unit reads uXXXX.
func unit(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:5], 16, 16)
	return rune(n), err == nil
}

// escape keeps a value on its line, with the spaces at its ends.
func escape(s string) string {
	var b strings.Builder
	s = strings.ToValidUTF8(s, "\uFFFD")
	begin, end := len(s)-len(strings.TrimLeftFunc(s, unicode.IsSpace)), len(strings.TrimRightFunc(s, unicode.IsSpace))
	for i, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case i < begin || i >= end || r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
