package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/content/split"
)

// A writer puts a message together in the form that its target takes.
type writer struct {
	Message
	taker       Taker
	kind        string // of the message as it came
	losses      content.Losses
	plain, rich markup.Form
}

// write fills in the message.
func (w *writer) write(texts []passage, files []file) error {
	texts = append(w.note(), texts...)
	words := len(texts)
	for _, f := range files {
		if line := w.file(f); line != "" {
			texts = append(texts, passage{form: markup.Plain, src: line})
		}
	}
	if w.nothing(words, files) {
		return fmt.Errorf("%w: %s; %s", ErrType, w.kind, w.taker.only())
	}
	form := w.plain
	for _, t := range texts {
		if t.form != markup.Plain && w.rich != "" {
			form = w.rich
		}
	}
	return w.text(texts, form)
}

// note are the words above the text.
func (w *writer) note() []passage {
	if w.Note == "" {
		return nil
	}
	return []passage{{form: markup.Plain, src: w.Note}}
}

// nothing tells whether a message is nothing but files that don't arrive.
func (w *writer) nothing(words int, files []file) bool {
	return words == 0 && len(files) > 0 && len(w.Files) == 0 && !slices.Contains(w.losses, FileAsLink)
}

// file takes a file along, or returns the words that stand for it.
func (w *writer) file(f file) string {
	if Refused(f.File, w.taker.Refuse) {
		w.losses.Add(FileRefused)
		return "[file refused: " + mention(f.File) + "]"
	}
	size := max(f.Size, int64(len(f.Data)))
	if w.taker.MaxFile > 0 && size <= w.taker.MaxFile {
		w.Files = append(w.Files, f.File)
		return ""
	}
	if at := cmp.Or(f.url, link(w.Links, f.path, f.Name)); at != "" {
		w.losses.Add(FileAsLink)
		return mention(f.File) + ": " + at
	}
	w.losses.Add(FileNotPassed)
	return "[file not passed on: " + mention(f.File) + "]"
}

// text writes the body, in a plainer form or shortened when it is too large.
func (w *writer) text(texts []passage, form markup.Form) error {
	most := w.taker.MaxBytes
	if most == 0 {
		most = MaxOpen
	}
	out, losses, err := written(texts, form)
	if err == nil && int64(len(out)) > most && form != w.plain {
		form = w.plain
		out, losses, err = written(texts, form)
	}
	if errors.Is(err, markup.ErrTooLarge) || err == nil && int64(len(out)) > most {
		out, err = w.short(texts[len(w.note()):], form, int(most))
	}
	if err != nil {
		return err
	}
	w.losses.Add(losses...)
	w.MediaType, w.Data = string(form)+";charset=utf-8", []byte(out)
	return nil
}

// The paths of a text that is too long for its target: as it is read where
// formats are shown, and where none are.
const (
	wholeText  = "text"
	wholePlain = "plain"
)

// short returns the beginning of a text, and where the whole of it is.
func (w *writer) short(texts []passage, form markup.Form, most int) (string, error) {
	whole, _, err := written(texts, markup.Plain)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSize, err)
	}
	f := file{
		File: event.File{Name: "message.txt", Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(whole)}},
		path: wholePlain,
	}
	if w.rich != "" {
		f.path = wholeText
	}
	note := "…\n\n[This is the beginning. The whole text: message.txt]"
	switch at := link(w.Links, f.path, f.Name); {
	case w.taker.MaxFile >= int64(len(whole)):
		w.Files = append([]event.File{f.File}, w.Files...)
	case at != "":
		note = "…\n\n[This is the beginning. The whole text: " + at + " ]"
	default:
		return "", fmt.Errorf("%w: a text of %d bytes; at most %d are taken here", ErrSize, len(whole), most)
	}
	w.losses.Add(TextShortened)
	// Escapes make some texts longer: what is left is halved until it fits.
	for room := most - len(note); room > 0; room /= 2 {
		room = min(room, markup.MaxSize-len(note))
		begin := passage{form: markup.Plain, src: strings.TrimRight(split.First(whole, room), " \n") + note}
		out, _, err := written(append(w.note(), begin), form)
		if err != nil || len(out) <= most {
			return out, err
		}
	}
	return "", fmt.Errorf("%w: at most %d bytes are taken here", ErrSize, most)
}
