package sipedge

import (
	"bytes"
	"strings"
)

// tidy rewrites what the library would misread in the header of a request, and
// returns the same slice if there is nothing of this:
//
//   - blanks around the separators of addresses and their parameters, which are
//     allowed (RFC 3261, section 25.1), and folded lines;
//   - the value of an rport, which a client does not know (RFC 3581, section 3):
//     answers must not go to a port of its choice.
func tidy(head []byte) []byte {
	if hasSIP(head) {
		return head // a response
	}
	line, rest := nextLine(head)
	out, changed := append(bytes.Clone(line), crlf...), false
	for len(rest) > 0 {
		line, rest = nextLine(rest)
		was := line
		for len(rest) > 0 && isBlank(rest[0]) && len(line) > 0 {
			var more []byte
			more, rest = nextLine(rest)
			line = append(append(bytes.Clone(line), ' '), bytes.Trim(more, " \t")...)
		}
		neat := tidyLine(line)
		changed = changed || !bytes.Equal(neat, was)
		out = append(append(out, neat...), crlf...)
	}
	if !changed {
		return head
	}
	return out
}

// structured are the headers that the library takes apart.
var structured = map[string]bool{
	"via": true, "v": true, "from": true, "f": true, "to": true, "t": true, "contact": true, "m": true, "cseq": true,
	"route": true, "record-route": true,
}

func tidyLine(line []byte) []byte {
	name, value, ok := bytes.Cut(line, []byte(":"))
	key := strings.ToLower(string(bytes.TrimSpace(name)))
	if !ok || !structured[key] {
		return line
	}
	text := unspaced(string(value))
	if key == "via" || key == "v" {
		text = withoutPort(text)
	}
	colon := ":"
	if len(value) > 0 && isBlank(value[0]) && text != "" {
		colon = ": "
	}
	return []byte(string(bytes.TrimRight(name, " \t")) + colon + text)
}

// unspaced leaves out blanks beside separators, but not within quotes and angle
// brackets; what else is blank becomes one space.
func unspaced(s string) string {
	var b strings.Builder
	quoted, bracketed, blank, last := false, false, false, byte(',')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !quoted && !bracketed && isBlank(c) {
			blank = true
			continue
		}
		if blank && !separator(c) && !separator(last) {
			b.WriteByte(' ')
		}
		blank, last = false, c
		b.WriteByte(c)
		switch {
		case quoted && c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"' && !bracketed:
			quoted = !quoted
		case !quoted && (c == '<' || c == '>'):
			bracketed = c == '<'
		}
	}
	return b.String()
}

func separator(c byte) bool { return strings.IndexByte(";=/,", c) >= 0 }

// withoutPort leaves out the value of each rport in Vias without blanks.
func withoutPort(vias string) string {
	const name = ";rport="
	var b strings.Builder
	for len(vias) >= len(name) {
		if !strings.EqualFold(vias[:len(name)], name) {
			b.WriteByte(vias[0])
			vias = vias[1:]
			continue
		}
		b.WriteString(vias[:len(name)-1])
		vias = strings.TrimLeftFunc(vias[len(name):], func(c rune) bool { return c != ';' && c != ',' })
	}
	return b.String() + vias
}
