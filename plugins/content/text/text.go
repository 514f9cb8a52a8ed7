// Package text reads and writes text/plain: charsets, format=flowed (RFC 3676),
// line endings, and characters that do more than stand for themselves.
//
// It is pure. Any bytes are read: what can't be understood is replaced by
// U+FFFD, and nothing is left out in silence.
package text

import (
	"strings"

	"parley.im/plugins/content"
	"parley.im/plugins/content/mediatype"
)

// What reading can lose.
const (
	UnknownCharset content.Loss = "charset unknown, read as UTF-8"
	WrongCharset   content.Loss = "charset wrong, read as UTF-8"
	GuessedCharset content.Loss = "charset guessed"
	InvalidBytes   content.Loss = "bytes without meaning replaced"
	Controls       content.Loss = "control characters neutralised"
)

// Read returns a text body as clean UTF-8 with lines that end in "\n". The
// charset, format and delsp parameters of mediaType are honoured; a type that
// can't be read counts as text/plain.
func Read(mediaType string, body []byte) (string, content.Losses) {
	kind, params := mediatype.Parse(mediaType)
	s, losses := Decode(body, params["charset"])
	if (kind == "" || kind == "text/plain") && strings.EqualFold(params["format"], "flowed") {
		s = Unflow(s, strings.EqualFold(params["delsp"], "yes"))
	}
	clean := Clean(s)
	if strings.ContainsFunc(s, isControl) {
		losses.Add(Controls)
	}
	return clean, losses
}
