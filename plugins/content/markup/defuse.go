package markup

import "strings"

// everybody are the words that notify a whole room behind an "@": channel, here
// and everyone in Slack, room in Matrix, and what other clients know.
var everybody = []string{"channel", "here", "everyone", "room", "group", "all"}

// gap is a space without width (U+200B). Between two characters it keeps
// clients from seeing a token in them.
const gap = "\u200B"

// Defuse returns text in which no "@channel", "@here", "@everyone" or "@room"
// notifies anybody: there is a space without width behind the "@". What Write
// returns for Slack and Matrix is defused; the plain body that goes with a
// Matrix message has to be, too, for old push rules look there.
func Defuse(s string) string {
	var b strings.Builder
	from := 0
	for i := 0; ; {
		at := strings.IndexByte(s[i:], '@')
		if at < 0 {
			break
		}
		i += at + 1
		if loud(s[i:]) > 0 {
			b.WriteString(s[from:i])
			b.WriteString(gap)
			from = i
		}
	}
	if from == 0 {
		return s
	}
	b.WriteString(s[from:])
	return b.String()
}

// loud returns the length of the word for everybody that s begins with, or 0.
func loud(s string) int {
	for _, w := range everybody {
		if len(s) >= len(w) && strings.EqualFold(s[:len(w)], w) && (len(s) == len(w) || !isWord(s[len(w)])) {
			return len(w)
		}
	}
	return 0
}

// isWord tells of a character of a word as those see it who look for words that
// notify: letters beyond ASCII are none to them.
func isWord(c byte) bool { return isAlnum(c) || c == '_' }

func isAlnum(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
