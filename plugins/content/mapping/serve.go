package mapping

import (
	"errors"
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
	r := reader{rich: true, keep: path}
	err := r.message(Message{Content: m.Content})
	switch {
	case path == wholeText && err == nil:
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
	c.MediaType = sniffed(c.MediaType, c.Data)
	return event.File{Name: fileName(r.kept.name, c.MediaType), Content: c}, nil
}
