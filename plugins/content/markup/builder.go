package markup

import (
	"slices"
	"strings"
	"unicode"

	"parley.im/plugins/content"
	"parley.im/plugins/content/text"
)

// A builder puts a document together from what a reader comes across, in
// whatever order and nesting the source has it: blocks within inlines are
// taken apart, stray words get a paragraph, and what is too deep stays where
// it is.
type builder struct {
	size   int
	losses content.Losses
	blocks []Node // finished, of the document
	open   []Node // List, Item and Quote around what comes next
	deep   int    // how many more were opened than MaxDepth allows
	line   Node   // the open Paragraph or Heading; Kind 0 when there is none
	marks  []Node // Bold to Link around what comes next
	due    Node   // a line end or a bar that comes before the next part of the line, if there is one
	dueIn  int    // how many of the marks are around it
	spaced bool   // in HTML: a space here would be the second one
	linked bool   // there is a link
	named  int    // bytes of the addresses and names of marks so far
}

// doc finishes the document.
func (b *builder) doc() *Doc {
	b.endLine()
	for len(b.open) > 0 {
		b.pop()
	}
	d := &Doc{Blocks: b.blocks, Losses: b.losses, size: b.size}
	if b.linked {
		honest(d.Blocks, &d.Losses)
	}
	return d
}

// enter opens a List, Item or Quote, or notes that it is too deep.
func (b *builder) enter(n Node) {
	b.endLine()
	if b.deep > 0 || len(b.open) >= MaxDepth {
		b.deep++
		b.losses.Add(NestingFlattened)
		return
	}
	b.open = append(b.open, n)
}

// leave closes what enter opened.
func (b *builder) leave() {
	b.endLine()
	if b.deep > 0 {
		b.deep--
	} else if len(b.open) > 0 {
		b.pop()
	}
}

// pop moves the innermost open block into the one around it. Empty ones go.
func (b *builder) pop() {
	last := len(b.open) - 1
	n := b.open[last]
	b.open = b.open[:last]
	if len(n.Children) > 0 {
		b.block(n)
	}
}

// block adds a finished block. A list holds items only, and only a list does; a
// list that stands in a list without an item belongs to the item before it.
func (b *builder) block(n Node) {
	into, inList := &b.blocks, false
	if last := len(b.open) - 1; last >= 0 {
		into, inList = &b.open[last].Children, b.open[last].Kind == List
	}
	switch {
	case inList && n.Kind == List && len(*into) > 0:
		into = &(*into)[len(*into)-1].Children
	case inList && n.Kind != Item:
		n = Node{Kind: Item, Children: []Node{n}}
	case !inList && n.Kind == Item:
		n = Node{Kind: List, Number: Bullets, Children: []Node{n}}
	}
	*into = append(*into, n)
}

// heading begins a heading; what comes next belongs to it until endLine.
func (b *builder) heading(level int) {
	b.endLine()
	b.line = Node{Kind: Heading, Number: level}
	b.spaced = true
}

// endLine closes the open paragraph or heading. Breaks and spaces at its ends
// show nothing and go, within formats, too.
func (b *builder) endLine() {
	n := b.line
	b.line, b.due, b.spaced = Node{}, Node{}, true
	if n.Kind == 0 {
		return
	}
	n.Children = withoutBreaks(trimmed(n.Children))
	if len(n.Children) > 0 {
		b.block(n)
	}
}

// trimmed returns nodes without what shows nothing at their end.
func trimmed(nodes []Node) []Node {
	for ; len(nodes) > 0; nodes = nodes[:len(nodes)-1] {
		switch n := &nodes[len(nodes)-1]; n.Kind {
		case Text:
			if n.Text = strings.TrimRight(n.Text, " \t"); strings.TrimSpace(n.Text) != "" {
				return nodes
			}
		case Link: // it shows its address, at least
			n.Children = trimmed(n.Children)
			return nodes
		case Bold, Italic, Strike, Spoiler:
			if n.Children = trimmed(n.Children); len(n.Children) > 0 {
				return nodes
			}
		case Break:
		default:
			return nodes
		}
	}
	return nodes
}

// withoutBreaks returns nodes without the breaks that they begin with.
func withoutBreaks(nodes []Node) []Node {
	for ; len(nodes) > 0; nodes = nodes[1:] {
		switch n := &nodes[0]; n.Kind {
		case Break:
		case Bold, Italic, Strike, Spoiler, Link:
			if n.Children = withoutBreaks(n.Children); len(n.Children) > 0 || n.Kind == Link {
				return nodes
			}
		default:
			return nodes
		}
	}
	return nodes
}

// isBlank tells of a part of a line that shows nothing, if it is a small one.
func isBlank(n Node) bool {
	switch n.Kind {
	case Text:
		return strings.TrimSpace(n.Text) == ""
	case Bold, Italic, Strike, Spoiler:
		return len(n.Children) < 4 && !slices.ContainsFunc(n.Children, func(c Node) bool { return !isBlank(c) })
	}
	return n.Kind == Break
}

// lineEnds tells whether nothing stands on the line yet.
func (b *builder) lineEnds() bool {
	nodes := b.line.Children
	for len(nodes) > 0 {
		last := nodes[len(nodes)-1]
		if last.Kind == Break {
			return true
		}
		if nodes = last.Children; len(nodes) == 0 {
			return false
		}
	}
	return true
}

