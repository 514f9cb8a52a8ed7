package markup

import (
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// html reads an HTML document or fragment, or with matrix the formatted_body
// of a Matrix message. What is too deep to be parsed is read as words.
func (b *builder) html(src string, matrix bool) {
	b.spaced = true
	root, err := html.ParseWithOptions(strings.NewReader(src), html.ParseOptionEnableScripting(false))
	if err != nil {
		b.losses.Add(StructureRemoved)
		b.tokens(src)
		return
	}
	h := htmlReader{builder: b, matrix: matrix}
	h.children(root)
}

// tokens reads the words between the tags of HTML, and nothing else of it.
func (b *builder) tokens(src string) {
	z := html.NewTokenizer(strings.NewReader(src))
	skip := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken:
			name, _ := z.TagName()
			if skip == "" && raw[atom.Lookup(name)] {
				skip = string(name)
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == skip {
				skip = ""
			}
		case html.TextToken:
			if skip == "" {
				b.collapsed(string(z.Text()))
			}
		}
	}
}

// raw are the hidden elements that hold no elements.
var raw = set(atom.Script, atom.Style, atom.Iframe, atom.Noembed, atom.Noframes, atom.Title, atom.Xmp)

type htmlReader struct {
	*builder
	matrix bool
	pre    bool // within <pre>
}

// hidden are the elements that go with all they hold: programs, what is loaded
// from elsewhere, drawings with rules of their own, and what is never shown.
var hidden = set(atom.Script, atom.Style, atom.Template, atom.Iframe, atom.Frame, atom.Frameset, atom.Object, atom.Embed,
	atom.Applet, atom.Svg, atom.Math, atom.Noembed, atom.Noframes, atom.Audio, atom.Video, atom.Canvas, atom.Title, atom.Head,
	atom.Xmp, atom.Plaintext, atom.Link, atom.Meta, atom.Base, atom.Param, atom.Source, atom.Track, atom.Map, atom.Dialog)

// fields are the elements of forms that hold no words of the message.
var fields = set(atom.Input, atom.Select, atom.Textarea, atom.Option, atom.Datalist, atom.Button, atom.Keygen, atom.Meter, atom.Progress)

// parts are the elements that begin on a new line.
var parts = set(atom.P, atom.Div, atom.Section, atom.Article, atom.Aside, atom.Header, atom.Footer, atom.Main, atom.Nav,
	atom.Address, atom.Figure, atom.Figcaption, atom.Details, atom.Summary, atom.Form, atom.Fieldset, atom.Legend, atom.Center,
	atom.Dl, atom.Dt, atom.Dd, atom.Body, atom.Html, atom.Caption, atom.Tbody, atom.Thead, atom.Tfoot, atom.Hgroup, atom.Dir)

var formats = map[atom.Atom]Kind{
	atom.B: Bold, atom.Strong: Bold, atom.I: Italic, atom.Em: Italic, atom.Cite: Italic, atom.Var: Italic, atom.Dfn: Italic,
	atom.S: Strike, atom.Strike: Strike, atom.Del: Strike,
}

func set(all ...atom.Atom) map[atom.Atom]bool {
	m := make(map[atom.Atom]bool, len(all))
	for _, a := range all {
		m[a] = true
	}
	return m
}

func (h *htmlReader) children(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		h.node(c)
	}
}

func (h *htmlReader) node(n *html.Node) {
	switch n.Type {
	case html.TextNode:
		if h.pre {
			h.text(n.Data)
		} else {
			h.collapsed(n.Data)
		}
	case html.ElementNode:
		if n.Namespace != "" || hidden[n.DataAtom] {
			if n.DataAtom != atom.Head && n.DataAtom != atom.Title && n.DataAtom != atom.Meta {
				h.losses.Add(ActiveRemoved)
			}
			return
		}
		h.element(n)
	}
}

// element reads an element that may show something.
func (h *htmlReader) element(n *html.Node) {
	switch a := n.DataAtom; a {
	case atom.Br:
		h.inline(Node{Kind: Break})
		h.spaced = true
	case atom.Hr:
		h.rule()
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		h.heading(int(n.Data[1] - '0'))
		h.children(n)
		h.endLine()
	case atom.Ul, atom.Menu:
		h.within(Node{Kind: List, Number: Bullets}, n)
	case atom.Ol:
		h.within(Node{Kind: List, Number: number(attr(n, "start"))}, n)
	case atom.Li:
		h.within(Node{Kind: Item}, n)
	case atom.Blockquote:
		h.within(Node{Kind: Quote}, n)
	case atom.Pre, atom.Listing:
		h.preformatted(n)
	case atom.Code, atom.Kbd, atom.Samp, atom.Tt:
		h.codeWords(n)
	case atom.A:
		h.anchor(n)
	case atom.Img, atom.Image:
		h.picture(n)
	case atom.Table, atom.Tr, atom.Td, atom.Th:
		h.table(n)
	default:
		h.other(n)
	}
}

