package email

import (
	"bytes"
	"cmp"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/jhillyerd/enmime/v2"

	"parley.im/plugins/content/cms"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/content/markup"
)

// maxParts is how many parts a mail may have before its body is shown as it
// is: parsers descend into each.
const maxParts = 200

const unreadable = "[This mail can't be read here.]"

// A gist is what people read of a mail.
type gist struct {
	text     string
	markdown string // the same with its formats, if it has any
	files    []*enmime.Part
	cut      bool // something of the mail is in none of them
}

// content reads the body, whatever state it is in.
func (l *letter) content() (c gist) {
	defer func() {
		if recover() != nil { // a parser's, of hostile bytes
			c = gist{text: unreadable, cut: true}
		}
	}()
	c = l.parts()
	c.text, c.markdown = tidy(c.text), tidy(c.markdown)
	if strings.TrimSpace(c.text) == "" && len(c.files) > 0 {
		return c
	}
	if strings.TrimSpace(c.text) == "" {
		return gist{text: l.nothing(), cut: c.cut || len(bytes.TrimSpace(l.body)) > 0}
	}
	if l.forwards() {
		return c
	}
	short, cut := trim(c.text)
	formatted, same := trim(c.markdown)
	if cut != same || wordy(formatted) > wordy(short)+wordy(short)/4+10 {
		formatted = "" // more of what was repeated would be left in it
	}
	c.text, c.markdown, c.cut = short, formatted, c.cut || cut
	return c
}

// wordy is how many words a text has.
func wordy(s string) int { return len(strings.Fields(s)) }

// nothing is what is said where there is no text.
func (l *letter) nothing() string {
	if len(bytes.TrimSpace(l.body)) > 0 {
		return unreadable
	}
	if s := l.subject(); s != "" {
		return s // all was said in the subject
	}
	return "[This mail is empty.]"
}

// forwards tells whether the mail passes on another, which is then the point
// of it.
func (l *letter) forwards() bool {
	s := strings.ToLower(l.subject())
	for _, p := range []string{"fwd:", "fw:", "wg:", "tr:", "rv:", "vs:", "i:", "enc:", "doorst:", "pd:"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// parts finds the text among the parts of a mail.
func (l *letter) parts() gist {
	switch signed := l.signed(); {
	case signed != nil && !cms.Is(signed.kind()):
		c := signed.parts()
		c.cut = true // the signature
		return c
	case l.kind() == "multipart/encrypted", cms.Is(l.kind()):
		return gist{text: "[This mail is encrypted; it can't be read here.]", cut: true}
	}
	if bytes.Count(bytes.ToLower(l.raw), []byte("boundary")) > maxParts {
		return gist{text: printable(l.body), cut: true}
	}
	parser := enmime.NewParser(enmime.MultipartWOBoundaryAsSinglePart(true), enmime.DisableCharacterDetection(true),
		enmime.SetReadPartErrorPolicy(enmime.AllowCorruptTextPartErrorPolicy), enmime.MaxStoredPartErrors(10), enmime.DisableTextConversion(true))
	e, err := parser.ReadEnvelope(bytes.NewReader(l.clean()))
	if err != nil {
		return l.secondTry()
	}
	c := gist{text: unflowed(e)}
	if e.HTML != "" {
		words, markdown := fromHTML(toUTF8(e.HTML))
		if c.markdown = markdown; strings.TrimSpace(c.text) == "" {
			c.text, c.cut = words, true
		}
	}
	c.text = strings.TrimRight(toUTF8(c.text), "\r\n")
	if strings.HasPrefix(l.kind(), "multipart/") && strings.TrimSpace(c.text) == "" && e.HTML == "" && isUndivided(e) {
		return gist{text: printable(l.body), cut: true}
	}
	for _, p := range attachments(e) {
		if strings.HasSuffix(p.ContentType, "-signature") { // S/MIME, PGP: of use only with the whole mail
			c.cut = true
		} else {
			c.files = append(c.files, p)
		}
	}
	return c
}

// signed is what an S/MIME mail that keeps text and signature in one body has
// inside; nil if this is none.
func (l *letter) signed() *letter {
	if !cms.Is(l.kind()) {
		return nil
	}
	text, err := cms.Content(mapping.Entity(l.clean()).Data)
	if err != nil {
		return nil
	}
	return readLetter(text)
}

// isUndivided tells whether no part was found in what was to have some.
func isUndivided(e *enmime.Envelope) bool {
	for _, p := range append(append(e.Attachments[:len(e.Attachments):len(e.Attachments)], e.Inlines...), e.OtherParts...) {
		if !strings.HasPrefix(p.ContentType, "multipart/") {
			return false
		}
	}
	return true
}

// secondTry reads the first text that another parser finds, or the body as it
// is.
func (l *letter) secondTry() gist {
	e, err := message.Read(bytes.NewReader(l.clean()))
	if e == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return gist{text: printable(l.body), cut: true}
	}
	body, _ := io.ReadAll(e.Body)
	return gist{text: printable(body), cut: true}
}

// printable returns text as it is, and nothing for what is none.
func printable(b []byte) string {
	s := toUTF8(string(b))
	odd := 0
	for _, r := range s {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			odd++
		}
	}
	if odd*20 > len(s) {
		return ""
	}
	return s
}