// putOff has a line end or a bar come before the next part of the line.
func (b *builder) putOff(n Node) {
	if b.due.Kind != n.Kind {
		b.due, b.dueIn = n, len(b.marks)
	}
}

// codeBlock adds a block of code. One in a link or a spoiler would be in it no
// more: it becomes lines of code.
func (b *builder) codeBlock(lines, language string) {
	b.endLine()
	lines = strings.TrimRight(text.Clean(lines), "\n")
	if strings.TrimSpace(lines) == "" {
		return
	}
	if slices.ContainsFunc(b.marks, func(m Node) bool { return m.Kind == Link || m.Kind == Spoiler }) {
		b.codeLines(lines)
		return
	}
	if strings.ContainsFunc(language, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("+-#_.", r)
	}) || len(language) > 32 {
		language = ""
	}
	b.block(Node{Kind: CodeBlock, Text: lines, Name: language})
}

// codeLines adds a paragraph of code.
func (b *builder) codeLines(lines string) {
	for i, line := range strings.Split(lines, "\n") {
		if i > 0 {
			b.inline(Node{Kind: Break})
		}
		b.code(line)
	}
	b.endLine()
}

// rule adds a line between two parts.
func (b *builder) rule() {
	b.endLine()
	b.losses.Add(RuleAsText)
	b.inline(Node{Kind: Text, Text: "———"})
	b.endLine()
}

// mark opens a kind from Bold to Link. It tells whether it did: within one of
// its own kind it has no effect. unmark closes it.
func (b *builder) mark(n Node) bool {
	for _, m := range b.marks {
		if m.Kind == n.Kind {
			return false
		}
	}
	b.marks = append(b.marks, n)
	return true
}

func (b *builder) unmark(k Kind) {
	at := slices.IndexFunc(b.marks, func(m Node) bool { return m.Kind == k })
	b.marks = slices.Delete(b.marks, at, at+1)
	b.dueIn = min(b.dueIn, at)
}

// text adds words, which may have several lines.
func (b *builder) text(s string) {
	s = text.Clean(s)
	for {
		line, rest, more := strings.Cut(s, "\n")
		if line != "" {
			b.inline(Node{Kind: Text, Text: line})
		}
		if !more {
			return
		}
		b.inline(Node{Kind: Break})
		s = rest
	}
}

// code adds code within a line.
func (b *builder) code(s string) {
	if s = strings.ReplaceAll(text.Clean(s), "\n", " "); strings.TrimSpace(s) != "" {
		b.inline(Node{Kind: Code, Text: s})
	}
}

// inline adds a part of a line within the open marks.
func (b *builder) inline(n Node) {
	if b.line.Kind == 0 {
		b.line.Kind = Paragraph
	}
	if due := b.due; due.Kind != 0 {
		b.due = Node{}
		if due.Kind == Break || n.Kind != Break {
			b.add(&b.line.Children, b.marks[:b.dueIn], due)
		}
	}
	b.add(&b.line.Children, b.marks, n)
}

// add puts n at the end of nodes, within marks: into the node that is there
// already when it has the same mark.
func (b *builder) add(nodes *[]Node, marks []Node, n Node) {
	last := len(*nodes) - 1
	if len(marks) == 0 {
		*nodes = append(*nodes, n)
		return
	}
	m := marks[0]
	if last < 0 || (*nodes)[last].Kind != m.Kind || (*nodes)[last].URL != m.URL || (*nodes)[last].Name != m.Name {
		if !b.affords(len(m.URL) + len(m.Name)) {
			b.add(nodes, marks[1:], n)
			return
		}
		*nodes = append(*nodes, Node{Kind: m.Kind, URL: m.URL, Name: m.Name})
		last++
	}
	b.add(&(*nodes)[last].Children, marks[1:], n)
}

// affords tells whether an address or a name of so many bytes may stand in the
// document once more. One in a source can be meant for each line of it.
func (b *builder) affords(n int) bool {
	if b.named += n; b.named <= room(b.size) {
		return true
	}
	b.losses.Add(StructureRemoved)
	return false
}

// link adds a link around what inside adds; without a usable address only
// that.
func (b *builder) link(raw string, inside func()) {
	opened := b.openLink(raw)
	inside()
	if opened {
		b.unmark(Link)
	}
}

// openLink opens a link. It tells whether it did: there is none without a
// usable address, and none in another.
func (b *builder) openLink(raw string) bool {
	url, ok := address(raw)
	if !ok {
		b.losses.Add(LinkRemoved)
		return false
	}
	b.linked = true
	return b.mark(Node{Kind: Link, URL: url})
}

// image adds a picture. It tells whether something shows.
func (b *builder) image(raw, alt string) bool {
	alt = text.Line(alt)
	url, ok := address(raw)
	switch {
	case ok:
		b.inline(Node{Kind: Image, URL: url, Text: alt})
	case alt != "":
		b.losses.Add(ImageRemoved)
		b.text(alt)
	default:
		b.losses.Add(ImageRemoved)
		return false
	}
	return true
}

// plain reads text as it is: one paragraph, whose lines all stay.
func (b *builder) plain(s string) { b.text(s) }
