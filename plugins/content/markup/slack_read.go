package markup

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.im/plugins/content/text"
)

// mrkdwn reads the text of a Slack message (docs.slack.dev, "Formatting
// message text" and "Retrieving messages").
func (b *builder) mrkdwn(src string) {
	s := text.Clean(src)
	r := slackReader{builder: b}
	for {
		before, rest, opened := strings.Cut(s, "```")
		code, after, closed := strings.Cut(rest, "```")
		if !opened || !closed {
			r.lines(s)
			break
		}
		r.lines(before)
		r.leaveLists(0)
		b.codeBlock(strings.TrimPrefix(slackWords(code), "\n"), "")
		s = strings.TrimPrefix(after, "\n")
	}
	r.leaveLists(0)
	r.quoteTo(false)
}

type slackReader struct {
	*builder
	quoted bool // within a quote
	toEnd  bool // to the end of the text, after ">>>"
	lists  []slackList
}

// A slackList is an open list.
type slackList struct {
	margin int // spaces before its marks
	next   int // the next number, or Bullets
}

func (r *slackReader) lines(s string) {
	if strings.Trim(s, "\n") == "" {
		return
	}
	for line := range strings.SplitSeq(strings.Trim(s, "\n"), "\n") {
		words, quoted := r.unquote(line)
		r.quoteTo(quoted)
		if margin, number, item, ok := listItem(words); ok {
			r.item(margin, number)
			r.spans(item)
			continue
		}
		r.line(words)
	}
	r.endLine()
}

// line reads a line that begins no item. Within a list it goes on with the
// item when it stands below it.
func (r *slackReader) line(words string) {
	if strings.TrimSpace(words) == "" {
		r.leaveLists(0)
		r.endLine()
		return
	}
	if n := len(r.lists); n > 0 && !strings.HasPrefix(words, strings.Repeat(" ", r.lists[n-1].margin+2)) {
		r.leaveLists(0)
	} else if n > 0 {
		words = strings.TrimLeft(words, " ")
	}
	if r.builder.line.Kind != 0 {
		r.inline(Node{Kind: Break})
	}
	r.spans(words)
}

// unquote takes the mark of a quote off a line.
func (r *slackReader) unquote(line string) (words string, quoted bool) {
	if r.toEnd {
		return line, true
	}
	rest, ok := cutQuote(line)
	if !ok {
		return line, false
	}
	if two, ok := cutQuote(rest); ok {
		if three, ok := cutQuote(two); ok {
			r.toEnd = true
			rest = three
		}
	}
	return strings.TrimPrefix(rest, " "), true
}

func cutQuote(s string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, "&gt;"); ok {
		return rest, true
	}
	return strings.CutPrefix(s, ">")
}

func (r *slackReader) quoteTo(quoted bool) {
	if quoted == r.quoted {
		return
	}
	r.leaveLists(0)
	if quoted {
		r.enter(Node{Kind: Quote})
	} else {
		r.leave()
	}
	r.quoted = quoted
}

// listItem tells whether a line begins an item, as Slack writes those of its
// editor: with a bullet, or a number and a dot, and words.
func listItem(line string) (margin, number int, words string, ok bool) {
	words = strings.TrimLeft(line, " ")
	margin = len(line) - len(words)
	for _, bullet := range []string{"• ", "◦ ", "▪︎ ", "▪ "} {
		if rest, ok := strings.CutPrefix(words, bullet); ok && !isEmpty(rest) {
			return margin, Bullets, rest, true
		}
	}
	digits, rest, ok := strings.Cut(words, ". ")
	if !ok || len(digits) > 4 || isEmpty(rest) {
		return 0, 0, "", false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return margin, int(n), rest, err == nil
}

func isEmpty(s string) bool { return strings.Trim(s, " \t"+gap) == "" }

// item opens an item: of the list that is open at its margin, or of a new one.
func (r *slackReader) item(margin, number int) {
	r.endLine()
	for n := len(r.lists); n > 0 && margin < r.lists[n-1].margin; n = len(r.lists) {
		r.leaveLists(n - 1)
	}
	if n := len(r.lists); n > 0 && margin == r.lists[n-1].margin {
		top := &r.lists[n-1]
		if top.next == number {
			if number != Bullets {
				top.next++
			}
			r.leave()
			r.enter(Node{Kind: Item})
			return
		}
		r.leaveLists(n - 1)
	}
	r.enter(Node{Kind: List, Number: number})
	r.enter(Node{Kind: Item})
	next := Bullets
	if number != Bullets {
		next = number + 1
	}
	r.lists = append(r.lists, slackList{margin, next})
}

// leaveLists closes lists until n are open.
func (r *slackReader) leaveLists(n int) {
	for len(r.lists) > n {
		r.leave()
		r.leave()
		r.lists = r.lists[:len(r.lists)-1]
	}
}

var slackKinds = map[byte]Kind{'*': Bold, '_': Italic, '~': Strike}

// spans reads the words of a line.
func (r *slackReader) spans(s string) {
	from := 0
	none := "" // marks that end nowhere in what is left
	for i := 0; i < len(s); {
		end := 0
		switch c := s[i]; c {
		case '<':
			end = i + slackToken(s[i:])
		case '`':
			end = i + slackCode(s[i:])
		case '*', '_', '~':
			if opens(s, i) && strings.IndexByte(none, c) < 0 {
				if end = closes(s, i); end == 0 {
					none += string(c)
				}
			}
		case ':':
			end = i + len(slackEmoji(s[i:]))
		}
		if end <= i {
			i++
			continue
		}
		r.text(slackUnescape(s[from:i]))
		r.span(s[i:end])
		i, from = end, end
	}
	r.text(slackUnescape(s[from:]))
}

// span reads what one of the marks of spans begins and ends.
func (r *slackReader) span(s string) {
	switch c := s[0]; c {
	case '<':
		r.token(s[1 : len(s)-1])
	case '`':
		r.code(slackWords(s[1 : len(s)-1]))
	case ':':
		picture, _ := Emoji(s[1 : len(s)-1])
		r.text(picture)
	default:
		opened := r.mark(Node{Kind: slackKinds[c]})
		r.spans(s[1 : len(s)-1])
		if opened {
			r.unmark(slackKinds[c])
		}
	}
}

// slackToken returns the length of the token that s begins with, or 0.
func slackToken(s string) int {
	end := strings.IndexAny(s[1:], "<>")
	if end < 1 || s[1+end] != '>' {
		return 0
	}
	return end + 2
}

// slackCode returns the length of the code that s begins with, or 0. Behind a
// gap there is none: that backtick was somebody's word.
func slackCode(s string) int {
	end := strings.IndexByte(s[1:], '`')
	if end < 1 || strings.HasPrefix(s[1:], gap) {
		return 0
	}
	return end + 2
}

// slackEmoji returns the name of a picture, with its colons, that s begins
// with, or "".
func slackEmoji(s string) string {
	end := strings.IndexByte(s[1:min(len(s), 64)], ':')
	if end < 1 {
		return ""
	}
	if _, ok := Emoji(s[1 : 1+end]); !ok {
		return ""
	}
	return s[:end+2]
}

// opens tells whether the mark at i can begin a format: not within a word, and
// not before a space.
func opens(s string, i int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+1:])
	return i+1 < len(s) && (i == 0 || !isLetter(before)) && !unicode.IsSpace(after) && s[i+1] != s[i] && after != '\u200B'
}

