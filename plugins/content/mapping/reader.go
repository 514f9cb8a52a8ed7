package mapping

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/content/cms"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/content/mediatype"
	"parley.im/plugins/content/sms"
	"parley.im/plugins/content/text"
)

// A part is one MIME body.
type part struct {
	mediaType   string
	header      textproto.MIMEHeader
	body        []byte
	path        string // "0" is the whole body, "0.2" the second part of it
	depth       int
	disposition string // inline, attachment or ""
	name        string // that its sender gave it
}

// A file is what is no text, and the part of the message that it is.
type file struct {
	event.File
	path string
	url  string // where it was fetched from, if it was
}

// A reader takes a message apart.
type reader struct {
	rich   bool // the target shows formats
	texts  []passage
	files  []file
	losses content.Losses
	parts  int
	inline []string // what stands in words for files by their Content-ID, and what is better there
	keep   string   // path of a part that is wanted as it is: see Part
	kept   *part

	named   []Reference              // files elsewhere
	fetched map[string]event.Content // of these by their URLs
}

// readable tells whether bodies of a type are opened.
func readable(kind string) bool {
	switch kind {
	case cpim.MediaType, sms.MediaType, "message/external-body", transferType:
		return true
	}
	return strings.HasPrefix(kind, "multipart/") || isText(kind) || cms.Is(kind) || opener(kind) != nil
}

// isText tells of types that people read as they are. An unknown kind of text
// is plain text (RFC 2046, section 4.1.4).
func isText(kind string) bool {
	switch kind {
	case "text/calendar", "text/csv", "text/vcard", "text/x-vcard", "text/directory", "text/rtf", "text/css", "text/javascript", "text/xml":
		return false
	}
	return strings.HasPrefix(kind, "text/")
}

// encrypted tells of what is noise to everybody but those it is for. An S/MIME
// message may also be only signed, and does not have to say so.
func encrypted(mediaType string) bool {
	switch kind := bare(mediaType); {
	case kind == "multipart/encrypted", kind == "application/pgp-encrypted":
		return true
	case cms.Is(kind):
		_, params := mediatype.Parse(mediaType)
		return !strings.EqualFold(params["smime-type"], "signed-data")
	}
	return false
}

// message reads the body of m, and its files behind it.
func (r *reader) message(m Message) error {
	err := r.part(part{mediaType: m.MediaType, body: m.Data, path: "0"}, m.Content)
	for i, t := range r.texts { // Outlook's words for a picture in the text
		r.texts[i].src = strings.NewReplacer(r.inline...).Replace(t.src)
	}
	for i, f := range m.Files {
		r.files = append(r.files, file{File: event.File{Name: fileName(f.Name, f.MediaType), Content: f.Content}, path: "f" + strconv.Itoa(i+1)})
	}
	return err
}

// part reads one part; c is where its body is if that is not in p.
func (r *reader) part(p part, c event.Content) error {
	if r.keep == p.path {
		r.kept = &p
	}
	kind := bare(p.mediaType)
	switch r.parts++; {
	case r.parts > MaxParts || p.depth > MaxDepth:
		r.losses.Add(TooDeep)
		r.file(p, bodyOf(p))
	case p.disposition == "attachment" && p.depth > 0:
		r.file(p, bodyOf(p))
	case cms.Is(kind) && c.Ref == "":
		return r.sealed(p)
	case encrypted(p.mediaType):
		return ErrEncrypted
	case c.Ref != "":
		r.file(p, c)
	case kind == "multipart/alternative":
		return r.alternative(p)
	case kind == "multipart/signed":
		return r.signed(p)
	case strings.HasPrefix(kind, "multipart/"):
		return r.mixed(p)
	case kind == cpim.MediaType:
		return r.wrapped(p)
	case kind == imdn.MediaType, kind == "application/im-iscomposing+xml":
		// nobody reads it
	case opener(kind) != nil:
		return r.opened(p, opener(kind))
	case isText(kind):
		r.text(p)
	default:
		r.file(p, bodyOf(p))
	}
	return nil
}

// bodyOf is a part's own body as content.
func bodyOf(p part) event.Content { return event.Content{MediaType: p.mediaType, Data: p.body} }

// text reads words. More than can be read is a file.
func (r *reader) text(p part) {
	t, err := readPassage(p.mediaType, p.body)
	if err != nil {
		r.file(p, bodyOf(p))
		return
	}
	r.losses.Add(t.losses...)
	if !t.empty() {
		r.texts = append(r.texts, t)
	}
}

// words adds text that a part stands for.
func (r *reader) words(s string) {
	if t := (passage{form: markup.Plain, src: text.Clean(s)}); !t.empty() {
		r.texts = append(r.texts, t)
	}
}

func (r *reader) file(p part, c event.Content) {
	c.MediaType = FileType(p.mediaType, c.Data)
	r.files = append(r.files, file{File: event.File{Name: fileName(p.name, c.MediaType), Content: c}, path: p.path})
	if id := strings.Trim(p.header.Get("Content-Id"), "<> "); id != "" {
		r.inline = append(r.inline, "[cid:"+id+"]", "["+r.files[len(r.files)-1].Name+"]")
	}
}

