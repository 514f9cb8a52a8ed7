package markup

import (
	"html"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	gmtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// markdownParser reads CommonMark with GitHub's extensions. It keeps nothing
// between calls and may be used by several goroutines.
var markdownParser = goldmark.New(goldmark.WithExtensions(extension.Strikethrough, extension.Table, extension.Linkify)).Parser()

// markdown reads CommonMark. HTML in it is shown as words. A text that is made
// to cost its reader time is read as plain text.
func (b *builder) markdown(src string) {
	src = strings.ToValidUTF8(src, "\uFFFD")
	if costly(src) {
		b.losses.Add(StructureRemoved)
		b.plain(src)
		return
	}
	m := markdownReader{builder: b, src: []byte(src)}
	root := markdownParser.Parse(gmtext.NewReader(m.src), parser.WithContext(parser.NewContext()))
	m.used = used(root)
	m.children(root)
	if m.endLine(); len(b.blocks) == 0 { // such as "#" alone
		b.plain(src)
	}
}

type markdownReader struct {
	*builder
	src  []byte
	used map[string]bool // the labels of the definitions that links refer to
}

// used returns the labels that links and images refer to.
func used(root ast.Node) map[string]bool {
	labels := map[string]bool{}
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // it fails when the function does
		var ref *ast.ReferenceLink
		switch n := n.(type) {
		case *ast.Link:
			ref = n.Reference
		case *ast.Image:
			ref = n.Reference
		}
		if entering && ref != nil {
			labels[util.ToLinkReference(ref.Value)] = true
		}
		return ast.WalkContinue, nil
	})
	return labels
}

func (m *markdownReader) children(n ast.Node) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		m.node(c)
	}
}

func (m *markdownReader) node(n ast.Node) {
	if n.Type() == ast.TypeBlock {
		m.blockNode(n)
	} else {
		m.inlineNode(n)
	}
}

func (m *markdownReader) blockNode(n ast.Node) {
	switch n := n.(type) {
	case *ast.Heading:
		m.heading(n.Level)
		m.children(n)
		m.endLine()
	case *ast.List:
		start := Bullets
		if n.IsOrdered() {
			start = min(n.Start, 999_999)
		}
		m.within(Node{Kind: List, Number: start}, n)
	case *ast.ListItem:
		m.within(Node{Kind: Item}, n)
	case *ast.Blockquote:
		m.within(Node{Kind: Quote}, n)
	case *ast.FencedCodeBlock:
		m.codeBlock(m.lines(n), string(n.Language(m.src)))
	case *ast.CodeBlock:
		m.codeBlock(m.lines(n), "")
	case *ast.ThematicBreak:
		m.rule()
	case *ast.HTMLBlock:
		m.losses.Add(HTMLAsText)
		s := m.lines(n)
		if n.HasClosure() {
			s += string(n.ClosureLine.Value(m.src))
		}
		m.endLine()
		m.text(strings.TrimRight(s, "\n"))
		m.endLine()
	case *extast.Table:
		m.table(n)
	case *ast.LinkReferenceDefinition:
		m.definition(n)
	default: // a paragraph, or what stands for one in a list
		m.endLine()
		m.children(n)
		m.endLine()
	}
}

func (m *markdownReader) within(block Node, n ast.Node) {
	m.enter(block)
	m.children(n)
	m.leave()
}

// definition shows an address that no link refers to as it stands there.
func (m *markdownReader) definition(n *ast.LinkReferenceDefinition) {
	if m.used[util.ToLinkReference(n.Label)] {
		return
	}
	m.endLine()
	m.text(strings.TrimSpace(m.lines(n)))
	m.endLine()
}

// table reads a table as lines, with bars between the cells up to the last one
// that has something in it.
func (m *markdownReader) table(n ast.Node) {
	m.losses.Add(TableFlattened)
	m.endLine()
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		if row != n.FirstChild() {
			m.inline(Node{Kind: Break})
		}
		bars := 0
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			if cell.HasChildren() {
				m.text(strings.Repeat(" | ", bars))
				bars = 0
			}
			m.children(cell)
			bars++
		}
	}
	m.endLine()
}

