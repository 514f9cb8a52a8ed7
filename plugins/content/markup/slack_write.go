package markup

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.im/plugins/content"
	"parley.im/plugins/content/text"
)

// writeSlack writes mrkdwn (docs.slack.dev, "Formatting message text"). Slack
// has no way to escape its marks of format, so a space without width keeps
// words from looking like them.
func writeSlack(d *Doc, blocks []Node) string {
	w := slackWriter{doc: d}
	return Defuse(w.blocks(blocks))
}

type slackWriter struct {
	doc  *Doc
	bold bool // within a heading
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (w slackWriter) lose(l content.Loss) { w.doc.Losses.Add(l) }

func (w slackWriter) blocks(nodes []Node) string { return w.doc.join(nodes, w.block) }

func (w slackWriter) block(n Node) string {
	switch n.Kind {
	case Heading:
		w.lose(HeadingAsBold)
		w.bold = true
		return slackAround("*", w.inlines(n.Children))
	case List:
		return w.doc.items(n, "• ", ". ", w.blocks)
	case Quote:
		return w.quote(n)
	case CodeBlock:
		return "```\n" + slackEscapes.Replace(w.unticked(n.Text, "```")) + "\n```"
	}
	return w.inlines(n.Children)
}

// quote writes a quote. Slack knows no quote within one, and no code.
func (w slackWriter) quote(n Node) string {
	return w.doc.join(n.Children, func(n Node) string {
		switch n.Kind {
		case Quote:
			w.lose(NestingFlattened)
			return w.quote(n)
		case CodeBlock:
			return w.block(n)
		}
		return w.doc.quote(w.block(n))
	})
}

// unticked replaces what would end code; Slack has no way to write it there.
func (w slackWriter) unticked(s, end string) string {
	if !strings.Contains(s, end) {
		return s
	}
	w.lose(CodeChanged)
	return strings.ReplaceAll(s, "`", "\u02CB")
}

func (w slackWriter) inlines(nodes []Node) string {
	if len(nodes) == 1 && nodes[0].Kind == Text {
		return slackText(nodes[0].Text, true)
	}
	var b strings.Builder
	closed := false // a mark of format was closed just before
	for i, n := range nodes {
		if w.doc.full(b.Len()) {
			break
		}
		s := w.inline(n, i == 0 || nodes[i-1].Kind == Break)
		if s == "" {
			continue
		}
		marked := n.Kind == Code || n.Kind == Bold || n.Kind == Italic || n.Kind == Strike
		if (marked || closed) && b.Len() > 0 && inWord(b.String(), s) {
			b.WriteString(gap)
		}
		b.WriteString(s)
		closed = marked
	}
	return b.String()
}

// inWord tells that neither a ends nor b begins with a space, so that Slack
// sees no format between them.
func inWord(a, b string) bool {
	last, _ := utf8.DecodeLastRuneInString(a)
	first, _ := utf8.DecodeRuneInString(b)
	return !unicode.IsSpace(last) && !unicode.IsSpace(first)
}

var slackMarks = map[Kind]string{Bold: "*", Italic: "_", Strike: "~"}

func (w slackWriter) inline(n Node, start bool) string {
	switch n.Kind {
	case Break:
		return "\n"
	case Bold, Italic, Strike:
		if n.Kind == Bold && w.bold {
			return w.inlines(n.Children)
		}
		return slackAround(slackMarks[n.Kind], w.inlines(n.Children))
	case Code:
		return "`" + slackEscapes.Replace(w.unticked(n.Text, "`")) + "`"
	case Spoiler:
		w.lose(SpoilerShown)
		return "[" + slackText(spoilerName(n), false) + ": " + w.inlines(n.Children) + "]"
	case Link:
		return w.link(n.URL, words(n.Children))
	case Image:
		w.lose(ImageAsLink)
		return w.link(n.URL, label(n))
	case Mention:
		return w.mention(n)
	}
	return slackText(n.Text, start)
}

// slackAround puts a mark around the words of each line, inside the spaces at
// its ends: Slack's marks span no lines and touch no spaces.
func slackAround(mark, s string) string {
	all := strings.Split(s, "\n")
	for i, line := range all {
		core := strings.TrimSpace(line)
		if core == "" || core == gap {
			continue
		}
		at := strings.Index(line, core)
		all[i] = line[:at] + mark + core + mark + line[at+len(core):]
	}
	return strings.Join(all, "\n")
}

// link writes a link that Slack makes one; others are words.
func (w slackWriter) link(url, said string) string {
	scheme, _, _ := strings.Cut(url, ":")
	switch scheme {
	case "http", "https", "ftp", "mailto", "tel":
	default:
		w.lose(LinkAsText)
		return slackText(linkText(said, url), false)
	}
	said = text.Line(said)
	if said == url || said == "" {
		return "<" + slackEscapes.Replace(url) + ">"
	}
	return "<" + slackEscapes.Replace(url) + "|" + slackEscapes.Replace(said) + ">"
}

// mention writes a token for a person or a channel that was resolved. A group
// is never notified.
func (w slackWriter) mention(n Node) string {
	if n.Live && isSlackID(n.Name) {
		switch n.Name[0] {
		case 'U', 'W':
			return "<@" + n.Name + ">"
		case 'C', 'G':
			return "<#" + n.Name + ">"
		}
	}
	w.lose(MentionAsText)
	return slackText(n.Text, false)
}

// isSlackID tells of an identifier of a person, a channel or a group.
func isSlackID(s string) bool {
	return len(s) >= 3 && len(s) <= 32 && strings.Contains("UWCGS", s[:1]) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') })
}

// slackText writes words that Slack shows as they are. start tells that they
// begin a line, where ">" makes a quote.
func slackText(s string, start bool) string {
	if !strings.ContainsAny(s, "&<>*_~`:") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for at, url := range pieces(s) {
		if url != "" {
			b.WriteString("<" + slackEscapes.Replace(url) + ">")
			start = false
			continue
		}
		before := byte(' ')
		for i := 0; i < len(at); i++ {
			c := at[i]
			switch c {
			case '&':
				b.WriteString("&amp;")
			case '<':
				b.WriteString("&lt;")
			case '>':
				if start && strings.TrimLeft(at[:i], " \t") == "" {
					b.WriteString(gap)
				}
				b.WriteString("&gt;")
			case '*', '_', '~', '`':
				b.WriteByte(c)
				if c == '`' || !isAlnum(before) && (i+1 == len(at) || at[i+1] != ' ') {
					b.WriteString(gap)
				}
			case ':':
				b.WriteByte(c)
				if slackEmoji(at[i:]) != "" {
					b.WriteString(gap)
				}
			default:
				b.WriteByte(c)
			}
			before = c
		}
		start = false
	}
	return b.String()
}
