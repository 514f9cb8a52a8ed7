package markup

import (
	"maps"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"parley.im/plugins/content"
	"parley.im/plugins/content/text"
)

// html reads an HTML document or fragment, or with matrix the formatted_body
// of a Matrix message. It goes through the tags once and remembers only what
// is open. A tree of elements is not made: where elements overlap, HTML repeats
// them in it (HTML Standard, section 13.2.4.3), and a short source can make it
// repeat them millions of times.
func (b *builder) html(src string, matrix bool) {
	b.spaced = true
	h := htmlReader{builder: b, matrix: matrix}
	z := html.NewTokenizer(strings.NewReader(src))
	for {
		switch z.Next() {
		case html.ErrorToken:
			h.endAll()
			return
		case html.TextToken:
			h.words(strings.ReplaceAll(string(z.Text()), "\x00", ""))
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.DataAtom == atom.Noscript { // nothing runs here
				z.NextIsNotRawText()
			}
			h.start(t)
		case html.EndTagToken:
			h.end(z.Token())
		}
	}
}

type htmlReader struct {
	*builder
	matrix bool
	open   []element
	hidden int    // how many of the open elements hide what they hold
	gone   bool   // a picture of this line was taken out
	sign   string // "^" or "_", when the next words are raised or lowered
}

// hidden are the elements that go with all they hold: programs, what is loaded
// from elsewhere, drawings with rules of their own, and what is never shown.
var hidden = set(atom.Script, atom.Style, atom.Template, atom.Iframe, atom.Frame, atom.Object, atom.Embed,
	atom.Applet, atom.Svg, atom.Math, atom.Noembed, atom.Noframes, atom.Audio, atom.Video, atom.Canvas, atom.Title,
	atom.Xmp, atom.Plaintext, atom.Link, atom.Meta, atom.Base, atom.Param, atom.Source, atom.Track, atom.Map, atom.Dialog)

// about are those of the hidden elements that tell of the message and its looks,
// and go unnoticed.
var about = set(atom.Title, atom.Meta, atom.Style, atom.Link, atom.Base)

// fields are the elements of forms that hold no words of the message.
var fields = set(atom.Input, atom.Select, atom.Textarea, atom.Option, atom.Datalist, atom.Button, atom.Keygen, atom.Meter, atom.Progress)

// parts are the elements that stand apart from what is before and behind them.
var parts = set(atom.P, atom.Section, atom.Article, atom.Aside, atom.Header, atom.Footer, atom.Main, atom.Nav,
	atom.Address, atom.Figure, atom.Figcaption, atom.Details, atom.Summary, atom.Form, atom.Fieldset, atom.Legend, atom.Center,
	atom.Dl, atom.Dt, atom.Dd, atom.Body, atom.Html, atom.Caption, atom.Tbody, atom.Thead, atom.Tfoot, atom.Hgroup, atom.Dir)

var formats = map[atom.Atom]Kind{
	atom.B: Bold, atom.Strong: Bold, atom.I: Italic, atom.Em: Italic, atom.Cite: Italic, atom.Var: Italic, atom.Dfn: Italic,
	atom.S: Strike, atom.Strike: Strike, atom.Del: Strike,
}

// isReply tells of the element of Matrix around what is answered.
func (h *htmlReader) isReply(t html.Token) bool { return h.matrix && t.Data == "mx-reply" }

func set(all ...atom.Atom) map[atom.Atom]bool {
	m := make(map[atom.Atom]bool, len(all))
	for _, a := range all {
		m[a] = true
	}
	return m
}

func union(sets ...map[atom.Atom]bool) map[atom.Atom]bool {
	all := map[atom.Atom]bool{}
	for _, s := range sets {
		maps.Copy(all, s)
	}
	return all
}

// begin reads the start of an element that is not hidden by one around it, and
// returns what is open from there on.
func (h *htmlReader) begin(t html.Token) (e element) {
	switch a := t.DataAtom; {
	case a == atom.Img || a == atom.Image:
		h.picture(t)
	case unseen(t):
		e.end = h.hide(HiddenRemoved)
	case about[a]:
		e.end = h.hide()
	case hidden[a]:
		e.end = h.hide(ActiveRemoved)
	case fields[a]:
		e.end = h.hide(FormRemoved)
	case h.isReply(t):
		e.end = h.hide(ReplyRemoved)
	case a == atom.Br:
		h.lineBreak()
	case h.inPre():
		e = h.inCode(t)
	case a == atom.Pre || a == atom.Listing:
		e = h.preformatted()
	case a == atom.Code || a == atom.Kbd || a == atom.Samp || a == atom.Tt:
		e = h.codeWords()
	case a == atom.A:
		e = h.anchor(t)
	default:
		e.end = h.element(t)
	}
	return e
}

