package markup

import (
	"html"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	gmtext "github.com/yuin/goldmark/text"
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
	m.children(markdownParser.Parse(gmtext.NewReader(m.src), parser.WithContext(parser.NewContext())))
}

type markdownReader struct {
	*builder
	src []byte
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

func (m *markdownReader) table(n ast.Node) {
	m.losses.Add(TableFlattened)
	m.endLine()
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		if row != n.FirstChild() {
			m.inline(Node{Kind: Break})
		}
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			if cell != row.FirstChild() {
				m.text(" | ")
			}
			m.children(cell)
		}
	}
	m.endLine()
}

func (m *markdownReader) inlineNode(n ast.Node) {
	switch n := n.(type) {
	case *ast.Text:
		m.textNode(n)
	case *ast.String:
		m.text(string(n.Value))
	case *ast.CodeSpan:
		m.code(m.raw(n))
	case *ast.Emphasis:
		m.marked(map[bool]Kind{false: Italic, true: Bold}[n.Level == 2], n)
	case *extast.Strikethrough:
		m.marked(Strike, n)
	case *ast.Link:
		m.link(unescape(n.Destination), func() { m.children(n) })
	case *ast.AutoLink:
		url := string(n.URL(m.src))
		if n.AutoLinkType == ast.AutoLinkEmail && !strings.HasPrefix(strings.ToLower(url), "mailto:") {
			url = "mailto:" + url
		}
		m.link(url, func() { m.text(string(n.Label(m.src))) })
	case *ast.Image:
		alt := builder{}
		inner := markdownReader{builder: &alt, src: m.src}
		inner.children(n)
		m.image(unescape(n.Destination), words(alt.doc().Blocks))
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

func (m *markdownReader) marked(k Kind, n ast.Node) {
	opened := m.mark(Node{Kind: k})
	m.children(n)
	if opened {
		m.unmark()
	}
}

// textNode reads words. A line end within a paragraph is a space to Markdown,
// and a line end to those who write chat: it is kept as one.
func (m *markdownReader) textNode(n *ast.Text) {
	s := n.Segment.Value(m.src)
	if n.IsRaw() {
		m.text(string(s))
	} else {
		m.text(unescape(s))
	}
	if n.SoftLineBreak() || n.HardLineBreak() {
		m.inline(Node{Kind: Break})
	}
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
			b.WriteString(html.UnescapeString(string(s[from:i])))
			b.WriteByte(s[i+1])
			i++
			from = i + 1
		}
	}
	b.WriteString(html.UnescapeString(string(s[from:])))
	return b.String()
}

func isPunctuation(c byte) bool {
	return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z')
}

const (
	maxNested = 512  // marks in a line, most of which could nest
	maxPaired = 2048 // marks in a paragraph, each of which could pair with another
)

// costly tells of Markdown whose parser would need far more time than words
// do: it compares each mark of format in a paragraph with those before it.
func costly(src string) bool {
	paired := 0
	for line := range strings.SplitSeq(src, "\n") {
		words := strings.TrimLeft(line, " \t>*-+")
		if words == "" {
			paired = 0
		}
		for i := range len(words) {
			if strings.IndexByte("[]*_~`<!", words[i]) >= 0 {
				paired++
			}
		}
		nested := len(line) - len(words)
		if nested+paired > maxPaired || nested > maxNested {
			return true
		}
	}
	return false
}
