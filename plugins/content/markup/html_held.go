package markup

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// held are words that mean something together: code, or the name of somebody.
type held struct {
	words strings.Builder
	put   func(words string) // puts them down
	pre   bool               // code with lines
	name  string             // the language of code with lines
	done  bool               // nothing more is held
}

// holding returns what takes the words that come next, or nil.
func (h *htmlReader) holding() *held {
	for i := len(h.open) - 1; i >= 0; i-- {
		if held := h.open[i].held; held != nil && !held.done {
			return held
		}
	}
	return nil
}

func (h *htmlReader) inPre() bool {
	held := h.holding()
	return held != nil && held.pre
}

// settle puts down what is held where a block begins or ends.
func (h *htmlReader) settle() {
	held := h.holding()
	if held == nil {
		return
	}
	words := held.words.String()
	switch {
	case strings.TrimSpace(words) == "":
	case !held.pre:
		held.words.Reset()
		held.put(words)
	case !strings.HasSuffix(words, "\n"):
		held.words.WriteByte('\n')
	}
}

// language takes the language of code with lines from a tag in it.
func (held *held) language(t html.Token) {
	if t.DataAtom != atom.Code || held.words.Len() > 0 {
		return
	}
	for class := range strings.FieldsSeq(attr(t, "class")) {
		if l, ok := strings.CutPrefix(class, "language-"); ok {
			held.name = l
		}
	}
}

// preformatted begins <pre>: code, when it holds nothing else.
func (h *htmlReader) preformatted() element {
	code := &held{pre: true}
	return element{held: code, end: func() { h.codeBlock(strings.TrimPrefix(code.words.String(), "\n"), code.name) }}
}

// codeWords begins code within a line. Blocks in it, as broken HTML has them,
// take it apart.
func (h *htmlReader) codeWords() element {
	if h.holding() != nil {
		return element{}
	}
	code := &held{put: func(words string) {
		if words = strings.Join(strings.Fields(words), " "); words != "" {
			h.code(words)
			h.spaced = false
		}
	}}
	return element{held: code, end: func() { code.put(code.words.String()) }}
}

// anchor begins a link, or in Matrix a mention, which is a link to somebody.
func (h *htmlReader) anchor(t html.Token) element {
	href, ok := lookup(t, "href")
	if id := pill(href); h.matrix && id != "" && h.holding() == nil {
		return h.mention(id)
	}
	if !ok || strings.HasPrefix(href, "#") { // a place within the text
		return element{}
	}
	h.settle()
	if !h.openLink(href) {
		return element{}
	}
	return element{end: func() {
		h.settle()
		h.unmark(Link)
	}}
}

// mention begins a mention. It ends with its link, or with the line.
func (h *htmlReader) mention(id string) element {
	name := &held{}
	name.put = func(words string) {
		name.done = true
		h.inline(Node{Kind: Mention, Name: id, Text: called(oneLine(words), id)})
		h.spaced = false
	}
	return element{held: name, end: func() {
		if !name.done {
			name.put(name.words.String())
		}
	}}
}