// opened reads a part of which an opener makes words.
func (r *reader) opened(p part, open func(part) (opening, error)) error {
	o, err := open(p)
	if err != nil {
		r.file(p, bodyOf(p))
		return nil
	}
	r.losses.Add(o.losses...)
	r.words(o.words)
	r.words(strings.Join(r.references(o.refs), "\n"))
	if o.whole {
		r.file(p, bodyOf(p))
	}
	return nil
}

// mixed reads parts one after the other: multipart/mixed, related, whose other
// parts are files, and those of kinds that nobody knows (RFC 2046, section
// 5.1.3).
func (r *reader) mixed(p part) error {
	for _, c := range r.children(p) {
		if err := r.part(c, event.Content{}); err != nil {
			return err
		}
	}
	return nil
}

// signed reads what was signed. The signature is of use only to whoever gets
// the whole body.
func (r *reader) signed(p part) error {
	parts := r.children(p)
	r.losses.Add(SignatureRemoved)
	if len(parts) == 0 {
		return nil
	}
	return r.part(parts[0], event.Content{})
}

// sealed reads an S/MIME message, if it is not encrypted but signed.
func (r *reader) sealed(p part) error {
	signed, err := cms.Content(p.body)
	if err != nil {
		return ErrEncrypted
	}
	r.losses.Add(SignatureRemoved)
	h, body := headed(signed)
	return r.part(r.child(p, h, body, 1), event.Content{})
}

// wrapped reads the content of a CPIM message.
func (r *reader) wrapped(p part) error {
	m, err := cpim.Parse(p.body)
	if err != nil {
		r.file(p, bodyOf(p))
		return nil
	}
	h := textproto.MIMEHeader{}
	for _, f := range m.MIME {
		h.Add(f.Name, f.Value)
	}
	return r.part(r.child(p, h, m.Body, 1), event.Content{})
}

// alternative reads the best of several forms of the same: the last one that
// can be shown (RFC 2046, section 5.1.4), and plain text where no format is
// shown. Files that are or hang on the others are not lost. Each is read once, however
// deep alternatives stand in one another.
func (r *reader) alternative(p part) error {
	best := -1
	var forms []form
	for i, c := range r.children(p) {
		f := form{part: c, reader: reader{rich: r.rich, parts: r.parts, keep: r.keep, fetched: r.fetched}}
		f.err = f.reader.part(c, event.Content{})
		r.parts = f.parts
		if f.kept != nil {
			r.kept = f.kept
		}
		if forms = append(forms, f); f.shown() && (best < 0 || r.rich || !isPlain(forms[best].part) || isPlain(c)) {
			best = i
		}
	}
	if best < 0 {
		best = len(forms) - 1
	}
	for i, f := range forms {
		switch {
		case i == best && f.err != nil:
			return f.err
		case i == best:
			r.texts = append(r.texts, f.texts...)
			r.named = append(r.named, f.named...)
			r.losses.Add(f.losses...)
			r.files = append(r.files, f.files...)
			r.inline = append(r.inline, f.inline...)
		case f.err == nil && (len(f.texts) == 0 || strings.HasPrefix(bare(f.mediaType), "multipart/")):
			r.files = append(r.files, f.files...)
		}
	}
	return nil
}

// A form is one of several of the same, and what was read of it.
type form struct {
	part
	reader
	err error
}

// shown tells whether there are words in it that people can read.
func (f form) shown() bool { return f.err == nil && len(f.texts) > 0 }

func isPlain(p part) bool { return bare(p.mediaType) == "text/plain" }

// children returns the parts of a multipart body. Of a broken one they are what
// could be read; without a boundary the body is a file.
func (r *reader) children(p part) (list []part) {
	_, params := mediatype.Parse(p.mediaType)
	if params["boundary"] == "" {
		r.losses.Add(Broken)
		r.file(p, bodyOf(p))
		return nil
	}
	m := multipart.NewReader(bytes.NewReader(p.body), params["boundary"])
	for {
		c, err := m.NextRawPart()
		if err != nil {
			if !errors.Is(err, io.EOF) || len(list) == 0 {
				r.losses.Add(Broken)
			}
			ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
			if len(list) == 0 || !ended { // there is more that can't be told apart
				r.file(p, bodyOf(p))
			}
			return list
		}
		if len(list)+r.parts >= MaxParts {
			r.losses.Add(TooDeep)
			r.file(p, bodyOf(p))
			return list
		}
		body, err := io.ReadAll(c)
		list = append(list, r.child(p, c.Header, body, len(list)+1))
		if err != nil { // it ends without its boundary
			r.losses.Add(Broken)
			return list
		}
	}
}

// child makes a part of a part.
func (r *reader) child(of part, h textproto.MIMEHeader, body []byte, number int) part {
	c := part{
		mediaType: h.Get("Content-Type"), header: h, path: of.path + "." + strconv.Itoa(number), depth: of.depth + 1,
	}
	var whole bool
	if c.body, whole = Decode(h.Get("Content-Transfer-Encoding"), body); !whole {
		r.losses.Add(Broken)
	}
	_, typed := mediatype.Parse(c.mediaType)
	disposition, params := mediatype.Parse(h.Get("Content-Disposition"))
	c.disposition, c.name = disposition, cmp.Or(params["filename"], typed["name"])
	return c
}
