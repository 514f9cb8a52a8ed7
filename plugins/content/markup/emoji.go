package markup

import (
	"slices"
	"strings"

	"github.com/kyokomi/emoji/v2"
)

// Emoji returns the picture that a name without colons stands for in Slack,
// such as "tada", "+1" or "flag-de".
func Emoji(name string) (picture string, known bool) {
	if name == "" || strings.ContainsAny(name, " :") {
		return "", false
	}
	if picture, known = emoji.CodeMap()[":"+name+":"]; known {
		return strings.TrimSpace(picture), true
	}
	flag, ok := strings.CutPrefix(name, "flag-")
	if !ok || len(flag) != 2 || flag[0] < 'a' || flag[0] > 'z' || flag[1] < 'a' || flag[1] > 'z' {
		return "", false
	}
	return string([]rune{rune(flag[0]-'a') + '🇦', rune(flag[1]-'a') + '🇦'}), true
}

// EmojiNames returns the names that a picture may have in Slack. The table does
// not tell which of several is Slack's own; in texts Slack takes the picture.
func EmojiNames(picture string) (names []string) {
	plain := strings.TrimRight(picture, "\uFE0F")
	for _, p := range []string{picture, plain, plain + "\uFE0F"} {
		for _, n := range emoji.RevCodeMap()[p] {
			if n = strings.Trim(n, ":"); !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}
