package markup

import (
	"slices"
	"strings"

	"parley.im/plugins/content"
	"parley.im/plugins/content/text"
)

// A Kind says what a node of a document is.
type Kind uint8

// The kinds. A document, an Item and a Quote hold blocks; a List holds Items; a
// Paragraph, a Heading and the kinds from Bold to Link hold inlines.
const (
	Paragraph Kind = iota + 1
	Heading        // Number: its level, 1 to 6
	List           // Number: that of its first item, or Bullets
	Item
	Quote
	CodeBlock // Text: its lines; Name: the language, or ""

	Bold
	Italic
	Strike
	Spoiler // Name: the reason, or ""
	Link    // URL

	Text    // Text
	Code    // Text, on one line
	Break   // the end of a line
	Mention // Text: as it is shown, with its sigil; Name: the identifier on its own network
	Image   // URL; Text: the words for it
)

// Bullets is the Number of a list that has none.
const Bullets = -1

// A Node is a part of a document.
type Node struct {
	Kind     Kind
	Text     string
	URL      string // always of an allowed scheme, percent-encoded
	Name     string
	Number   int
	Live     bool // a Mention that may be written as a token of its network
	Children []Node
}

// A Doc is a formatted text. It belongs to one goroutine.
type Doc struct {
	Blocks []Node
	Losses content.Losses // so far
	size   int            // bytes of the source, for the limit of the output
}

// Resolve asks for every mention how it is to be shown, and whether its
// identifier is one of the network that will be written to and may be notified
// there. An identifier is as its network writes it: "U024BE7LH", "C0OPS" or
// "!here" in Slack, "@bob:example.org" in Matrix.
func (d *Doc) Resolve(show func(id, text string) (shown string, live bool)) {
	resolve(d.Blocks, show)
}

func resolve(nodes []Node, show func(id, text string) (string, bool)) {
	for i := range nodes {
		if n := &nodes[i]; n.Kind == Mention {
			shown, live := show(n.Name, n.Text)
			n.Text, n.Live = text.Line(shown), live
		}
		resolve(nodes[i].Children, show)
	}
}

// Join returns one document of several, each of which begins on a line of its
// own. Their nodes are shared.
func Join(docs ...*Doc) *Doc {
	if len(docs) == 1 {
		return docs[0]
	}
	all := &Doc{}
	for _, d := range docs {
		all.Blocks = append(all.Blocks, d.Blocks...)
		all.Losses.Add(d.Losses...)
		all.size += d.size
	}
	return all
}

// Formatted tells whether the document is more than lines of words: whether
// something is lost when it is shown as they are.
func (d *Doc) Formatted() bool { return formatted(d.Blocks) }

func formatted(nodes []Node) bool {
	return slices.ContainsFunc(nodes, func(n Node) bool {
		switch n.Kind {
		case Text, Break, Mention:
			return false
		case Link:
			return words(n.Children) != n.URL
		case Paragraph:
			return formatted(n.Children)
		}
		return true
	})
}

// words returns what nodes say, without any format.
func words(nodes []Node) string {
	var b strings.Builder
	addWords(&b, nodes)
	return b.String()
}

func addWords(b *strings.Builder, nodes []Node) {
	for _, n := range nodes {
		switch {
		case n.Kind == Break:
			b.WriteByte('\n')
		case n.Kind < Bold && b.Len() > 0 && !strings.HasSuffix(b.String(), "\n"):
			b.WriteByte('\n')
		}
		b.WriteString(n.Text)
		addWords(b, n.Children)
	}
}

// flat returns one paragraph of words.
func flat(words string) []Node {
	var b builder
	b.plain(words)
	return b.doc().Blocks
}

// full tells whether n bytes are more than there is room for, so that it is no
// use to write on.
func (d *Doc) full(n int) bool { return n > room(d.size) }