// closes returns the end of the format that the mark at i begins, or 0.
func closes(s string, i int) int {
	for j := i + 2; j < len(s); j++ {
		switch s[j] {
		case '<':
			if n := slackToken(s[j:]); n > 0 {
				j += n - 1
			}
		case s[i]:
			before, _ := utf8.DecodeLastRuneInString(s[:j])
			after, _ := utf8.DecodeRuneInString(s[j+1:])
			if !unicode.IsSpace(before) && (j+1 == len(s) || !isLetter(after)) {
				return j + 1
			}
		}
	}
	return 0
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

var slackUnescapes = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&", gap, "")

// slackUnescape returns the words that Slack writes; the gaps that keep words
// from being marks have done their duty.
func slackUnescape(s string) string {
	if !strings.Contains(s, "&") && !strings.Contains(s, gap) {
		return s
	}
	return slackUnescapes.Replace(s)
}

// token reads what stands between angle brackets: a person, a channel, a
// group, a date, or a link.
func (r *slackReader) token(s string) {
	what, said, _ := strings.Cut(s, "|")
	said = text.Line(slackUnescape(said))
	if what == "" {
		r.text(said)
		return
	}
	switch id := what[1:]; what[0] {
	case '@':
		r.mention(id, "@", said)
	case '#':
		r.mention(id, "#", said)
	case '!':
		r.command(id, said)
	default:
		r.slackLink(slackUnescape(what), said)
	}
}

func (r *slackReader) mention(id, sigil, said string) {
	if said == "" {
		said = id
	}
	r.inline(Node{Kind: Mention, Name: slackUnescape(id), Text: sigil + strings.TrimPrefix(slackUnescape(said), sigil)})
}

// command reads what is for everybody, a group, or a date.
func (r *slackReader) command(id, said string) {
	name, argument, _ := strings.Cut(id, "^")
	switch {
	case name == "subteam":
		r.mention(argument, "@", said)
	case name == "date" || said != "":
		r.text(said)
	default:
		r.inline(Node{Kind: Mention, Name: "!" + slackUnescape(name), Text: "@" + slackUnescape(name)})
	}
}

func (r *slackReader) slackLink(url, said string) {
	if said == "" {
		said = url
		for _, scheme := range []string{"mailto:", "tel:"} {
			said = strings.TrimPrefix(said, scheme)
		}
	}
	r.link(url, func() { r.text(said) })
}

// slackWords returns what code says: tokens in it are words.
func slackWords(s string) string {
	if !strings.Contains(s, "<") {
		return slackUnescape(s)
	}
	var b builder
	r := slackReader{builder: &b}
	var out strings.Builder
	for {
		at := strings.IndexByte(s, '<')
		if at < 0 {
			break
		}
		out.WriteString(slackUnescape(s[:at]))
		n := slackToken(s[at:])
		if n == 0 {
			out.WriteByte('<')
			s = s[at+1:]
			continue
		}
		b = builder{}
		r.token(s[at+1 : at+n-1])
		out.WriteString(words(b.doc().Blocks))
		s = s[at+n:]
	}
	out.WriteString(slackUnescape(s))
	return out.String()
}
