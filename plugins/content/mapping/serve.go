package mapping

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
)

// ErrNoPart tells of a path that names no part of a message.
var ErrNoPart = errors.New("the message has no such part")

// Part returns the part of a message that a link names. The path is the first
// segment behind Message.Links; a body whose Ref is set is returned as that.
func Part(m Message, path string) (event.File, error) {
	if n, ok := strings.CutPrefix(path, "f"); ok {
		i, err := strconv.Atoi(n)
		if err != nil || i < 1 || i > len(m.Files) {
			return event.File{}, ErrNoPart
		}
		f := m.Files[i-1]
		return event.File{Name: fileName(f.Name, f.MediaType), Content: f.Content}, nil
	}
	r := reader{rich: path != wholePlain, keep: path}
	err := r.message(Message{Content: m.Content})
	switch {
	case (path == wholeText || path == wholePlain) && err == nil:
		words, _, err := written(r.texts, markup.Plain)
		c := event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(words)}
		return event.File{Name: "message.txt", Content: c}, err
	case r.kept == nil:
		return event.File{}, ErrNoPart
	}
	c := bodyOf(*r.kept)
	if m.Ref != "" {
		c = m.Content
	}
	c.MediaType = FileType(c.MediaType, c.Data)
	return event.File{Name: fileName(r.kept.name, c.MediaType), Content: c}, nil
}

// LinkTo returns the link to the nth file of a message, as Map would write it.
func LinkTo(m Message, n int) (url string, ok bool) {
	r := reader{rich: true}
	if r.message(m) != nil || n < 0 || n >= len(r.files) || m.Links == "" {
		return "", false
	}
	return link(m.Links, r.files[n].path, r.files[n].Name), true
}

// Mixed returns a text and files, whose bodies are in Data, as multipart/mixed
// (RFC 2046, section 5.1.3). The boundary is made from a name, so that the same
// message is the same bytes; an empty text is left out.
func Mixed(text event.Content, files []event.File, name string) event.Content {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	sum := sha256.Sum256([]byte(name))
	_ = w.SetBoundary("=_" + hex.EncodeToString(sum[:16])) // of legal characters
	part := func(c event.Content, name string) {
		h := textproto.MIMEHeader{"Content-Type": {c.MediaType}}
		if name != "" {
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		}
		h.Set("Content-Transfer-Encoding", "binary")
		to, _ := w.CreatePart(h) // into memory, as all that follows
		_, _ = to.Write(c.Data)
	}
	if len(text.Data) > 0 {
		part(text, "")
	}
	for _, f := range files {
		part(f.Content, f.Name)
	}
	_ = w.Close()
	return event.Content{MediaType: "multipart/mixed;boundary=\"" + w.Boundary() + "\"", Data: b.Bytes()}
}
