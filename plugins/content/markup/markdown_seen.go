package markup

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// check takes out the formats that Markdown would not see.
func (l *markdownLine) check() {
	for i := range l.parts {
		switch p := &l.parts[i]; {
		case p.mark == "" || p.gone:
		case p.ends:
			l.open = slices.DeleteFunc(l.open, func(at int) bool { return at == p.other })
		case l.seen(i):
			l.open = append(l.open, i)
		default:
			l.w.doc.Losses.Add(EmphasisRemoved)
			p.gone, l.parts[p.other].gone = true, true
		}
	}
}

// seen tells whether Markdown sees the format that begins at a place. All
// before it is settled. Of what is behind it, formats of another character may
// be written or not, and what is worse is taken.
func (l *markdownLine) seen(at int) bool {
	p := &l.parts[at]
	outer, before := l.before(at)
	if before == endOfMark {
		return false
	}
	first, last, after := l.first(at), l.last(p.other), l.after(p.other)
	if p.mark == "~~" && (before == '~' || l.lastWritten(p.other) == '~') { // GitHub's format has two of them, and not three
		return false
	}
	if !flanks(before, first) || !flanks(after, last) {
		return false
	}
	if outer >= 0 {
		p.joined, l.parts[outer].joined = true, true
		return true
	}
	// A mark that could end a format, too, would end what is open of a "***".
	return !flanks(first, before) || !slices.ContainsFunc(l.open, func(at int) bool {
		return l.parts[at].mark[0] == p.mark[0] && l.parts[at].joined
	})
}

// flanks tells whether a mark between two characters belongs to inside.
func flanks(outside, inside rune) bool {
	return !unicode.IsSpace(inside) && (!punctuates(inside) || unicode.IsSpace(outside) || punctuates(outside))
}

// punctuates tells of what CommonMark calls a Unicode punctuation character.
func punctuates(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) }

// endOfMark stands for a mark of the same character that ends a format: with
// one that begins another it would be a mark of its own.
const endOfMark = -1

// before returns the last character before the mark at a place and those that
// stand with it, and the place of the next of these, or -1.
func (l *markdownLine) before(at int) (outer int, r rune) {
	outer = -1
	for i := at - 1; i >= 0; i-- {
		switch p := &l.parts[i]; {
		case p.gone:
		case p.mark == "":
			return outer, p.lastRune()
		case p.mark[0] != l.parts[at].mark[0]:
			return outer, rune(p.mark[0])
		case p.ends:
			return outer, endOfMark
		case outer < 0:
			outer = i
		}
	}
	return outer, l.edge('[')
}

// first returns the first character in the format that begins at a place.
func (l *markdownLine) first(at int) rune {
	for i := at + 1; ; i++ {
		switch p := &l.parts[i]; {
		case p.mark == "":
			return p.firstRune()
		case p.mark[0] != l.parts[at].mark[0]:
			return rune(p.mark[0])
		}
	}
}

// last returns the last character in the format that ends at a place.
func (l *markdownLine) last(at int) rune {
	for i := at - 1; ; i-- {
		switch p := &l.parts[i]; {
		case p.mark == "":
			return p.lastRune()
		case p.mark[0] != l.parts[at].mark[0]:
			return rune(p.mark[0])
		}
	}
}

// lastWritten returns the last character before a place that is of no mark.
func (l *markdownLine) lastWritten(at int) rune {
	for at--; l.parts[at].mark != ""; at-- {
	}
	return l.parts[at].lastRune()
}

// after returns the character behind the mark at a place and those that stand
// with it.
func (l *markdownLine) after(at int) rune {
	for i := at + 1; i < len(l.parts); i++ {
		switch p := &l.parts[i]; {
		case p.mark == "":
			return p.firstRune()
		case p.ends && !p.gone && p.mark[0] != l.parts[at].mark[0]:
			return rune(p.mark[0])
		}
	}
	return l.edge(']')
}

// edge returns what is around all parts.
func (l *markdownLine) edge(ofLink rune) rune {
	if l.w.linked {
		return ofLink
	}
	return '\n'
}

// firstRune returns the first character of a part, or one that is as good.
func (p *markdownPart) firstRune() rune {
	if p.words == "" {
		return p.outside()
	}
	r, _ := utf8.DecodeRuneInString(p.words)
	return r
}

func (p *markdownPart) lastRune() rune {
	if p.words == "" {
		return p.outside()
	}
	r, _ := utf8.DecodeLastRuneInString(p.words)
	return r
}

func (p *markdownPart) outside() rune {
	if p.node != nil && p.node.Kind == Break {
		return '\n'
	}
	return '`' // as good as the brackets of a link
}
