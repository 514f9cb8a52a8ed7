// Package mediatype reads the values of Content-Type and Content-Disposition,
// also as programs write them that don't keep to RFC 2045: a boundary or a file
// name without quotes, an encoded word or a charset of its own in a name. What
// the message is about hangs on these.
//
// It is pure, and takes any bytes.
package mediatype

import (
	"mime"
	"net/url"
	"strings"

	"golang.org/x/net/html/charset"
)

// Parse returns what stands before the first semicolon, in lower case, and the
// parameters by their names in lower case. It never fails: a parameter that is
// written wrongly is what stands between its "=" and the next semicolon. Only
// so much of the value is read.
func Parse(s string) (kind string, params map[string]string) {
	s = s[:min(len(s), maxSize)]
	kind, params, err := mime.ParseMediaType(s)
	if err == nil && !strings.Contains(s, "*=") && !strings.Contains(s, "=?") {
		return kind, params
	}
	head, rest, _ := strings.Cut(s, ";")
	if params == nil {
		params = map[string]string{}
	}
	for len(params) < maxParams {
		var p string
		if p, rest = next(rest); p == "" && rest == "" {
			break
		}
		name, value, _ := strings.Cut(p, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		value = bare(strings.TrimSpace(value))
		if plain, extended := strings.CutSuffix(name, "*"); extended {
			name, value = plain, charsetValue(value)
		}
		if _, known := params[name]; !known && name != "" {
			params[name] = value
		}
	}
	for name, value := range params {
		if params[name] = strings.ToValidUTF8(value, "\uFFFD"); name == "name" || name == "filename" {
			params[name] = words(value)
		}
	}
	kind, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(head)), " ") // what comes behind it lacks its semicolon
	return kind, params
}

const (
	maxSize   = 8 << 10
	maxParams = 32
)

// next returns what stands before the next semicolon that is not in quotes.
func next(s string) (param, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++
		case ';':
			if !quoted {
				return s[:i], s[i+1:]
			}
		}
	}
	if before, after, ok := strings.Cut(s, ";"); quoted && ok { // they never end
		return before, after
	}
	return s, ""
}

// bare takes quotes off a value, and a comment (RFC 2045, section 5.1).
func bare(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		s, _, _ = strings.Cut(s, " (")
		return strings.Trim(s, `"`)
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// charsetValue reads charset'language'percent-encoded (RFC 2231, section 4).
func charsetValue(s string) string {
	label, rest, ok := strings.Cut(s, "'")
	_, value, ok2 := strings.Cut(rest, "'")
	decoded, err := url.PathUnescape(value)
	if !ok || !ok2 || err != nil {
		return s
	}
	return inUTF8(label, decoded)
}

// words resolves encoded words, which have no place in a parameter (RFC 2047,
// section 5) and stand there all the same.
func words(s string) string {
	d := mime.WordDecoder{CharsetReader: charset.NewReaderLabel}
	if out, err := d.DecodeHeader(s); err == nil {
		s = out
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func inUTF8(label, s string) string {
	if enc, _ := charset.Lookup(label); enc != nil {
		if out, err := enc.NewDecoder().String(s); err == nil {
			return out
		}
	}
	return s // made valid by words
}
