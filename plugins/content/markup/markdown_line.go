package markup

import (
	"slices"
	"strings"
	"unicode"
)

// A markdownLine is a paragraph or the like on its way to Markdown. Formats are
// marks in a row with the words, for whether Markdown sees a mark depends on
// what is before and behind it (CommonMark 0.31, section 6.2), in whatever
// format that is.
type markdownLine struct {
	w     markdownWriter
	parts []markdownPart
	open  []int // the places of the marks that began the formats around what comes next
}

// A markdownPart is one of mark, node, words, code and address.
type markdownPart struct {
	mark    string // "**", "*" or "~~"
	other   int    // the place of the mark that belongs to this one
	ends    bool   // the mark ends its format
	joined  bool   // the mark stands beside another that begins a format with the same character
	gone    bool   // the mark is not written
	node    *Node  // Break, Link or Image
	words   string
	code    string
	address string
}

var markdownMarks = map[Kind]string{Bold: "**", Italic: "*", Strike: "~~"}

// add adds nodes.
func (l *markdownLine) add(nodes []Node) {
	for i := range nodes {
		switch n := &nodes[i]; n.Kind {
		case Bold, Italic, Strike:
			l.format(markdownMarks[n.Kind], n.Children)
		case Spoiler:
			l.w.doc.Losses.Add(SpoilerShown)
			l.add(n.Children)
		case Code:
			if n.Text != "" {
				l.parts = append(l.parts, markdownPart{code: n.Text})
			}
		case Break:
			l.blank(markdownPart{node: n})
		case Link, Image:
			l.parts = append(l.parts, markdownPart{node: n})
		case Mention:
			l.w.doc.Losses.Add(MentionAsText)
			l.text(n.Text)
		default:
			l.text(n.Text)
		}
	}
}

// format adds nodes between marks. One in another of its kind shows nothing,
// and neither does one without words.
func (l *markdownLine) format(mark string, nodes []Node) {
	if slices.ContainsFunc(l.open, func(at int) bool { return l.parts[at].mark == mark }) {
		l.add(nodes)
		return
	}
	l.open = append(l.open, len(l.parts))
	l.parts = append(l.parts, markdownPart{mark: mark})
	l.add(nodes)
	begin := l.open[len(l.open)-1]
	l.open = l.open[:len(l.open)-1]
	if begin == len(l.parts)-1 {
		l.parts = l.parts[:begin]
		return
	}
	end := l.blankEnd()
	l.parts[begin].other = end
	l.parts = slices.Insert(l.parts, end, markdownPart{mark: mark, ends: true, other: begin})
}

// text adds words, of which the addresses are links for all who read.
func (l *markdownLine) text(s string) {
	if l.begins(len(l.parts) - 1) {
		core := strings.TrimLeftFunc(s, unicode.IsSpace)
		if blank := s[:len(s)-len(core)]; blank != "" {
			l.blank(markdownPart{words: blank})
		}
		s = core
	}
	if l.w.linked && s != "" {
		l.parts = append(l.parts, markdownPart{words: s})
		return
	}
	for at, url := range pieces(s) {
		if url != "" && !entity.MatchString(url) {
			l.parts = append(l.parts, markdownPart{address: url})
		} else {
			l.parts = append(l.parts, markdownPart{words: at})
		}
	}
}

// begins tells whether a format begins at a place.
func (l *markdownLine) begins(at int) bool {
	return at >= 0 && l.parts[at].mark != "" && !l.parts[at].ends
}

// blank adds what shows nothing; before the marks of formats that begin here,
// for no format is seen that begins with a space.
func (l *markdownLine) blank(p markdownPart) {
	at := len(l.parts)
	for l.begins(at - 1) {
		at--
	}
	l.parts = slices.Insert(l.parts, at, p)
	for i, begin := range l.open {
		if begin >= at {
			l.open[i]++
		}
	}
}

// blankEnd returns the place before what shows nothing at the end, where a
// format has to end to be seen.
func (l *markdownLine) blankEnd() int {
	at := len(l.parts)
	for at > 0 && l.parts[at-1].isBlank() {
		at--
	}
	if at == 0 || l.parts[at-1].words == "" {
		return at
	}
	last := &l.parts[at-1]
	core := strings.TrimRightFunc(last.words, unicode.IsSpace)
	if blank := last.words[len(core):]; blank != "" {
		last.words = core
		l.parts = slices.Insert(l.parts, at, markdownPart{words: blank})
	}
	return at
}

func (p *markdownPart) isBlank() bool {
	return p.node != nil && p.node.Kind == Break || p.words != "" && strings.TrimSpace(p.words) == ""
}

// write writes the parts; start tells that they begin a line. Words and code
// that stand beside each other are written as one.
func (l *markdownLine) write(start bool) string {
	var b, run strings.Builder
	parts := slices.DeleteFunc(l.parts, func(p markdownPart) bool { return p.gone })
	for i := 0; i < len(parts) && !l.w.doc.full(b.Len()); i++ {
		run.Reset()
		switch p := parts[i]; {
		case p.mark != "":
			b.WriteString(p.mark)
		case p.address != "":
			b.WriteString("<" + p.address + ">")
		case p.code != "":
			for ; i < len(parts) && parts[i].code != ""; i++ {
				run.WriteString(parts[i].code)
			}
			i--
			b.WriteString(codeSpan(run.String()))
		case p.words != "":
			for ; i < len(parts) && parts[i].words != ""; i++ {
				run.WriteString(parts[i].words)
			}
			i--
			b.WriteString(escapeMarkdown(run.String(), start))
		default:
			b.WriteString(l.w.node(*p.node))
		}
		start = strings.HasSuffix(b.String(), "\n")
	}
	return b.String()
}