// within reads a block that holds blocks.
func (h *htmlReader) within(block Node, n *html.Node) {
	h.enter(block)
	h.children(n)
	h.leave()
}

// other reads the elements that need no function of their own. Those that
// nobody knows show what they hold.
func (h *htmlReader) other(n *html.Node) {
	format, formatted := formats[n.DataAtom]
	reason, spoils := lookup(n, "data-mx-spoiler")
	switch {
	case fields[n.DataAtom]:
		h.losses.Add(FormRemoved)
	case h.matrix && n.Data == "mx-reply":
		h.losses.Add(ReplyRemoved)
	case parts[n.DataAtom]:
		h.endLine()
		h.children(n)
		h.endLine()
	case formatted:
		h.marked(Node{Kind: format}, n)
	case spoils:
		h.marked(Node{Kind: Spoiler, Name: oneLine(reason)}, n)
	default:
		h.children(n)
	}
}

func (h *htmlReader) marked(m Node, n *html.Node) {
	opened := h.mark(m)
	h.children(n)
	if opened {
		h.unmark()
	}
}

// preformatted reads <pre>: code when it holds nothing else.
func (h *htmlReader) preformatted(n *html.Node) {
	language := ""
	if c := n.FirstChild; c != nil && c.DataAtom == atom.Code {
		for class := range strings.FieldsSeq(attr(c, "class")) {
			if l, ok := strings.CutPrefix(class, "language-"); ok {
				language = l
			}
		}
	}
	h.codeBlock(inner(n), language)
}

// codeWords reads code within a line. Where it holds blocks, as broken HTML
// does, they are read as such.
func (h *htmlReader) codeWords(n *html.Node) {
	s := inner(n)
	if strings.TrimSpace(s) == "" {
		return
	}
	h.code(strings.Join(strings.Fields(s), " "))
	h.spaced = false
}

// anchor reads a link, or in Matrix a mention, which is a link to somebody.
func (h *htmlReader) anchor(n *html.Node) {
	href, ok := lookup(n, "href")
	if id := pill(href); h.matrix && id != "" {
		h.inline(Node{Kind: Mention, Name: id, Text: called(oneLine(inner(n)), id)})
		h.spaced = false
		return
	}
	if !ok || strings.HasPrefix(href, "#") { // a place within the text
		h.children(n)
		return
	}
	h.link(href, func() { h.children(n) })
}

// picture reads an image. In Matrix it may be an emoticon, which is a word.
func (h *htmlReader) picture(n *html.Node) {
	alt := attr(n, "alt")
	if alt == "" {
		alt = attr(n, "title")
	}
	h.spaced = false
	if _, emoticon := lookup(n, "data-mx-emoticon"); emoticon && h.matrix && alt != "" {
		h.text(oneLine(alt))
		return
	}
	h.image(attr(n, "src"), alt)
}

// table reads a table as lines, with bars between the cells that have
// something in them.
func (h *htmlReader) table(n *html.Node) {
	switch n.DataAtom {
	case atom.Table:
		h.losses.Add(TableFlattened)
		h.endLine()
		h.children(n)
		h.endLine()
	case atom.Tr:
		if len(h.line.Children) > 0 {
			h.inline(Node{Kind: Break})
		}
		h.spaced = true
		h.children(n)
	default:
		if last := len(h.line.Children) - 1; last >= 0 && h.line.Children[last].Kind != Break && n.FirstChild != nil {
			h.text(" | ")
		}
		h.spaced = true
		h.children(n)
	}
}

// collapsed adds words in which any white space is one space, and none at the
// beginning of a line.
func (b *builder) collapsed(s string) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\n', '\r', '\f':
			if !b.spaced {
				out.WriteByte(' ')
			}
			b.spaced = true
		default:
			out.WriteByte(c)
			b.spaced = false
		}
	}
	if out.Len() > 0 {
		b.text(out.String())
	}
}

// inner returns the words within a node as they stand there.
func inner(n *html.Node) string {
	var b strings.Builder
	addInner(&b, n)
	return b.String()
}

func addInner(b *strings.Builder, n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type == html.TextNode:
			b.WriteString(c.Data)
		case c.Type == html.ElementNode && c.DataAtom == atom.Br:
			b.WriteByte('\n')
		case c.Type == html.ElementNode && c.Namespace == "" && !hidden[c.DataAtom] && !fields[c.DataAtom]:
			addInner(b, c)
		}
	}
}

func attr(n *html.Node, key string) string {
	v, _ := lookup(n, key)
	return v
}

func lookup(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key && a.Namespace == "" {
			return a.Val, true
		}
	}
	return "", false
}

// number reads the first number of a list; 1 where there is no sensible one.
func number(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > 999_999 {
		return 1
	}
	return n
}
