package markup

import (
	"strconv"
	"strings"
)

// writePlain writes text for eyes alone: paragraphs with an empty line between
// them, "• " and numbers before items, "> " before quotes, the address of a
// link behind its words.
func writePlain(d *Doc, blocks []Node) string {
	w := plainWriter{doc: d}
	return w.blocks(blocks)
}

type plainWriter struct{ doc *Doc }

func (w plainWriter) blocks(nodes []Node) string { return w.doc.join(nodes, w.block) }

func (w plainWriter) block(n Node) string {
	switch n.Kind {
	case Heading:
		w.doc.Losses.Add(EmphasisRemoved)
		return w.inlines(n.Children)
	case List:
		return w.doc.items(n, "• ", ". ", w.blocks)
	case Quote:
		return w.doc.quote(w.blocks(n.Children))
	case CodeBlock:
		return n.Text
	}
	return w.inlines(n.Children)
}

func (w plainWriter) inlines(nodes []Node) string {
	if len(nodes) == 1 && nodes[0].Kind == Text {
		return nodes[0].Text
	}
	var b strings.Builder
	for _, n := range nodes {
		if w.doc.full(b.Len()) {
			break
		}
		b.WriteString(w.inline(n))
	}
	return b.String()
}

func (w plainWriter) inline(n Node) string {
	switch n.Kind {
	case Break:
		return "\n"
	case Bold, Italic, Strike:
		w.doc.Losses.Add(EmphasisRemoved)
		return w.inlines(n.Children)
	case Spoiler:
		w.doc.Losses.Add(SpoilerShown)
		return "[" + spoilerName(n) + ": " + w.inlines(n.Children) + "]"
	case Link:
		return linkText(w.inlines(n.Children), n.URL)
	case Image:
		w.doc.Losses.Add(ImageAsLink)
		return label(n) + " " + n.URL
	}
	return n.Text
}

// spoilerName announces a spoiler where it can't be hidden.
func spoilerName(n Node) string {
	if n.Name == "" {
		return "spoiler"
	}
	return "spoiler, " + n.Name
}

// linkText is a link in plain text: its words, and behind them its address
// unless they say it.
func linkText(said, url string) string {
	_, bare, _ := strings.Cut(url, ":")
	if said == url || said == bare || strings.HasSuffix(said, "("+url+")") || "//"+said == strings.TrimSuffix(bare, "/") {
		return said
	}
	return said + " (" + url + ")"
}

// join writes blocks with an empty line between them.
func (d *Doc) join(nodes []Node, block func(Node) string) string {
	if len(nodes) == 1 {
		return block(nodes[0])
	}
	var b strings.Builder
	for _, n := range nodes {
		if d.full(b.Len()) {
			break
		}
		s := block(n)
		if s == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(s)
	}
	return b.String()
}

// items writes a list, the lines of each item below each other. Items with one
// paragraph, and lists in it, stand without empty lines between them.
func (d *Doc) items(list Node, bullet, dot string, blocks func([]Node) string) string {
	var b strings.Builder
	for i, item := range list.Children {
		if d.full(b.Len()) {
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		mark := bullet
		if list.Number != Bullets {
			mark = strconv.Itoa(list.Number+i) + dot
		}
		margin := strings.Repeat(" ", len([]rune(mark)))
		b.WriteString(mark)
		b.WriteString(d.indent(itemLines(item.Children, blocks), margin))
	}
	return b.String()
}

func itemLines(children []Node, blocks func([]Node) string) string {
	if len(children) == 2 && children[0].Kind == Paragraph && children[1].Kind == List {
		return blocks(children[:1]) + "\n" + blocks(children[1:])
	}
	return blocks(children)
}

// indent moves all lines but the first to the right, if they are not empty.
func (d *Doc) indent(s, margin string) string {
	if !strings.Contains(s, "\n") || d.full(len(s)) {
		return s
	}
	all := strings.Split(s, "\n")
	for i := 1; i < len(all); i++ {
		if all[i] != "" {
			all[i] = margin + all[i]
		}
	}
	return strings.Join(all, "\n")
}

// quote puts "> " before every line.
func (d *Doc) quote(s string) string {
	if d.full(len(s)) {
		return s
	}
	all := strings.Split(s, "\n")
	for i, line := range all {
		all[i] = strings.TrimRight("> "+line, " ")
	}
	return strings.Join(all, "\n")
}
