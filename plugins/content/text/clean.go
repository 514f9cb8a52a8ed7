package text

import (
	"strings"
	"unicode/utf8"
)

// Clean makes text harmless to show on any screen. Its lines end in "\n";
// bytes that are not UTF-8, and controls but "\n" and tab, become U+FFFD, so
// that no terminal obeys them; marks that turn the direction of what follows
// around are taken out (U+202A to U+202E, U+2066 to U+2069). Clean text is
// returned as it is, without a copy.
func Clean(s string) string {
	at := dirt(s)
	if at == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:at])
	for i := at; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\r' && strings.HasPrefix(s[i+1:], "\n"): // one line end, not two
		case isLineEnd(r):
			b.WriteByte('\n')
		case isTurn(r):
		case isControl(r):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// dirt returns where the first character is that Clean changes, or len(s).
func dirt(s string) int {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7F || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || isLineEnd(r) || isControl(r) {
			return i
		}
		i += size
	}
	return len(s)
}

// isLineEnd tells of what ends a line beside "\n": carriage return, the two
// tabulators of printers, next line, and Unicode's own two.
func isLineEnd(r rune) bool {
	return r == '\r' || r == '\v' || r == '\f' || r == '\u0085' || r == '\u2028' || r == '\u2029'
}

func isTurn(r rune) bool { return r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069' }

// isControl tells of characters that are neutralised and stand for no line.
func isControl(r rune) bool {
	control := r < ' ' || r >= 0x7F && r < 0xA0
	return (control && r != '\n' && r != '\t' && !isLineEnd(r)) || isTurn(r)
}

// Line makes one line of clean words: what separates them becomes one space, and
// there is none at the ends.
func Line(s string) string { return strings.Join(strings.Fields(Clean(s)), " ") }

// CRLF ends every line of clean text with "\r\n", as mail and SIP want it.
func CRLF(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
