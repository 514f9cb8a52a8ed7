package markup

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"parley.im/plugins/content/text"
)

// held are words that mean something together: code, or the name of somebody.
type held struct {
	words  strings.Builder
	put    func(words string) // puts them down
	code   bool               // code within a line: marks take it apart
	pre    bool               // code with lines
	name   string             // the language of code with lines
	link   func()             // ends the link that is open in code with lines, if there is one
	secret *Node              // the first spoiler in code with lines
	done   bool               // nothing more is held
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

// part puts down the code that is held where a mark begins or ends, and the
// space behind it.
func (h *htmlReader) part() {
	if held := h.holding(); held != nil && held.code {
		h.putCode(held)
	}
}

// putCode puts down code within a line, and the spaces around it.
func (h *htmlReader) putCode(held *held) {
	words := held.words.String()
	held.words.Reset()
	held.put(words)
	if words != "" && isSpace(words[len(words)-1]) {
		h.collapsed(" ")
	}
}

// inCode begins an element in code with lines, which has a place for words only:
// a link says its address, and a spoiler makes all of the code one.
func (h *htmlReader) inCode(t html.Token) element {
	code := h.holding()
	if reason, spoils := lookup(t, "data-mx-spoiler"); spoils {
		code.hide(Node{Kind: Spoiler, Name: text.Line(reason)})
	}
	if t.DataAtom == atom.A {
		return h.linkInCode(code, attr(t, "href"))
	}
	code.language(t)
	return element{}
}

// linkInCode begins a link in code with lines. It ends with the code, if not
// before.
func (h *htmlReader) linkInCode(code *held, href string) element {
	if href == "" || strings.HasPrefix(href, "#") {
		return element{}
	}
	url, ok := address(href)
	if !ok {
		h.losses.Add(LinkRemoved)
		return element{}
	}
	code.endLink()
	begin := code.words.Len()
	code.link = func() {
		said := code.words.String()[begin:]
		code.words.WriteString(strings.TrimPrefix(linkText(said, url), said))
		h.losses.Add(LinkAsText)
	}
	return element{end: code.endLink}
}

// hide makes a spoiler of code with lines.
func (held *held) hide(spoiler Node) {
	if held.secret == nil {
		held.secret = &spoiler
	}
}

func (held *held) endLink() {
	if end := held.link; end != nil {
		held.link = nil
		end()
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

// preformatted begins <pre>: code with lines, without the empty ones that it
// begins with. HTML passes over one of them, which is another one each time that
// it is written and read.
func (h *htmlReader) preformatted() element {
	code := &held{pre: true}
	return element{held: code, end: func() {
		code.endLink()
		hides := code.secret != nil && h.mark(*code.secret)
		h.codeBlock(strings.TrimLeft(code.words.String(), "\n"), code.name)
		if hides {
			h.unmark(Spoiler)
		}
	}}
}

// codeWords begins code within a line. Blocks in it, as broken HTML has them,
// take it apart.
func (h *htmlReader) codeWords() element {
	if h.holding() != nil {
		return element{}
	}
	code := &held{code: true, put: func(words string) {
		if words != "" && isSpace(words[0]) {
			h.collapsed(" ")
		}
		if words = strings.Join(strings.Fields(words), " "); words != "" {
			h.code(words)
			h.spaced = false
		}
	}}
	return element{held: code, end: func() { h.putCode(code) }}
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
	h.part()
	if !h.openLink(href) {
		return element{}
	}
	link := h.marks[len(h.marks)-1]
	return element{end: func() { h.endMark(link) }}
}

// mention begins a mention. It ends with its link, or with the line.
func (h *htmlReader) mention(id string) element {
	name := &held{}
	name.put = func(words string) {
		name.done = true
		h.inline(Node{Kind: Mention, Name: id, Text: called(text.Line(words), id)})
		h.spaced = false
	}
	return element{held: name, end: func() {
		if !name.done {
			name.put(name.words.String())
		}
	}}
}
