package markup

import (
	"strings"
)

// writeMarkdown writes CommonMark with GitHub's strikethrough. Every character
// of the words that Markdown could take for its own is escaped.
func writeMarkdown(d *Doc, blocks []Node) string {
	w := markdownWriter{doc: d}
	return w.blocks(blocks)
}

type markdownWriter struct {
	doc    *Doc
	linked bool // within a link
}

func (w markdownWriter) blocks(nodes []Node) string {
	var b strings.Builder
	other := false // marks of the other kind, for a list that follows a list
	for i, n := range nodes {
		if w.doc.full(b.Len()) {
			break
		}
		if i > 0 {
			b.WriteString("\n\n")
		}
		other = n.Kind == List && i > 0 && nodes[i-1].Kind == List && !other
		b.WriteString(w.block(n, other))
	}
	return b.String()
}

func (w markdownWriter) block(n Node, other bool) string {
	switch n.Kind {
	case Heading:
		return strings.Repeat("#", min(max(n.Number, 1), 6)) + " " + strings.ReplaceAll(w.inlines(n.Children, false), "\\\n", " ")
	case List:
		if other {
			return w.doc.items(n, "* ", ") ", w.blocks)
		}
		return w.doc.items(n, "- ", ". ", w.blocks)
	case Quote:
		return w.doc.quote(w.blocks(n.Children))
	case CodeBlock:
		fence := strings.Repeat("`", max(3, longest(n.Text, '`')+1))
		return fence + n.Name + "\n" + n.Text + "\n" + fence
	}
	return w.inlines(n.Children, true)
}

// inlines writes inlines; start tells that they begin a line.
func (w markdownWriter) inlines(nodes []Node, start bool) string {
	l := markdownLine{w: w}
	l.add(nodes)
	l.check()
	return l.write(start)
}

// node writes a Break, a Link or an Image.
func (w markdownWriter) node(n Node) string {
	switch n.Kind {
	case Break:
		return "\\\n"
	case Link:
		return w.link(n)
	}
	return "![" + escapeMarkdown(n.Text, false) + "](" + destination(n.URL) + ")"
}

// link writes a link; one whose words are its address needs no more than that.
func (w markdownWriter) link(n Node) string {
	if said := words(n.Children); said == n.URL && bareURL(said) == said && !entity.MatchString(said) {
		return "<" + said + ">"
	}
	w.linked = true
	return "[" + w.inlines(n.Children, false) + "](" + destination(n.URL) + ")"
}

var destinations = strings.NewReplacer("(", "%28", ")", "%29", "&", "&amp;", "*", "%2A", "_", "%5F")

// destination is an address where Markdown has one: nothing in it ends it, and
// no part of it is an entity.
func destination(url string) string {
	return destinations.Replace(url)
}

// codeSpan writes code between more backticks than it has in a row.
func codeSpan(s string) string {
	ticks := strings.Repeat("`", longest(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.HasPrefix(s, " ") && strings.HasSuffix(s, " ") {
		s = " " + s + " "
	}
	return ticks + s + ticks
}

// longest returns the length of the longest run of c in s.
func longest(s string, c byte) int {
	best, run := 0, 0
	for i := range len(s) {
		if s[i] != c {
			run = 0
			continue
		}
		run++
		best = max(best, run)
	}
	return best
}

// escapeMarkdown writes words so that Markdown shows them as they are. start
// tells that they begin a line, where more characters mean something.
func escapeMarkdown(s string, start bool) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	digits := true // so far, which with a dot would begin a list
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case start && i == 0 && (c == ' ' || c == '\t'): // else it were code
			b.WriteString("&#32;")
			continue
		case c == '\t':
			b.WriteByte(' ')
			continue
		case c == '\\' && i+1 == len(s): // the next could be the backslash of a break
			b.WriteString("&#92;")
			continue
		case strings.IndexByte("\\`*_[]<>~|!&#@", c) >= 0,
			start && i == 0 && strings.IndexByte("+-=:", c) >= 0,
			digits && (c == '.' || c == ')'),
			c == ':' && strings.HasPrefix(s[i:], "://"),
			c == '.' && i >= 3 && strings.EqualFold(s[i-3:i], "www"):
			b.WriteByte('\\')
		}
		digits = digits && c >= '0' && c <= '9'
		b.WriteByte(c)
	}
	return b.String()
}
