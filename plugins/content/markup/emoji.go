package markup

import (
	"strings"

	"github.com/kyokomi/emoji/v2"
)

// Emoji returns the picture that a name without colons stands for in Slack,
// such as "tada", "+1" or "flag-de". There is no way back: Slack takes pictures
// as they are, and the table does not tell which of several names is Slack's.
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
