package markup

import (
	"slices"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxOpen is how many elements may be open at once. Of what is deeper only the
// words are read.
const maxOpen = 512

// An element is one that is open.
type element struct {
	name string
	atom atom.Atom
	held *held  // what becomes of the words in it; nil: what becomes of those around it
	end  func() // what is to be done at its end, or nil
}

var (
	void = set(atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Frame, atom.Hr, atom.Image, atom.Img, atom.Input,
		atom.Keygen, atom.Link, atom.Meta, atom.Param, atom.Source, atom.Track, atom.Wbr)

	// blocks end an open <p>, and so do parts.
	blocks = set(atom.Div, atom.Ul, atom.Ol, atom.Menu, atom.Li, atom.Blockquote, atom.Pre, atom.Listing, atom.Table, atom.Tr, atom.Td,
		atom.Th, atom.Hr, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6)

	// lasting are the formats that go on when a block that they began in ends
	// (HTML Standard, section 13.2.4.3).
	lasting = set(atom.A, atom.B, atom.Big, atom.Code, atom.Em, atom.Font, atom.I, atom.Nobr, atom.S, atom.Small, atom.Strike,
		atom.Strong, atom.Tt, atom.U)

	// scopes are ended by their own tags only, and all in them with them.
	scopes = set(atom.Table, atom.Td, atom.Th, atom.Caption, atom.Object, atom.Applet, atom.Template)

	// tabular are those of the scopes, and what else a table is made of.
	tabular = set(atom.Table, atom.Td, atom.Th, atom.Caption, atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot)

	// crossing are the elements that are no blocks, and end where their end tags
	// stand within a block that began in them: formats end alone, and of the
	// others nothing is shown, or they are tables.
	crossing = union(lasting, scopes, hidden, fields)

	items      = set(atom.Li, atom.Dt, atom.Dd)
	listScopes = set(atom.Ul, atom.Ol, atom.Menu, atom.Dl, atom.Blockquote)
	frames     = set(atom.Html, atom.Head, atom.Body) // open all the time
	headings   = set(atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6)
	foreign    = set(atom.Svg, atom.Math)
	paragraphs = set(atom.P)
)

// endings are the elements that a start tag ends without saying so (HTML
// Standard, section 13.1.2.4).
var endings = map[atom.Atom]map[atom.Atom]bool{
	atom.Li: set(atom.Li), atom.Dt: set(atom.Dt, atom.Dd), atom.Dd: set(atom.Dt, atom.Dd), atom.Option: set(atom.Option),
	atom.A: set(atom.A), atom.Button: set(atom.Button), atom.Td: set(atom.Td, atom.Th, atom.Caption), atom.Th: set(atom.Td, atom.Th, atom.Caption),
	atom.Tr:    set(atom.Tr, atom.Caption),
	atom.Tbody: set(atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot, atom.Caption),
	atom.Thead: set(atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot, atom.Caption),
	atom.Tfoot: set(atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot, atom.Caption),
}

func isBlock(a atom.Atom) bool { return blocks[a] || parts[a] }

// start reads a start tag.
func (h *htmlReader) start(t html.Token) {
	a := t.DataAtom
	if isBlock(a) {
		h.endAny(foreign, a)
		h.endAny(paragraphs, a)
		h.settle()
	}
	if ends := endings[a]; ends != nil {
		h.endAny(ends, a)
	}
	if frames[a] {
		h.endLine()
		return
	}
	alone := void[a] || t.Type == html.SelfClosingTagToken && (foreign[a] || h.inForeign())
	if !alone && len(h.open) >= maxOpen && (h.hidden > 0 || !hidden[a] && !fields[a]) {
		h.losses.Add(StructureRemoved)
		return
	}
	var e element
	if h.hidden == 0 {
		e = h.begin(t)
	}
	if e.name, e.atom = t.Data, a; !alone {
		h.open = append(h.open, e)
	} else if e.end != nil {
		e.end()
	}
}

// end reads an end tag. That of a format, or of a form, ends only that, and what
// is open within it goes on; that of another element ends what is open within
// it, and no block unless it is one (HTML Standard, section 13.2.6.4.7).
func (h *htmlReader) end(t html.Token) {
	a := t.DataAtom
	if a == atom.Br {
		h.start(t)
		return
	}
	if isBlock(a) {
		h.settle()
	}
	switch at := h.find(t); {
	case at < 0 && (a == atom.P || frames[a]):
		h.endLine()
	case at < 0:
	case lasting[a] || a == atom.Form:
		h.endOne(at)
	default:
		h.endFrom(at)
	}
}

// find returns the place of the open element that an end tag ends, or -1.
func (h *htmlReader) find(t html.Token) int {
	for i := len(h.open) - 1; i >= 0; i-- {
		e := h.open[i]
		if e.name == t.Data || headings[e.atom] && headings[t.DataAtom] {
			return i
		}
		if closedTo(t.DataAtom, e.atom) || isBlock(e.atom) && !h.crosses(t) {
			break
		}
	}
	return -1
}

// crosses tells whether an end tag may end what a block is open in. HTML
// ignores those of other elements there: nothing in a quote ends the quote but
// the end of a block.
func (h *htmlReader) crosses(t html.Token) bool {
	return isBlock(t.DataAtom) || crossing[t.DataAtom] || h.isReply(t)
}

// closedTo tells whether a tag ends nothing that is outside of an element.
func closedTo(tag, in atom.Atom) bool {
	if tabular[tag] {
		return in == atom.Table
	}
	return scopes[in] || items[tag] && listScopes[in]
}

// endAny ends the outermost of the elements that the start tag of another ends.
func (h *htmlReader) endAny(ends map[atom.Atom]bool, tag atom.Atom) {
	at := -1
	for i := len(h.open) - 1; i >= 0; i-- {
		if ends[h.open[i].atom] {
			at = i
		}
		if closedTo(tag, h.open[i].atom) {
			break
		}
	}
	switch {
	case at < 0:
	case tag == atom.A: // the blocks in a link that was not closed are no part of it
		h.endOne(at)
	default:
		h.endFrom(at)
	}
}

// endFrom ends the element at a place and those in it, but for the formats that
// last.
func (h *htmlReader) endFrom(at int) {
	all := scopes[h.open[at].atom]
	for i := len(h.open) - 1; i >= at; i-- {
		if i == at || all || !lasting[h.open[i].atom] {
			h.endOne(i)
		}
	}
}

// endOne ends one element and none of those in it.
func (h *htmlReader) endOne(i int) {
	e := h.open[i]
	if isBlock(e.atom) {
		h.settle()
	}
	h.open = slices.Delete(h.open, i, i+1)
	if e.end != nil {
		e.end()
	}
}

func (h *htmlReader) endAll() {
	for i := len(h.open) - 1; i >= 0; i-- {
		h.endOne(i)
	}
}

func (h *htmlReader) inForeign() bool {
	return h.hidden > 0 && slices.ContainsFunc(h.open, func(e element) bool { return foreign[e.atom] })
}