// fromHTML returns the words of HTML, and as Markdown if they have formats.
func fromHTML(s string) (words, markdown string) {
	doc, err := markup.Read(s, markup.HTML)
	if err != nil {
		return "", ""
	}
	words, _ = doc.Write(markup.Plain) // a form that there is
	if doc.Formatted() {
		markdown, _ = doc.Write(markup.Markdown)
	}
	return words, markdown
}

// smallPicture is how large a picture is that belongs to the looks of a mail,
// in bytes: logos and lines.
const smallPicture = 16 << 10

// attachments are the parts that are not shown, but for the pictures that are
// only ornaments of the HTML.
func attachments(e *enmime.Envelope) (list []*enmime.Part) {
	seen := map[*enmime.Part]bool{}
	for _, group := range [][]*enmime.Part{e.Attachments, e.Inlines, e.OtherParts} {
		for _, p := range group {
			shown := p.Disposition != "attachment" && (p.ContentType == "text/plain" || p.ContentType == "text/html")
			ornament := p.ContentID != "" && strings.HasPrefix(p.ContentType, "image/") && len(p.Content) < smallPicture && strings.Contains(e.HTML, p.ContentID)
			if seen[p] || shown || ornament {
				continue
			}
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

// called is how an attachment is named.
func called(p *enmime.Part) string {
	return cmp.Or(words(toUTF8(p.FileName)), words(p.ContentType), "a part without a name")
}

// unflowed is the text with the lines that format=flowed has broken joined
// again (RFC 3676, section 4), where the mail has one text part.
func unflowed(e *enmime.Envelope) string {
	texts := e.Root.DepthMatchAll(func(p *enmime.Part) bool {
		return p.ContentType == "text/plain" && p.Disposition != "attachment"
	})
	if len(texts) != 1 || texts[0].Header == nil {
		return e.Text
	}
	_, params, err := mime.ParseMediaType(texts[0].Header.Get("Content-Type"))
	if err != nil || !strings.EqualFold(params["format"], "flowed") {
		return e.Text
	}
	return unflow(e.Text, strings.EqualFold(params["delsp"], "yes"))
}

// unflow joins a line that ends with a space with the next of the same depth.
// The line before a signature is none of them.
func unflow(text string, delSpace bool) string {
	var out []string
	open, depth := false, 0
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		rest := strings.TrimLeft(line, ">")
		d := len(line) - len(rest)
		rest = strings.TrimPrefix(rest, " ")
		flows := strings.HasSuffix(rest, " ") && rest != "-- "
		if flows && delSpace {
			rest = rest[:len(rest)-1]
		}
		switch {
		case open && d == depth && rest != "-- ":
			out[len(out)-1] += rest
		case d > 0:
			out = append(out, line[:d]+" "+rest)
		default:
			out = append(out, rest)
		}
		open, depth = flows, d
	}
	return strings.Join(out, "\n")
}

// tidy makes text of any origin fit to be passed on.
func tidy(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\ufeff' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	return strings.TrimLeft(strings.TrimRight(s, " \t\n"), "\n")
}

// kind is the media type of the whole mail, in lower case.
func (l *letter) kind() string {
	kind, _, err := mime.ParseMediaType(l.get("content-type"))
	if err != nil {
		kind, _, _ = strings.Cut(l.get("content-type"), ";")
	}
	return strings.ToLower(strings.TrimSpace(kind))
}
