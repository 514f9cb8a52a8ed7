package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// maxText is the largest body that Deliver takes, in bytes. An event has at
// most 65,536 bytes with everything around it (Matrix specification, client
// API, "Size limits"), and some characters of a text grow on the way.
const maxText = 59000

// maxContent is the largest content of an event that leaves room for what the
// homeserver adds.
const maxContent = 61000

// text reads a body as text that is harmless to show. What it cannot read it
// refuses for good.
func text(ctx context.Context, media sdk.Media, body event.Content) (string, error) {
	kind, params, err := mime.ParseMediaType(body.MediaType)
	if err != nil && body.MediaType != "" || err == nil && !strings.HasPrefix(kind, "text/") {
		return "", event.Permanent(fmt.Errorf("only text goes to Matrix, not %q", body.MediaType))
	}
	data := body.Data
	if body.Ref != "" {
		if data, err = fetch(ctx, media, body); err != nil {
			return "", err
		}
	}
	if len(data) > maxText {
		return "", event.Permanent(fmt.Errorf("the message has %d bytes; a Matrix event holds %d", len(data), maxText))
	}
	switch strings.ToLower(params["charset"]) {
	case "iso-8859-1", "latin1":
		data = latin1(data)
	}
	return clean(string(data), true), nil
}

func fetch(ctx context.Context, media sdk.Media, body event.Content) ([]byte, error) {
	if body.Size > maxText {
		return nil, event.Permanent(fmt.Errorf("the message has %d bytes; a Matrix event holds %d", body.Size, maxText))
	}
	r, err := media.Open(ctx, body)
	if err != nil {
		return nil, event.Retry(event.ScopeMessage, 0, fmt.Errorf("read the body: %w", err))
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err != nil {
		return nil, event.Retry(event.ScopeMessage, 0, fmt.Errorf("read the body: %w", err))
	}
	return data, nil
}

// latin1 writes ISO 8859-1 as UTF-8: its bytes are the first code points.
func latin1(data []byte) []byte {
	out := make([]rune, len(data))
	for i, b := range data {
		out[i] = rune(b)
	}
	return []byte(string(out))
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
