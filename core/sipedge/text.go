package sipedge

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest texts in bytes, as they stand in a header.
const (
	maxName  = 128
	maxTitle = 256
	maxAgent = 128
	maxType  = 256
)

// plain makes text from outside harmless for one line: valid UTF-8, no
// controls, no line or paragraph separators, nothing that turns the direction
// of writing; spaces run together; at most limit bytes, cut between runes.
func plain(s string, limit int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff':
			continue
		}
		need := utf8.RuneLen(r)
		if space {
			need++
		}
		if b.Len()+need > limit {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// nameFrom returns the display name that a header's quoted-string or tokens
// stand for.
func nameFrom(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return plain(raw, maxName)
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			i++
		}
		b.WriteByte(raw[i])
	}
	return plain(b.String(), maxName)
}

// quoted returns what stands between the quotes of a display name (RFC 3261,
// section 25.1).
func quoted(name string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain(name, maxName))
}

// maxNotice keeps a notice within one datagram, in bytes.
const maxNotice = 600

// notDelivered is the text by which a phone is told of a failure.
func notDelivered(why []byte) []byte {
	text := "Not delivered. " + strings.ToValidUTF8(string(why), "\uFFFD")
	if len(text) > maxNotice {
		text = strings.ToValidUTF8(text[:maxNotice], "") + "…"
	}
	return []byte(text)
}

// checkType refuses what may not stand as a media type in a header.
func checkType(t string) error {
	if len(t) > maxType {
		return errors.New("the media type is too long")
	}
	kind, sub, _ := strings.Cut(t, "/")
	if kind == "" || sub == "" {
		return errors.New("not a media type")
	}
	for _, c := range []byte(t) {
		if c < ' ' || c >= 0x7f {
			return errors.New("the media type has a control or a letter outside ASCII")
		}
	}
	return nil
}

// isToken follows RFC 3261, section 25.1.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-.!%*_+`'~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
