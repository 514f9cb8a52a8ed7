// Package cpim reads and writes message/cpim (RFC 3862): a message with headers
// of its own around another MIME body. The inner body is never touched.
//
// It is pure, and reads bytes from outside: nothing here panics, and what it
// takes is bounded.
package cpim

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MediaType is that of such a message.
const MediaType = "message/cpim"

// Limits of what Parse takes.
const (
	MaxHeaders = 64      // of the message, and of its content
	MaxLine    = 4 << 10 // bytes
)

// Header is one line. Names are case-sensitive (RFC 3862, section 4); a prefix
// before a dot stands for a name space, which an earlier NS header has bound.
type Header struct {
	Name   string
	Params string // such as "lang=fr", without the leading semicolon
	Value  string // as it is meant: escapes are resolved
}

// Message is a CPIM message.
type Message struct {
	Headers []Header // about the message
	MIME    []Header // of the content, such as Content-Type; their names don't depend on case
	Body    []byte   // the content, exactly as it came
}

// core is the name space of headers without a prefix.
const core = "urn:ietf:params:cpim-headers:"

// Parse reads a message. Data must not change while the Message is used. Lines
// may end with LF alone.
func Parse(data []byte) (m Message, err error) {
	if m.Headers, data, err = parseHeaders(data, true); err != nil {
		return m, fmt.Errorf("cpim: %w", err)
	}
	if m.MIME, m.Body, err = parseHeaders(data, false); err != nil {
		return m, fmt.Errorf("cpim: content: %w", err)
	}
	return m, nil
}

// parseHeaders reads lines up to an empty one, and returns what follows it.
func parseHeaders(data []byte, message bool) (list []Header, rest []byte, err error) {
	for {
		line, after, ended := bytes.Cut(data, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case !ended:
			return nil, nil, errors.New("there is no empty line below the headers")
		case len(line) > MaxLine:
			return nil, nil, fmt.Errorf("a header of %d bytes; at most %d are read", len(line), MaxLine)
		case len(line) == 0:
			return list, after, nil
		case len(list) == MaxHeaders:
			return nil, nil, fmt.Errorf("more than %d headers", MaxHeaders)
		}
		data = after
		text := strings.ToValidUTF8(string(line), "\uFFFD")
		if strings.ContainsFunc(text, isControl) {
			return nil, nil, errors.New("a header that is not text")
		}
		if !message && (text[0] == ' ' || text[0] == '\t') && len(list) > 0 { // MIME headers may be folded
			last := &list[len(list)-1]
			if last.Value = strings.TrimSpace(last.Value + " " + strings.TrimSpace(text)); len(last.Name+last.Value) > MaxLine-2 {
				return nil, nil, fmt.Errorf("a folded header of more than %d bytes", MaxLine)
			}
			continue
		}
		h, err := parseHeader(text, message)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, h)
	}
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func parseHeader(line string, message bool) (h Header, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isName(name) {
		return h, fmt.Errorf("header line %q", cut(line))
	}
	h.Name = name
	if !message {
		h.Value = strings.TrimSpace(value)
		return h, nil
	}
	if p, ok := strings.CutPrefix(value, ";"); ok {
		h.Params, value, _ = strings.Cut(p, " ")
	}
	h.Value = unescape(strings.TrimSpace(value))
	return h, nil
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 40)], "") }

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.!%*'~+&", r))
	})
}

// Value returns the first header of a name space, "" for the core one.
func (m Message) Value(space, name string) string {
	if v := m.Values(space, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values returns the headers of a name space in order, "" for the core one.
func (m Message) Values(space, name string) (list []string) {
	if space == "" {
		space = core
	}
	spaces := spaces{"": core}
	for _, h := range m.Headers {
		if h.Name == "NS" {
			prefix, uri := parseNS(h.Value)
			spaces[prefix] = uri
			continue
		}
		if in, local := spaces.of(h.Name); in == space && local == name {
			list = append(list, h.Value)
		}
	}
	return list
}

// spaces are name spaces by their prefixes.
type spaces map[string]string

// of returns the name space of a name, "" if nothing has bound its prefix, and
// the name within it.
func (s spaces) of(name string) (space, local string) {
	prefix, local, ok := strings.Cut(name, ".")
	if !ok {
		prefix, local = "", name
	}
	return s[prefix], local
}

// parseNS reads "prefix <uri>"; without a prefix it binds that of all headers
// that have none (RFC 3862, section 4.6).
func parseNS(v string) (prefix, uri string) {
	prefix, uri, _ = strings.Cut(v, "<")
	return strings.TrimSpace(prefix), strings.TrimSuffix(strings.TrimSpace(uri), ">")
}

// Required returns the headers, as the message names them, that it says must be
// understood, beyond those that are known by name space ("" for the core one):
// a message with one of them must not be taken for an ordinary one (RFC 3862,
// section 4.7).
func (m Message) Required(known map[string][]string) (unknown []string) {
	bound := spaces{"": core}
	for _, h := range m.Headers {
		if h.Name == "NS" {
			prefix, uri := parseNS(h.Value)
			bound[prefix] = uri
		}
	}
	for _, v := range m.Values("", "Require") {
		for name := range strings.SplitSeq(v, ",") {
			name = strings.TrimSpace(name)
			space, local := bound.of(name)
			if space == core {
				space = ""
			} else if space == "" {
				local = name // of a prefix that nothing has bound
			}
			if name != "" && !slices.Contains(known[space], local) {
				unknown = append(unknown, name)
			}
		}
	}
	return unknown
}

// Content returns a header of the content, by its name in any case.
func (m Message) Content(name string) string {
	for _, h := range m.MIME {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Bytes writes the message. What would break a line in a value is escaped; a
// name that can't stand in a header is an error.
func (m Message) Bytes() ([]byte, error) {
	var b bytes.Buffer
	for _, h := range m.Headers {
		if !isName(h.Name) || strings.ContainsAny(h.Params, " \r\n") {
			return nil, fmt.Errorf("cpim: header %q can't be written", h.Name)
		}
		b.WriteString(h.Name + ":")
		if h.Params != "" {
			b.WriteString(";" + h.Params)
		}
		b.WriteString(" " + escape(h.Value) + "\r\n")
	}
	b.WriteString("\r\n")
	for _, h := range m.MIME {
		if !isName(h.Name) || strings.ContainsAny(h.Value, "\r\n") {
			return nil, fmt.Errorf("cpim: content header %q can't be written", h.Name)
		}
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(m.Body)
	return b.Bytes(), nil
}
