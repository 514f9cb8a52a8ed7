package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
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
		return fromQuoted(body), true
	}
	return body, true
}

// fromQuoted takes what is no escape as it is. The library gives up at controls
// and at long lines.
func fromQuoted(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for line := range bytes.Lines(body) {
		words := bytes.TrimRight(line, "\r\n")
		end := line[len(words):]
		words = bytes.TrimRight(words, " \t") // added on the way
		if soft, ok := bytes.CutSuffix(words, []byte("=")); ok {
			words, end = soft, nil
		}
		for len(words) > 0 {
			c := words[0]
			if b, err := hex.DecodeString(string(words[1:min(3, len(words))])); c == '=' && err == nil && len(b) == 1 {
				c, words = b[0], words[2:]
			}
			out, words = append(out, c), words[1:]
		}
		out = append(out, end...)
	}
	return out
}

// fromBase64 leaves out what is not of the alphabet, as RFC 2045 asks. Padding
// that is missing is no matter, and behind padding may come more of it; a text
// there, such as that of a mailing list, is one.
func fromBase64(body []byte) (out []byte, whole bool) {
	words := bytes.LastIndexFunc(body, func(r rune) bool { return !isBase64(r) && !strings.ContainsRune("=\r\n", r) })
	for whole = true; ; {
		part, rest, padded := bytes.Cut(body, []byte("="))
		decoded, ok := unpadded(part)
		out, whole = append(out, decoded...), whole && ok
		rest = bytes.TrimLeft(rest, "= \t\r\n")
		if !padded || len(rest) == 0 {
			return out, whole
		}
		words -= len(body) - len(rest)
		if body = rest; words >= 0 {
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
