// Package mapping turns a message into the best form that its reader can show:
// it opens MIME structures, chooses among alternatives, converts text between
// forms, and hands over what is no text as files, as links, or by name.
//
// It is pure: a message and what a target takes go in, a message and the named
// losses come out. The bytes are from outside: nothing panics, depth, number
// and size of the parts are limited, and no program, tag or token of the source
// reaches the output (see package markup).
package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/content/markup"
)

// Limits of what is opened. What is beyond them stays whole, as a file.
const (
	MaxOpen  = 1 << 20 // bytes of a body
	MaxDepth = 8       // of parts in parts
	MaxParts = 100     // in all
)

// What mapping can lose, beside what packages text and markup name.
const (
	FileAsLink       content.Loss = "file as link"
	FileNotPassed    content.Loss = "file not passed on"
	FileRefused      content.Loss = "file refused"
	SignatureRemoved content.Loss = "signature removed"
	TextShortened    content.Loss = "text shortened"
	Broken           content.Loss = "broken MIME structure, read as far as possible"
	TooDeep          content.Loss = "MIME structure too deep, its inside as a file"
)

// Reasons why a message can't be mapped, for errors.Is. Each is final.
var (
	ErrType      = errors.New("its type is not taken here")
	ErrSize      = errors.New("it is too large")
	ErrEncrypted = errors.New("it is encrypted for somebody else's eyes, and would be noise here")
)

// A Message is what is mapped. A body that is not in Data, but in Media, is a
// file: whoever wants it opened loads it first, see Opens.
type Message struct {
	event.Content
	Files []event.File
	Links string // address below which anybody can fetch the parts; "" if there is none
	Note  string // words that are put above the text

	// Fetched are bodies of files elsewhere, by the URLs of their References:
	// they go along as files.
	Fetched map[string]event.Content
}

// A Taker is what a target takes.
type Taker struct {
	// Types are the MIME types of bodies, best first. Those of markup's forms
	// are mapped to; others, and patterns such as "text/*" and "*/*", are for
	// bodies that stay as they came. None means that all bodies do.
	Types    []string
	MaxBytes int64 // largest body; 0: no limit but MaxOpen for text that is mapped
	MaxFile  int64 // largest file beside the body; 0: none
	// Refuse are the files that go neither along nor behind a link: endings of
	// names, such as ".exe", and MIME types.
	Refuse []string
}

// Refused tells whether a file is among those that a list refuses.
func Refused(f event.File, list []string) bool {
	name, kind := strings.ToLower(f.Name), bare(f.MediaType)
	return slices.ContainsFunc(list, func(s string) bool {
		s = strings.ToLower(s)
		return strings.HasPrefix(s, ".") && strings.HasSuffix(name, s) || s == kind
	})
}

// Map returns m in the best form that t takes. What t takes as it is stays
// byte for byte. A text larger than MaxBytes is shortened, and goes along whole
// as a file or link; where neither is possible the error is ErrSize.
func Map(m Message, t Taker) (Message, content.Losses, error) {
	if t.raw(m.MediaType) {
		if size := max(m.Size, int64(len(m.Data))); t.MaxBytes > 0 && size > t.MaxBytes {
			return m, nil, fmt.Errorf("%w: a body of %d bytes; at most %d are taken here", ErrSize, size, t.MaxBytes)
		}
		return m, nil, nil
	}
	form, formatted := t.forms()
	if form == "" {
		return m, nil, fmt.Errorf("%w: %s; %s", ErrType, bare(m.MediaType), t.only())
	}
	r := reader{rich: formatted != "", fetched: m.Fetched}
	if err := r.message(m); err != nil {
		return m, nil, err
	}
	w := writer{Message: Message{Links: m.Links, Note: m.Note}, taker: t, kind: bare(m.MediaType), losses: r.losses, plain: form, rich: formatted}
	if err := w.write(r.texts, r.files); err != nil {
		return m, nil, err
	}
	return w.Message, w.losses, nil
}

// Check tells, of a body whose type alone is known, whether Map could be of
// use: nil, or an ErrType that says what is taken. linked says whether there
// are links for what is no text.
func Check(mediaType string, t Taker, linked bool) error {
	kind := bare(mediaType)
	form, _ := t.forms()
	switch {
	case t.raw(mediaType), form != "" && (readable(kind) || linked || t.MaxFile > 0) && !encrypted(mediaType):
		return nil
	case encrypted(mediaType):
		return fmt.Errorf("%w: %w", ErrType, ErrEncrypted)
	}
	return fmt.Errorf("%w: %s; %s", ErrType, kind, t.only())
}

// Opens tells whether a body has to be in Data for Map to read it.
func Opens(c event.Content, t Taker) bool {
	return c.Ref != "" && c.Size <= MaxOpen && !t.raw(c.MediaType) && readable(bare(c.MediaType))
}

// Accept lists what Check takes, as types and ranges of types.
func (t Taker) Accept(linked bool) []string {
	list := slices.Clone(t.Types)
	form, _ := t.forms()
	switch {
	case form == "":
	case linked || t.MaxFile > 0:
		list = append(list, "text/plain", "text/html", "text/markdown", "multipart/*", "message/cpim", "*/*")
	default:
		list = append(list, "text/plain", "text/html", "text/markdown", "multipart/*", "message/cpim")
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool {
		return strings.HasPrefix(s, "text/vnd.") // between us and the connectors
	})
}

// raw tells whether bodies of a type stay as they are.
func (t Taker) raw(mediaType string) bool {
	kind := bare(mediaType)
	return len(t.Types) == 0 || slices.ContainsFunc(t.Types, func(p string) bool {
		if markup.Form(p).Known() {
			return false
		}
		group, pattern := strings.CutSuffix(p, "*")
		return p == "*/*" || p == kind || pattern && strings.HasPrefix(kind, group)
	})
}

// forms returns the form for text without format, and the best one for text
// with it, which is "" when t takes none.
func (t Taker) forms() (plain, rich markup.Form) {
	for _, p := range t.Types {
		f := markup.Form(p)
		switch {
		case p == "*/*" || p == "text/*":
			plain = markup.Plain
		case !f.Known():
		case f == markup.Plain:
			plain = f
		case rich == "":
			rich = f
		}
	}
	if plain == "" {
		plain = rich
	}
	return plain, rich
}

func (t Taker) only() string { return "here only " + strings.Join(t.Types, ", ") }

// bare returns a MIME type without its parameters, in lower case; one without
// a type is plain text (RFC 2045, section 5.2).
func bare(mediaType string) string {
	kind, _, _ := strings.Cut(mediaType, ";")
	words := strings.Fields(strings.ToLower(kind))
	if len(words) == 0 {
		return "text/plain"
	}
	return words[0]
}
