package route

import (
	"errors"
	"fmt"
	"strings"

	"parley.im/bus/event"
)

// A pattern is an address with captures, such as "web:u/{user}": literals
// around names. literals has one more member than names.
type pattern struct {
	text     string
	literals []string
	names    []string
}

// parse reads a pattern. Two captures need something between them, or a reader
// could not tell where the first ends.
func parse(text string) (pattern, error) {
	p := pattern{text: text}
	rest := text
	for {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return p, errors.New("} without {")
		}
		if found && literal == "" && len(p.names) > 0 {
			return p, fmt.Errorf("{%s} and the capture after it have nothing between them, so a reader could not separate them again; put a character such as _ there", p.names[len(p.names)-1])
		}
		p.literals = append(p.literals, literal)
		if !found {
			return p, nil
		}
		name, after, found := strings.Cut(after, "}")
		switch {
		case !found:
			return p, errors.New("{ without }")
		case !isName(name):
			return p, fmt.Errorf("{%s}: a capture is named with lower-case letters, digits and _", name)
		case p.has(name):
			return p, fmt.Errorf("{%s} stands twice", name)
		}
		p.names = append(p.names, name)
		rest = after
	}
}

func isName(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_') {
			return false
		}
	}
	return s != ""
}

func (p pattern) has(name string) bool {
	for _, n := range p.names {
		if n == name {
			return true
		}
	}
	return false
}

func (p pattern) literal() bool { return len(p.names) == 0 }

// fill writes the values into the captures as they are.
func (p pattern) fill(values map[string]string) string {
	var b strings.Builder
	for i, name := range p.names {
		b.WriteString(p.literals[i])
		b.WriteString(values[name])
	}
	b.WriteString(p.literals[len(p.names)])
	return b.String()
}

// match reads the values of the captures out of s. A capture ends where the
// literal after it stands for the first time, and is never empty.
func (p pattern) match(s string) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(s, p.literals[0])
	if !ok {
		return nil, false
	}
	values := map[string]string{}
	for i, name := range p.names {
		after := p.literals[i+1]
		var value string
		if last := i == len(p.names)-1; last {
			value, ok = strings.CutSuffix(rest, after)
			rest = ""
		} else {
			value, rest, ok = strings.Cut(rest, after)
		}
		if !ok || value == "" {
			return nil, false
		}
		values[name] = value
	}
	return values, rest == ""
}

// A sipPattern is a SIP address whose captures stand before the @ and are
// written with escapes, so that any value fits and can be read again.
type sipPattern struct {
	user    pattern
	host    string
	escaped string // characters that separate captures, and so are escaped in them
}

const escapeMark = '='

// encode writes a value for a capture: letters, digits and . - _ + as they are,
// unless they separate captures; any other byte as = and two hex digits. The
// equality of SIP URIs leaves this escape alone, where it would make %2E equal
// to a dot (RFC 3261, section 19.1.4).
func (p sipPattern) encode(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if c := value[i]; plain(c) && strings.IndexByte(p.escaped, c) < 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%c%02x", escapeMark, c)
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_+", c) >= 0
}

// decode is the inverse of encode. It refuses what encode would not have
// written, so that one value has one address.
func (p sipPattern) decode(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != escapeMark {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	value := b.String()
	return value, p.encode(value) == s
}

const hexDigits = "0123456789abcdef"

// parseSIP reads a SIP pattern, such as "sip:{user}_{server}@example.com".
func parseSIP(text string) (sipPattern, error) {
	var p sipPattern
	if len(text) > event.MaxAddress {
		return p, fmt.Errorf("an address of %d bytes; at most %d are allowed", len(text), event.MaxAddress)
	}
	rest, ok := cutScheme(text)
	if !ok {
		return p, fmt.Errorf("%q is no SIP address; give one such as sip:name@example.com", text)
	}
	at := strings.LastIndexByte(rest, '@')
	if at <= 0 || at == len(rest)-1 {
		return p, fmt.Errorf("%q has no user before an @ and host; give one such as sip:name@example.com", text)
	}
	user, host := rest[:at], rest[at+1:]
	if strings.ContainsAny(host, "{}") {
		return p, fmt.Errorf("%q has a capture after the @; captures stand in the user part", text)
	}
	if strings.ContainsAny(user, " \t\r\n<>\"@;?:%") || strings.ContainsAny(host, " \t\r\n<>\"@;?/") {
		return p, fmt.Errorf("%q contains a character that a SIP user or host can't have here", text)
	}
	var err error
	if p.user, err = parse(user); err != nil {
		return p, fmt.Errorf("%q: %w", text, err)
	}
	p.host = strings.ToLower(withoutPort(host))
	for i, l := range p.user.literals[1:] {
		if err := p.separate(l, i == len(p.user.names)-1); err != nil {
			return p, fmt.Errorf("%q: %w", text, err)
		}
	}
	return p, nil
}

// separate takes the literal that ends a capture. Between two captures it needs
// a character that no escape is written with, or a part of an escape and of
// what follows could look like it.
func (p *sipPattern) separate(literal string, last bool) error {
	switch {
	case strings.IndexByte(literal, escapeMark) >= 0:
		return errors.New("= stands after a capture, where it is the escape mark; use another separator")
	case last:
		return nil
	case strings.Trim(literal, hexDigits) == "":
		return fmt.Errorf("%q between two captures could be a part of an escape; put a character such as _ there", literal)
	}
	p.escaped += literal
	return nil
}

// match reads the decoded values out of the user part of an AOR.
func (p sipPattern) match(user string) (map[string]string, bool) {
	values, ok := p.user.match(user)
	if !ok {
		return nil, false
	}
	for name, v := range values {
		if values[name], ok = p.decode(v); !ok {
			return nil, false
		}
	}
	return values, true
}

// fill writes the values, escaped, into the user part.
func (p sipPattern) fill(values map[string]string) string {
	encoded := map[string]string{}
	for name, v := range values {
		encoded[name] = p.encode(v)
	}
	return p.user.fill(encoded)
}

// sample is an address that p matches, to check its form.
func (p pattern) sample() event.Address {
	values := map[string]string{}
	for _, name := range p.names {
		values[name] = "x"
	}
	return event.Address(p.fill(values))
}
