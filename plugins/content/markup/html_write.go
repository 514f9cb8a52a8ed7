package markup

import (
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// writeHTML writes a fragment of p, h1 to h6, ul, ol (start), li, blockquote,
// pre, code (class), strong, em, del, a (href) and br: no tag runs anything or
// loads anything when it is shown.
func writeHTML(d *Doc, blocks []Node) string {
	w := htmlWriter{doc: d}
	w.blocks(blocks, false)
	return w.out.String()
}

// writeMatrix writes what HTML has, with Matrix' own spoilers, mentions and
// uploaded images (Matrix specification, client API, "m.room.message
// msgtypes"). One paragraph alone stands without its tag, as clients write it.
func writeMatrix(d *Doc, blocks []Node) string {
	w := htmlWriter{doc: d, matrix: true}
	w.out.Grow(d.size + d.size/8 + 64)
	if len(blocks) == 1 && blocks[0].Kind == Paragraph {
		w.inlines(blocks[0].Children)
	} else {
		w.blocks(blocks, false)
	}
	return Defuse(w.out.String())
}

type htmlWriter struct {
	doc    *Doc
	out    strings.Builder
	matrix bool
	linked bool // within a link
}

// blocks writes blocks. In a tight item the first paragraph needs no tag.
func (w *htmlWriter) blocks(nodes []Node, tight bool) {
	for i, n := range nodes {
		if w.doc.full(w.out.Len()) {
			return
		}
		switch n.Kind {
		case Paragraph:
			if tight && i == 0 {
				w.inlines(n.Children)
				continue
			}
			w.wrap("p", n.Children)
		case Heading:
			w.wrap("h"+strconv.Itoa(min(max(n.Number, 1), 6)), n.Children)
		case List:
			w.list(n)
		case Item:
			w.out.WriteString("<li>")
			w.blocks(n.Children, true)
			w.out.WriteString("</li>")
		case Quote:
			w.out.WriteString("<blockquote>")
			w.blocks(n.Children, false)
			w.out.WriteString("</blockquote>")
		case CodeBlock:
			w.code(n)
		}
	}
}

func (w *htmlWriter) wrap(tag string, inlines []Node) {
	w.out.WriteString("<" + tag + ">")
	w.inlines(inlines)
	w.out.WriteString("</" + tag + ">")
}

func (w *htmlWriter) list(n Node) {
	tag, start := "ul", ""
	if n.Number != Bullets {
		tag = "ol"
		if n.Number != 1 {
			start = ` start="` + strconv.Itoa(n.Number) + `"`
		}
	}
	w.out.WriteString("<" + tag + start + ">")
	w.blocks(n.Children, false)
	w.out.WriteString("</" + tag + ">")
}

func (w *htmlWriter) code(n Node) {
	w.out.WriteString("<pre><code")
	if n.Name != "" {
		w.out.WriteString(` class="language-` + html.EscapeString(n.Name) + `"`)
	}
	w.out.WriteByte('>')
	w.text(n.Text)
	w.out.WriteString("</code></pre>")
}

func (w *htmlWriter) text(s string) { w.out.WriteString(html.EscapeString(s)) }

var htmlTags = map[Kind]string{Bold: "strong", Italic: "em", Strike: "del"}

func (w *htmlWriter) inlines(nodes []Node) {
	for _, n := range nodes {
		if w.doc.full(w.out.Len()) {
			return
		}
		switch n.Kind {
		case Text:
			w.text(n.Text)
		case Break:
			w.out.WriteString("<br>")
		case Code:
			w.out.WriteString("<code>")
			w.text(n.Text)
			w.out.WriteString("</code>")
		case Bold, Italic, Strike:
			w.wrap(htmlTags[n.Kind], n.Children)
		case Spoiler:
			w.spoiler(n)
		case Link:
			w.link(n.URL, n.Children)
		case Mention:
			w.mention(n)
		case Image:
			w.image(n)
		}
	}
}

func (w *htmlWriter) spoiler(n Node) {
	if !w.matrix {
		w.doc.Losses.Add(SpoilerShown)
		w.inlines(n.Children)
		return
	}
	w.out.WriteString(`<span data-mx-spoiler`)
	if n.Name != "" {
		w.out.WriteString(`="` + html.EscapeString(n.Name) + `"`)
	}
	w.out.WriteByte('>')
	w.inlines(n.Children)
	w.out.WriteString("</span>")
}

// linkable tells whether the form has links of a scheme. Those of Matrix are
// listed in its specification; nobody but a Matrix client can open mxc, and
// only the mail around it cid.
func (w *htmlWriter) linkable(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	switch scheme {
	case "http", "https", "ftp", "mailto":
		return true
	case "mxc", "cid":
		return false
	}
	return !w.matrix
}

func (w *htmlWriter) link(url string, inside []Node) {
	if w.linked || !w.linkable(url) {
		w.doc.Losses.Add(LinkAsText)
		w.inlines(inside)
		if said := words(inside); said != url && !strings.HasSuffix(url, ":"+said) {
			w.text(" (" + url + ")")
		}
		return
	}
	if w.matrix && isPill(url) {
		w.notAPill(url, inside)
		return
	}
	w.linked = true
	w.out.WriteString(`<a href="` + html.EscapeString(url) + `">`)
	w.inlines(inside)
	w.out.WriteString("</a>")
	w.linked = false
}

// notAPill writes a link that Matrix clients would show as a mention. Whom
// nobody resolved is not mentioned; in code there are no links.
func (w *htmlWriter) notAPill(url string, inside []Node) {
	w.doc.Losses.Add(LinkAsText)
	if words(inside) != url {
		w.inlines(inside)
		w.text(" ")
	}
	w.out.WriteString("<code>" + html.EscapeString(url) + "</code>")
}

func (w *htmlWriter) mention(n Node) {
	if w.matrix && n.Live && isMatrixID(n.Name) && !w.linked {
		w.out.WriteString(`<a href="` + html.EscapeString(pillURL(n.Name)) + `">`)
		w.text(n.Text)
		w.out.WriteString("</a>")
		return
	}
	if !n.Live {
		w.doc.Losses.Add(MentionAsText)
	}
	w.text(n.Text)
}

// image writes an image as a link, for what is loaded when a message is read
// tells who reads it. Matrix serves those that were uploaded itself.
func (w *htmlWriter) image(n Node) {
	if w.matrix && strings.HasPrefix(n.URL, "mxc:") {
		w.out.WriteString(`<img src="` + html.EscapeString(n.URL) + `" alt="` + html.EscapeString(n.Text) + `">`)
		return
	}
	w.doc.Losses.Add(ImageAsLink)
	switch {
	case w.linked || !w.linkable(n.URL):
		w.text(label(n))
	default:
		w.link(n.URL, []Node{{Kind: Text, Text: label(n)}})
	}
}

// label is the words for an image.
func label(n Node) string {
	if n.Text == "" || claim(n.Text, n.URL) != aTruth {
		return "[image]"
	}
	return "[image: " + n.Text + "]"
}
