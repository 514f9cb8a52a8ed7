// Package split divides a long text into parts for a path that takes short
// ones only, such as a SIP request of at most 1300 bytes (RFC 3428, section 8).
//
// It is pure. The parts, without their numbers and put together again, are the
// text, byte for byte.
package split

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// ErrTooSmall tells of a budget that does not hold a number and the next
// character, or that would need more parts than MaxParts.
var ErrTooSmall = errors.New("split: the budget is too small for the text")

// MaxParts is the largest number of parts that a text is divided into.
const MaxParts = 9999

// Numbered returns a text in parts of at most budget bytes each, that begin
// with "(1/3) " and so on. A text that fits is one part without a number.
func Numbered(text string, budget int) ([]string, error) {
	if len(text) <= budget {
		return []string{text}, nil
	}
	for width := 1; width <= len(strconv.Itoa(MaxParts)); width++ {
		parts, err := Parts(text, budget-len("(/) ")-2*width)
		if err != nil {
			return nil, err
		}
		if len(strconv.Itoa(len(parts))) > width {
			continue // the numbers need more room
		}
		for i := range parts {
			parts[i] = Number(i+1, len(parts)) + parts[i]
		}
		return parts, nil
	}
	return nil, fmt.Errorf("%w: more than %d parts of %d bytes", ErrTooSmall, MaxParts, budget)
}

// Number is what stands before part i of n.
func Number(i, n int) string { return "(" + strconv.Itoa(i) + "/" + strconv.Itoa(n) + ") " }

// Parts returns a text in parts of at most budget bytes each. Each ends, where
// that leaves it at least half full, behind a paragraph, else behind a line, a
// sentence, or a word, and never within what a reader takes for one character,
// unless that alone is larger than the budget: then between two code points.
// Bytes that are not UTF-8 count as a character each.
func Parts(text string, budget int) ([]string, error) {
	var parts []string
	for text != "" {
		n := len(text)
		if n > budget {
			n = cut(text, budget)
		}
		if n == 0 || len(parts) == MaxParts {
			return nil, fmt.Errorf("%w: %d bytes for a part", ErrTooSmall, budget)
		}
		parts = append(parts, text[:n])
		text = text[n:]
	}
	return parts, nil
}

// First returns the first of the parts that Parts would return, "" if the
// budget is too small.
func First(text string, budget int) string {
	if len(text) <= budget {
		return text
	}
	return text[:cut(text, budget)]
}

// cut returns how many bytes of a text that is too long the next part has, 0
// when not even one character fits.
func cut(text string, budget int) int {
	if budget <= 0 {
		return 0
	}
	end := graphemes(text, budget)
	for _, find := range []func(string) int{paragraph, line, sentence, word} {
		if n := find(text[:end]); n > end/2 && n == graphemes(text, n) {
			return n
		}
	}
	if end == 0 {
		return runes(text, budget)
	}
	return end
}

// runes returns how many bytes the whole code points take that fit.
func runes(text string, budget int) int {
	n := 0
	for n < len(text) {
		_, size := utf8.DecodeRuneInString(text[n:])
		if n+size > budget {
			break
		}
		n += size
	}
	return n
}

// graphemes returns how many bytes the whole characters take that fit.
func graphemes(text string, budget int) int {
	n, state := 0, -1
	// No more is looked at than decides: one code point behind the budget.
	for rest := text[:min(len(text), budget+utf8.UTFMax)]; rest != ""; {
		// Of printable ASCII all but the last are a character each.
		if next := ascii(rest[:min(len(rest), budget-n+1)]); next > 1 {
			next--
			n, rest, state = n+next, rest[next:], -1
			continue
		}
		var c string
		c, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if n+len(c) > budget {
			break
		}
		n += len(c)
	}
	return n
}

// ascii returns how many printable ASCII characters a text begins with.
func ascii(s string) int {
	n := 0
	for n < len(s) && s[n] >= ' ' && s[n] < 0x7F {
		n++
	}
	return n
}

// Each of these returns the end of the last of what it is named for, or 0.

func paragraph(s string) int { return after(s, "\n\n") }

func line(s string) int { return after(s, "\n") }

func after(s, sep string) int {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return i + len(sep)
	}
	return 0
}

func sentence(s string) int {
	for i := len(s); i > 0; {
		r, size := utf8.DecodeLastRuneInString(s[:i])
		i -= size
		if !unicode.IsSpace(r) {
			if strings.ContainsRune("。！？", r) {
				return i + size
			}
			continue
		}
		if before, _ := utf8.DecodeLastRuneInString(s[:i]); strings.ContainsRune(".!?…", before) {
			return i + size
		}
	}
	return 0
}

func word(s string) int {
	if i := strings.LastIndexFunc(s, unicode.IsSpace); i >= 0 {
		_, size := utf8.DecodeRuneInString(s[i:])
		return i + size
	}
	return 0
}
