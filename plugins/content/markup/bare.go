package markup

import (
	"iter"
	"strings"
)

// pieces splits words into those that are Web addresses, each with the address
// as it is linked, and what is between them, with "".
func pieces(s string) iter.Seq2[string, string] {
	return func(yield func(words, url string) bool) {
		from := 0
		for i := 0; ; {
			at := strings.Index(s[i:], "://")
			if at < 0 {
				break
			}
			i += at
			begin := i - len("http")
			if i >= from+5 && s[i-1]|0x20 == 's' {
				begin--
			}
			if begin < from || !onWeb(s[begin:i]) || begin > 0 && isWord(s[begin-1]) {
				i += 3
				continue
			}
			end := bareEnd(s, i)
			if url, ok := address(s[begin:end]); ok {
				if begin > from && !yield(s[from:begin], "") || !yield(s[begin:end], url) {
					return
				}
				from = end
			}
			i = max(end, i+3)
		}
		if from < len(s) {
			yield(s[from:], "")
		}
	}
}

// bareEnd returns where an address in words ends: before a space or what
// encloses it, and before the punctuation of the sentence. Round brackets that
// it opens and closes itself are its own.
func bareEnd(s string, i int) int {
	end := min(len(s), i+maxURL+1) // an address of that length is none
	var opened [8]int
	open := 0
scan:
	for at, r := range s[i:end] {
		switch {
		case r == '(' && open < len(opened):
			opened[open] = i + at
			open++
		case r == ')' && open > 0:
			open--
		case r <= ' ' || strings.ContainsRune("<>\"`()[]{}|\\^\u00A0", r) || refused(r):
			end = i + at
			break scan
		}
	}
	if open > 0 {
		end = opened[0]
	}
	return i + len(strings.TrimRight(s[i:end], ".,;:!?'*_~"))
}

func onWeb(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// bareURL returns the address that s is on the Web, or "". It can stand between
// angle brackets in Markdown and Slack.
func bareURL(s string) string {
	if scheme, _, _ := strings.Cut(s, ":"); !onWeb(scheme) {
		return ""
	}
	url, _ := address(s)
	return url
}
