package slack

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

const (
	maxText     = 38_000 // bytes of a body that is taken; Slack takes 40,000 characters
	maxUsername = 80     // bytes
)

// words is the text of a message from outside, as mrkdwn.
func words(ctx context.Context, m sdk.Media, c event.Content) (string, error) {
	data, err := sdk.Body(ctx, m, c, maxText)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\n")
	if strings.TrimSpace(text) == "" {
		text = "(empty message)"
	}
	return text, nil
}

// clean drops what is not text: controls, and marks that turn the direction
// of what follows. Bytes that are not UTF-8 become U+FFFD.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return '\n'
		case unicode.IsControl(r), r >= '\u202A' && r <= '\u202E', r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, s)
}

// oneLine is a name fit to be shown: short, on one line, without marks that
// nobody sees.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, clean(s))
	return shorten(strings.Join(strings.Fields(s), " "), maxUsername)
}

// shorten cuts a text to at most n bytes.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escape makes text of s that Slack shows as it is. Nothing in it can mention
// anybody: mentions are in angle brackets, and the app never asks Slack to
// look for names (docs.slack.dev, "Formatting message text").
func escape(s string) string { return escapes.Replace(s) }

// mrkdwn reads what somebody wrote in Slack. name gives the name of a person.
func mrkdwn(src string, name func(user string) string) (*markup.Doc, error) {
	d, err := markup.Read(src, markup.Slack)
	if err != nil {
		return nil, err
	}
	d.Resolve(func(id, text string) (string, bool) {
		if text == "@"+id && (strings.HasPrefix(id, "U") || strings.HasPrefix(id, "W")) {
			return "@" + name(id), false
		}
		return text, false
	})
	return d, nil
}
