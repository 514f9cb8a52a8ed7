package mapping

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
)

// Decode undoes a transfer encoding (RFC 2045, section 6) as far as the bytes
// let it: what can't be undone stays as it is. It tells whether all could be.
// An encoding that nobody knows is none.
func Decode(encoding string, body []byte) (decoded []byte, whole bool) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return fromBase64(body)
	case "quoted-printable":
		return fromQuoted(body)
	}
	return body, true
}

// fromQuoted escapes the controls that have no place in the encoding: the
// library stops there.
func fromQuoted(body []byte) ([]byte, bool) {
	var b bytes.Buffer
	b.Grow(len(body))
	for _, c := range body {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			fmt.Fprintf(&b, "=%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	out, err := io.ReadAll(quotedprintable.NewReader(&b))
	return out, err == nil
}

// fromBase64 leaves out what is not of the alphabet, as RFC 2045 asks. Padding
// that is missing is no matter, and behind padding may come more of it; a text
// there, such as that of a mailing list, is one.
func fromBase64(body []byte) (out []byte, whole bool) {
	for whole = true; ; {
		part, rest, padded := bytes.Cut(body, []byte("="))
		decoded, ok := unpadded(part)
		out, whole = append(out, decoded...), whole && ok
		if body = bytes.TrimLeft(rest, "= \t\r\n"); !padded || len(body) == 0 {
			return out, whole
		}
		if bytes.ContainsFunc(body, func(r rune) bool { return !isBase64(r) && !strings.ContainsRune("=\r\n", r) }) {
			return append(append(out, "\r\n"...), body...), false
		}
	}
}

func unpadded(part []byte) (decoded []byte, whole bool) {
	letters := bytes.Map(func(r rune) rune {
		if isBase64(r) {
			return r
		}
		return -1
	}, part)
	whole = len(letters)%4 != 1 && (len(letters) > 0 || len(bytes.TrimSpace(part)) == 0)
	if len(letters)%4 == 1 {
		letters = letters[:len(letters)-1]
	}
	decoded, err := base64.RawStdEncoding.AppendDecode(nil, letters)
	return decoded, whole && err == nil
}

func isBase64(r rune) bool {
	return r == '+' || r == '/' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}
