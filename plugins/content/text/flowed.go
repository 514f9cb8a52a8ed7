package text

import (
	"strings"

	"github.com/rivo/uniseg"
)

// signature separates what is below it from the text and never flows
// (RFC 3676, section 4.3).
const signature = "-- "

// Unflow joins the lines of a format=flowed text that belong together
// (RFC 3676, section 4). With delsp the space at the end of a flowed line was
// only a mark and is left out. A quoted line keeps its quote marks.
func Unflow(s string, delsp bool) string {
	var b strings.Builder
	b.Grow(len(s))
	open := false // the line before ended in a space that makes it flow on
	depth := 0
	for i, line := range strings.Split(lines(s), "\n") {
		d, words := quoted(line)
		words = strings.TrimPrefix(words, " ") // section 4.4: space-stuffing
		joins := open && d == depth && words != signature
		if i > 0 && !joins {
			b.WriteByte('\n')
		}
		if !joins && d > 0 {
			b.WriteString(strings.Repeat(">", d))
			if words != "" {
				b.WriteByte(' ')
			}
		}
		open = strings.HasSuffix(words, " ") && words != signature
		depth = d
		if open && delsp {
			words = words[:len(words)-1]
		}
		b.WriteString(words)
	}
	return b.String()
}

// quoted returns how deep a line is quoted, and what stands behind the marks.
func quoted(line string) (depth int, words string) {
	for depth < len(line) && line[depth] == '>' {
		depth++
	}
	return depth, line[depth:]
}

// lines gives text line ends of one kind.
func lines(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// Width is how many characters a flowed line has at most, where it can be
// broken (RFC 3676, section 4.2).
const Width = 72

// Flow breaks long lines so that Unflow joins them again (RFC 3676, section
// 4.2). Spaces at the end of a line are taken off, for they would join it with
// the next. A word longer than a line is broken only with delsp, and never
// within what a reader takes for one character.
func Flow(s string, delsp bool) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/Width*2 + 2)
	for i, line := range strings.Split(lines(s), "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		depth, words := quoted(line)
		marks := line[:depth]
		if depth > 0 {
			words = strings.TrimPrefix(words, " ")
		}
		if words != signature {
			words = strings.TrimRight(words, " ")
		}
		flow(&b, marks, words, delsp)
	}
	return b.String()
}

// flow writes one paragraph.
func flow(b *strings.Builder, marks, words string, delsp bool) {
	room := max(Width-len(marks)-2, Width/4)
	for first := true; first || words != ""; first = false {
		if !first {
			b.WriteByte('\n')
		}
		part, rest := cut(words, room, delsp)
		b.WriteString(marks)
		// A quoted line is stuffed always, for it is read better so; another
		// only where it has to be.
		if marks != "" && part != "" || strings.HasPrefix(part, " ") || strings.HasPrefix(part, ">") || strings.HasPrefix(part, "From ") {
			b.WriteByte(' ')
		}
		b.WriteString(part)
		if rest != "" && delsp {
			b.WriteByte(' ')
		}
		words = rest
	}
}

// cut takes the first line of at most room characters, where that can be; what
// is not the last ends in a space, or with delsp anywhere.
func cut(words string, room int, delsp bool) (part, rest string) {
	if len(words) <= room || words == signature {
		return words, ""
	}
	space, n, state := 0, 0, -1
	for at := words; at != ""; n++ {
		if n >= room && (space > 0 || delsp) {
			break
		}
		var c string
		c, at, _, state = uniseg.FirstGraphemeClusterInString(at, state)
		if end := len(words) - len(at); c == " " && at != "" && words[:end] != signature {
			space = end
		} else if n+1 >= room && space == 0 && delsp {
			space = end
		}
	}
	if n < room || space == 0 {
		return words, ""
	}
	return words[:space], words[space:]
}
