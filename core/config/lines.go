package config

import (
	"fmt"
	"strings"
)

// locate returns the line of each key path in a TOML text that has been parsed
// without error: the parser tells no positions. Arrays of tables are counted
// from 0, as in "route[1].to". What stands in an inline table has the line of
// its key.
func locate(text string) map[string]int {
	l := &locator{at: map[string]int{}, counts: map[string]int{}}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		i = l.line(lines, i)
	}
	return l.at
}

type locator struct {
	at     map[string]int
	counts map[string]int // members of arrays of tables
	table  string         // path of the table that keys belong to
}

// line reads the statement that begins at line i and returns the last line
// that belongs to it.
func (l *locator) line(lines []string, i int) int {
	s := strings.TrimLeft(lines[i], " \t\r")
	switch {
	case s == "" || s[0] == '#':
		return i
	case strings.HasPrefix(s, "[["):
		parts, _ := keyParts(s[2:], ']')
		path := l.resolve(parts)
		l.table = fmt.Sprintf("%s[%d]", path, l.counts[path])
		l.counts[path]++
		l.set(path, i)
		l.set(l.table, i)
		return i
	case s[0] == '[':
		parts, _ := keyParts(s[1:], ']')
		l.table = l.resolve(parts)
		l.set(l.table, i)
		return i
	}
	parts, rest := keyParts(s, '=')
	path := l.table
	for _, p := range parts {
		path = join(path, p)
		l.set(path, i)
	}
	return skipValue(rest, lines, i)
}

func (l *locator) set(path string, i int) {
	if _, ok := l.at[path]; !ok {
		l.at[path] = i + 1
	}
}

// resolve writes the path of a header, in which an array of tables stands for
// its last member so far.
func (l *locator) resolve(parts []string) string {
	path := ""
	for i, p := range parts {
		path = join(path, p)
		if n := l.counts[path]; n > 0 && i < len(parts)-1 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// keyParts reads a dotted key up to end and returns its parts and what follows.
func keyParts(s string, end byte) (parts []string, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\'':
			j := endOfString(s, i, string(c))
			b.WriteString(s[i+1 : max(i+1, j-1)])
			i = j - 1
		case c == '.':
			parts = append(parts, b.String())
			b.Reset()
		case c == end:
			return append(parts, b.String()), s[i+1:]
		case c != ' ' && c != '\t':
			b.WriteByte(c)
		}
	}
	return append(parts, b.String()), ""
}

// skipValue returns the last line of the value that begins with rest on line i:
// arrays, inline tables and long strings go on over several.
func skipValue(rest string, lines []string, i int) int {
	depth := 0
	for pos := 0; ; pos++ {
		for pos >= len(rest) {
			if depth == 0 || i+1 >= len(lines) {
				return i
			}
			i++
			rest, pos = lines[i], 0
		}
		switch c := rest[pos]; c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			pos = len(rest)
		case '"', '\'':
			if !strings.HasPrefix(rest[pos:], strings.Repeat(string(c), 3)) {
				pos = endOfString(rest, pos, string(c)) - 1
				continue
			}
			i, pos = endOfLongString(lines, i, len(lines[i])-len(rest)+pos+3, c)
			rest, pos = lines[i], pos-1
		}
	}
}

// endOfLongString returns the line and position behind a string in three
// quotes whose text begins at pos of line i. Up to two more quotes before the
// last three belong to the text.
func endOfLongString(lines []string, i, pos int, quote byte) (line, behind int) {
	run := 0
	for ; i < len(lines); i, pos, run = i+1, 0, 0 {
		for ; pos < len(lines[i]); pos++ {
			switch c := lines[i][pos]; {
			case c == quote:
				run++
			case run >= 3:
				return i, pos
			case c == '\\' && quote == '"':
				run = 0
				pos++
			default:
				run = 0
			}
		}
		if run >= 3 {
			return i, len(lines[i])
		}
	}
	return len(lines) - 1, len(lines[len(lines)-1])
}

// endOfString returns the position behind the string that begins at i.
func endOfString(s string, i int, quote string) int {
	for j := i + 1; j < len(s); j++ {
		if s[j] == '\\' && quote == `"` {
			j++
			continue
		}
		if s[j] == quote[0] {
			return j + 1
		}
	}
	return len(s)
}
