package mapping

import (
	"strings"

	"parley.im/plugins/content"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/content/text"
)

// A passage is text of a message. One without format is kept as it is, for
// where it goes to a place that shows no format nothing has to be parsed.
type passage struct {
	form   markup.Form
	src    string      // of plain text
	doc    *markup.Doc // of other forms
	losses content.Losses
}

// readPassage reads a text body. It fails when that is too large for a
// document.
func readPassage(mediaType string, body []byte) (p passage, err error) {
	src, losses := text.Read(mediaType, body)
	if p.form = markup.Form(bare(mediaType)); !p.form.Known() || p.form == markup.Plain {
		return passage{form: markup.Plain, src: src, losses: losses}, nil
	}
	if p.doc, err = markup.Read(src, p.form); err != nil {
		return p, err
	}
	p.losses = losses
	p.losses.Add(p.doc.Losses...)
	p.doc.Losses = nil
	return p, nil
}

func (p passage) empty() bool {
	if p.doc != nil {
		return len(p.doc.Blocks) == 0
	}
	return strings.TrimSpace(p.src) == ""
}

// document returns the passage as one.
func (p passage) document() (*markup.Doc, error) {
	if p.doc != nil {
		return p.doc, nil
	}
	return markup.Read(p.src, markup.Plain)
}

// inWords returns passages as plain text, of any size.
func inWords(list []passage) (string, content.Losses, error) {
	var parts []string
	var losses content.Losses
	for _, p := range list {
		words := p.src
		if p.doc != nil {
			var err error
			p.doc.Losses = nil
			if words, err = p.doc.Write(markup.Plain); err != nil {
				return "", nil, err
			}
			losses.Add(p.doc.Losses...)
		}
		if words = strings.TrimRight(words, " \t\n"); words != "" {
			parts = append(parts, words)
		}
	}
	return strings.Join(parts, "\n\n"), losses, nil
}

// written returns passages as one text in a form.
func written(list []passage, form markup.Form) (string, content.Losses, error) {
	if form == markup.Plain && len(list) == 1 && list[0].doc == nil {
		return list[0].src, nil, nil
	}
	if form == markup.Plain {
		return inWords(list)
	}
	docs := make([]*markup.Doc, len(list))
	for i, p := range list {
		d, err := p.document()
		if err != nil {
			return "", nil, err
		}
		docs[i] = d
	}
	all := markup.Join(docs...)
	all.Losses = nil
	out, err := all.Write(form)
	return out, all.Losses, err
}
