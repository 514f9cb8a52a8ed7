package markup

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"parley.im/plugins/content/text"
)

// numbered begins another list where an item does not have the next number.
func (h *htmlReader) numbered(t html.Token) {
	n, ok := number(attr(t, "value"))
	h.endLine()
	last := len(h.builder.open) - 1
	if !ok || h.deep > 0 || last < 0 {
		return
	}
	switch list := &h.builder.open[last]; {
	case list.Kind != List || list.Number == Bullets || list.Number+len(list.Children) == n:
	case len(list.Children) == 0:
		list.Number = n
	default:
		h.leave()
		h.enter(Node{Kind: List, Number: n})
	}
}

// lineBreak ends a line; on a line that is empty, its paragraph.
func (h *htmlReader) lineBreak() {
	switch held := h.holding(); {
	case held != nil:
		held.words.WriteByte('\n')
	case h.due.Kind == Break:
		h.endLine()
	default:
		h.inline(Node{Kind: Break})
		h.spaced = true
	}
}

// divide ends a line and not its paragraph, as a <div> does; a line with
// nothing in it ends both.
func (h *htmlReader) divide() {
	switch {
	case h.emptyLine() || h.gone && h.due.Kind == Break:
		h.endLine()
	case !h.lineEnds():
		h.putOff(Node{Kind: Break})
	}
	h.spaced, h.gone = true, false
}

// emptyLine tells whether the last line has nothing in it that shows.
func (h *htmlReader) emptyLine() bool {
	nodes := h.line.Children
	last := len(nodes) - 1
	return last >= 0 && isBlank(nodes[last]) && (last == 0 || nodes[last-1].Kind == Break)
}

// table begins a part of a table. It is read as lines, with bars between the
// cells that have something in them.
func (h *htmlReader) table(a atom.Atom) (end func()) {
	switch {
	case a == atom.Table:
		h.losses.Add(TableFlattened)
		h.endLine()
		return h.endLine
	case a == atom.Tr:
		h.divide()
	case h.due.Kind == 0 && !h.lineEnds():
		h.putOff(Node{Kind: Text, Text: " | "})
	}
	h.spaced = true
	return nil
}

// raise begins words that are raised or lowered.
func (h *htmlReader) raise(sign string) (end func()) {
	if h.spaced {
		return nil
	}
	h.sign = sign
	return func() { h.sign = "" }
}

// signed returns raised or lowered words with a sign before them where they
// would be read as a part of what they stand at: 10^5 is not 105.
func (h *htmlReader) signed(s string) string {
	sign := h.sign
	h.sign = ""
	word := strings.TrimSpace(s)
	first, size := utf8.DecodeRuneInString(word)
	isWord := word != "" && strings.TrimFunc(word, isLetter) == ""
	if isWord && (sign == "_" || unicode.IsDigit(first) || size == len(word)) || sign == "^" && strings.ContainsRune("+-−", first) {
		return sign + s
	}
	return s
}

// picture reads an image. In Matrix it may be an emoticon, which is a word. One
// without words for it, or a dot, is there for its looks or to be counted.
func (h *htmlReader) picture(t html.Token) {
	src := attr(t, "src")
	alt, hasAlt := lookup(t, "alt")
	alt = strings.TrimSpace(alt)
	uploaded := h.matrix && strings.HasPrefix(src, "mxc:")
	if h.holding() != nil || !uploaded && (hasAlt && alt == "" || isDot(t) || unseen(t)) {
		if strings.HasPrefix(strings.ToLower(src), "http") {
			h.losses.Add(ImageRemoved)
		}
		h.gone = true
		return
	}
	if alt == "" {
		alt = attr(t, "title")
	}
	h.spaced = false
	if _, emoticon := lookup(t, "data-mx-emoticon"); emoticon && h.matrix && alt != "" {
		h.text(text.Line(alt))
		return
	}
	h.gone = !h.image(src, alt)
}

func isDot(t html.Token) bool {
	for _, side := range []string{attr(t, "width"), attr(t, "height")} {
		if side = strings.TrimSuffix(side, "px"); side == "1" || side == "0" {
			return true
		}
	}
	return false
}