var emphasis = map[bool]Kind{false: Italic, true: Bold}

func (m *markdownReader) inlineNode(n ast.Node) {
	switch n := n.(type) {
	case *ast.Text:
		m.textNode(n)
	case *ast.String:
		m.text(string(n.Value))
	case *ast.CodeSpan:
		m.code(m.raw(n))
	case *ast.Emphasis:
		m.marked(emphasis[n.Level == 2], n)
	case *extast.Strikethrough:
		m.marked(Strike, n)
	case *ast.Link:
		m.link(m.destination(n.Destination), func() { m.children(n) })
	case *ast.AutoLink:
		url := string(n.URL(m.src))
		if n.AutoLinkType == ast.AutoLinkEmail && !strings.HasPrefix(strings.ToLower(url), "mailto:") {
			url = "mailto:" + url
		}
		m.link(url, func() { m.text(string(n.Label(m.src))) })
	case *ast.Image:
		var alt strings.Builder
		m.addWords(&alt, n)
		m.image(m.destination(n.Destination), alt.String())
	case *ast.RawHTML:
		m.losses.Add(HTMLAsText)
		for i := range n.Segments.Len() {
			s := n.Segments.At(i)
			m.text(string(s.Value(m.src)))
		}
	default:
		m.children(n)
	}
}

// destination returns the address of a link, or "" when it was used so often
// that it has no room any more.
func (m *markdownReader) destination(raw []byte) string {
	if !m.affords(len(raw)) {
		return ""
	}
	return unescape(raw)
}

// addWords adds the words within a node, without any format.
func (m *markdownReader) addWords(b *strings.Builder, n ast.Node) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.WriteString(m.said(c))
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(c.Value)
		case *ast.AutoLink:
			b.Write(c.Label(m.src))
		default:
			m.addWords(b, c)
		}
	}
}

func (m *markdownReader) marked(k Kind, n ast.Node) {
	opened := m.mark(Node{Kind: k})
	m.children(n)
	if opened {
		m.unmark(k)
	}
}

// textNode reads words. A line end within a paragraph is a space to Markdown,
// and a line end to those who write chat: it is kept as one.
func (m *markdownReader) textNode(n *ast.Text) {
	m.text(m.said(n))
	if n.SoftLineBreak() || n.HardLineBreak() {
		m.inline(Node{Kind: Break})
	}
}

func (m *markdownReader) said(n *ast.Text) string {
	s := n.Segment.Value(m.src)
	if n.IsRaw() {
		return string(s)
	}
	return unescape(s)
}

// raw returns the code between backticks.
func (m *markdownReader) raw(n ast.Node) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(t.Segment.Value(m.src))
		}
	}
	return b.String()
}

// lines returns the lines of a block as they stand there.
func (m *markdownReader) lines(n ast.Node) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		s := n.Lines().At(i)
		b.Write(s.Value(m.src))
	}
	return b.String()
}

// unescape takes the backslashes and entities of Markdown out of words
// (CommonMark 0.31, sections 2.4 and 2.5). What a backslash escapes begins no
// entity.
func unescape(s []byte) string {
	var b strings.Builder
	from := 0
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '\\' && isPunctuation(s[i+1]) {
			b.WriteString(entities(string(s[from:i])))
			b.WriteByte(s[i+1])
			i++
			from = i + 1
		}
	}
	b.WriteString(entities(string(s[from:])))
	return b.String()
}

var entity = regexp.MustCompile(`&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]*);`)

// entities replaces the entities in words. Those of HTML that end without a
// semicolon are none in Markdown: addresses are full of them.
func entities(s string) string {
	return entity.ReplaceAllStringFunc(s, func(name string) string {
		if c := html.UnescapeString(name); c == ";" || !strings.HasSuffix(c, ";") {
			return c
		}
		return name
	})
}

func isPunctuation(c byte) bool {
	return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z')
}
