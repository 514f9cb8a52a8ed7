package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

// maxText is the largest body that Deliver takes, in bytes. An event has at
// most 65,536 bytes with everything around it (Matrix specification, client
// API, "Size limits"), and some characters of a text grow on the way.
const maxText = 59000

// maxContent is the largest content of an event that leaves room for what the
// homeserver adds.
const maxContent = 61000

// text returns the words of a body, and their form as HTML of Matrix if they
// have one.
func text(ctx context.Context, media sdk.Media, body event.Content) (words, html string, err error) {
	data, err := sdk.Body(ctx, media, body, maxText)
	if err != nil {
		return "", "", err
	}
	if kind, _, _ := strings.Cut(body.MediaType, ";"); markup.Form(kind) != markup.Matrix {
		return markup.Defuse(clean(string(data), true)), "", nil
	}
	doc, err := markup.Read(string(data), markup.Matrix)
	if err != nil {
		return "", "", event.Permanent(err)
	}
	words, err = doc.Write(markup.Plain)
	return markup.Defuse(words), string(data), err
}

// clean makes hostile text harmless: valid UTF-8 and no controls, of which
// lines keeps tab and newline. Marks that turn the direction of writing around
// are removed from single lines, where they could disguise a name.
func clean(s string, lines bool) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if lines {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case lines && r == '\r':
			return '\n'
		case unicode.IsControl(r):
			return utf8.RuneError
		case !lines && (unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'):
			return -1
		}
		return r
	}, s)
}

// short cuts s to at most n bytes between characters.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// hash makes a short token of parts: for keys and transaction ids.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:20]))
}
