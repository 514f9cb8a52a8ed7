package markup

import (
	"iter"
	"strings"
)

// pieces splits words into those that are Web addresses (see isBare) and what
// is between them.
func pieces(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		from := 0
		for i := 0; ; {
			at := strings.Index(s[i:], "://")
			if at < 0 {
				break
			}
			i += at
			begin := i - len("http")
			if i >= from+5 && (s[i-1] == 's' || s[i-1] == 'S') {
				begin--
			}
			end := bareEnd(s, i)
			if begin >= from && (begin == 0 || !isWord(s[begin-1])) && isBare(s[begin:end]) {
				if begin > from && !yield(s[from:begin]) || !yield(s[begin:end]) {
					return
				}
				from = end
			}
			i = max(end, i+3)
		}
		if from < len(s) {
			yield(s[from:])
		}
	}
}

// bareEnd returns where an address in words ends: before a space or what
// encloses it, and before the punctuation of the sentence.
func bareEnd(s string, i int) int {
	end := len(s)
	if n := strings.IndexAny(s[i:], " \t<>\"'`()[]{}|\\^"); n >= 0 {
		end = i + n
	}
	for end > i && strings.IndexByte(".,;:!?*_~", s[end-1]) >= 0 {
		end--
	}
	return end
}

// isBare tells whether s is a Web address just as it would be linked, so that
// it can stand between angle brackets in Markdown and Slack.
func isBare(s string) bool {
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") || strings.Contains(s, "&") {
		return false
	}
	url, ok := address(s)
	return ok && url == s
}
