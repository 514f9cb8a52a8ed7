package cpim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The escapes of RFC 3862, section 2.3.
var escapes = map[byte]string{'\\': `\`, '"': `"`, '\'': `'`, 'b': "\b", 't': "\t", 'n': "\n", 'r': "\r"}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New("an escape without a character")
		}
		if s[i] == 'u' {
			r, err := hex(s[i+1:])
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			i += 4
			continue
		}
		e, ok := escapes[s[i]]
		if !ok {
			return "", fmt.Errorf("escape \\%q", s[i])
		}
		b.WriteString(e)
	}
	return b.String(), nil
}

// hex reads the four digits of \uXXXX.
func hex(s string) (rune, error) {
	if len(s) < 4 {
		return 0, errors.New(`\u without four digits`)
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, fmt.Errorf(`\u%q is no character`, s[:4])
	}
	return rune(n), nil
}

// escape keeps a value on its line.
func escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