// element begins an element that holds no more than others, and returns what
// ends it.
func (h *htmlReader) element(t html.Token) (end func()) {
	switch a := t.DataAtom; a {
	case atom.Hr:
		h.rule()
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		h.heading(int(t.Data[1] - '0'))
		return h.endLine
	case atom.Ul, atom.Menu:
		return h.within(Node{Kind: List, Number: Bullets})
	case atom.Ol:
		first, _ := number(attr(t, "start"))
		return h.within(Node{Kind: List, Number: first})
	case atom.Li:
		h.numbered(t)
		return h.within(Node{Kind: Item})
	case atom.Blockquote:
		return h.within(Node{Kind: Quote})
	case atom.Div:
		h.divide()
		return h.divide
	case atom.Table, atom.Tr, atom.Td, atom.Th:
		return h.table(a)
	case atom.Q:
		h.words("“")
		return func() { h.words("”") }
	case atom.Sup:
		return h.raise("^")
	case atom.Sub:
		return h.raise("_")
	default:
		return h.other(t)
	}
	return nil
}

// other begins the elements that need no function of their own. Those that
// nobody knows show what they hold.
func (h *htmlReader) other(t html.Token) (end func()) {
	format, formatted := formats[t.DataAtom]
	reason, spoils := lookup(t, "data-mx-spoiler")
	switch {
	case parts[t.DataAtom]:
		h.endLine()
		return h.endLine
	case formatted:
		return h.marked(Node{Kind: format})
	case spoils:
		return h.marked(Node{Kind: Spoiler, Name: text.Line(reason)})
	}
	return nil
}

// hide begins an element that hides what it holds.
func (h *htmlReader) hide(losses ...content.Loss) (end func()) {
	h.losses.Add(losses...)
	h.hidden++
	return func() { h.hidden-- }
}

// unseen tells of an element that its writer has hidden, as letters hide the
// lines for the list of a mailbox.
func unseen(t html.Token) bool {
	_, is := lookup(t, "hidden")
	return is || strings.Contains(strings.ToLower(strings.Join(strings.Fields(attr(t, "style")), "")), "display:none")
}

// within begins a block that holds blocks.
func (h *htmlReader) within(block Node) (end func()) {
	h.enter(block)
	return h.leave
}

// marked begins a format, in code within a line, too.
func (h *htmlReader) marked(m Node) (end func()) {
	h.part()
	if !h.mark(m) {
		return nil
	}
	return func() { h.endMark(m) }
}

// endMark ends a format or a link. One that ends in code with lines, and began
// before it, has a part of the code in it that it can't be around.
func (h *htmlReader) endMark(m Node) {
	h.part()
	h.unmark(m.Kind)
	if !h.inPre() {
		return
	}
	switch code := h.holding(); m.Kind {
	case Spoiler:
		code.hide(m)
	case Link:
		code.words.WriteString(" (" + m.URL + ")")
		h.losses.Add(LinkAsText)
	}
}

// words reads words between tags.
func (h *htmlReader) words(s string) {
	if h.hidden > 0 || s == "" {
		return
	}
	if h.sign != "" {
		s = h.signed(s)
	}
	if held := h.holding(); held != nil {
		held.words.WriteString(s)
	} else {
		h.collapsed(s)
	}
}

// collapsed adds words in which any white space is one space, and none at the
// beginning of a line.
func (b *builder) collapsed(s string) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if !isSpace(s[i]) {
			out.WriteByte(s[i])
			b.spaced = false
		} else if !b.spaced {
			out.WriteByte(' ')
			b.spaced = true
		}
	}
	if out.Len() > 0 {
		b.text(out.String())
	}
}

// isSpace tells of what is white space to HTML.
func isSpace(c byte) bool { return strings.IndexByte(" \t\n\r\f", c) >= 0 }

func attr(t html.Token, key string) string {
	v, _ := lookup(t, key)
	return v
}

func lookup(t html.Token, key string) (string, bool) {
	for _, a := range t.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

// number reads the number of an item; 1 where there is no sensible one.
func number(s string) (n int, ok bool) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > 999_999 {
		return 1, false
	}
	return n, true
}
