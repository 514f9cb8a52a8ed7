package markup

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	gmhtml "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"

	"parley.im/plugins/content/text"
)

var forms = []Form{Plain, Markdown, HTML, Slack, Matrix}

// wrong says what is wrong with a text of a form, whoever it may come from; ""
// means nothing. It knows the package's writers by their results only.
func wrong(form Form, s string) string {
	switch {
	case !utf8.ValidString(s):
		return "it is not UTF-8"
	case text.Clean(s) != s:
		return "it has controls"
	}
	switch form {
	case Markdown:
		return wrongHTML(rendered(s), false)
	case HTML:
		return wrongHTML(s, false)
	case Matrix:
		if p := pings(s); p != "" {
			return "it notifies: " + p
		}
		return wrongHTML(s, true)
	case Slack:
		if p := pings(s); p != "" {
			return "it notifies: " + p
		}
		return wrongSlack(s)
	}
	return ""
}

// rendered is what a careless program makes of Markdown: HTML in it is let
// through, and so is any address.
func rendered(markdown string) string {
	var b bytes.Buffer
	careless := goldmark.New(goldmark.WithExtensions(extension.Strikethrough, extension.Table, extension.Linkify), goldmark.WithRendererOptions(gmhtml.WithUnsafe()))
	if err := careless.Convert([]byte(markdown), &b); err != nil {
		return err.Error()
	}
	return b.String()
}

var (
	loudWord = regexp.MustCompile(`(?i)@(channel|here|everyone|room|group|all)([^0-9A-Za-z_]|$)`)
	href     = regexp.MustCompile(`^(https?|ftp|mailto|tel|sips?|im|xmpp|matrix):[^\s"<>\\]+$`)
	mxc      = regexp.MustCompile(`^mxc://[^\s"<>\\]+$`)
	anywhere = regexp.MustCompile(`^(https?|ftp|mxc|mailto|tel|sips?|im|xmpp|matrix|cid):[^\s"<>\\]+$`)
	digits   = regexp.MustCompile(`^[0-9]{1,9}$`)
	language = regexp.MustCompile(`^language-[^\s"<>]+$`)
)

func pings(s string) string { return loudWord.FindString(s) }

// tags are those that our writers may use, with their attributes.
func wrongHTML(s string, matrix bool) string {
	allowed := map[string]map[string]*regexp.Regexp{
		"a": {"href": href}, "ol": {"start": digits}, "code": {"class": language},
		"p": nil, "h1": nil, "h2": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil, "ul": nil, "li": nil, "blockquote": nil,
		"pre": nil, "strong": nil, "em": nil, "del": nil, "br": nil,
	}
	if matrix {
		allowed["img"] = map[string]*regexp.Regexp{"src": mxc, "alt": regexp.MustCompile("")}
		allowed["span"] = map[string]*regexp.Regexp{"data-mx-spoiler": regexp.MustCompile("")}
	} else {
		allowed["img"] = map[string]*regexp.Regexp{"src": anywhere, "alt": regexp.MustCompile("")} // for Markdown
		allowed["a"]["href"] = anywhere
	}
	z := html.NewTokenizer(strings.NewReader(s))
	var open []string
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if len(open) > 0 {
				return fmt.Sprintf("%q are not closed", open)
			}
			return ""
		case html.CommentToken, html.DoctypeToken:
			return "it has a comment or a document type"
		case html.EndTagToken:
			t := z.Token()
			if len(open) == 0 || open[len(open)-1] != t.Data {
				return "</" + t.Data + "> ends nothing"
			}
			open = open[:len(open)-1]
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			attrs, ok := allowed[t.Data]
			if !ok {
				return "<" + t.Data + ">"
			}
			for _, a := range t.Attr {
				if attrs[a.Key] == nil || !attrs[a.Key].MatchString(a.Val) {
					return fmt.Sprintf("<%s %s=%q>", t.Data, a.Key, a.Val)
				}
			}
			if t.Data == "a" && slices.Contains(open, "a") {
				return "<a> in <a>"
			}
			if t.Data != "br" && t.Data != "img" {
				open = append(open, t.Data)
			}
		}
	}
}

var (
	slackEntity = regexp.MustCompile(`&(amp|lt|gt);`)
	slackRef    = regexp.MustCompile(`^<(https?|ftp|mailto|tel):[^<>|\s]+(\|[^<>\n]*)?>`)
)

// wrongSlack wants every angle bracket to be part of a link, and every
// ampersand of an entity.
func wrongSlack(s string) string {
	for i := range len(s) {
		switch {
		case s[i] == '&' && !slackEntity.MatchString(s[i:min(len(s), i+5)]):
			return "a bare & at " + s[i:]
		case s[i] == '<' && !slackRef.MatchString(s[i:]):
			return "no link: " + s[i:]
		case s[i] == '>':
			at := strings.LastIndexByte(s[:i], '<')
			line := strings.LastIndexByte(s[:i], '\n') + 1
			if at < line && strings.TrimLeft(s[line:i], " •0123456789.>") != "" {
				return "a bare > at " + s[i:]
			}
		}
	}
	return ""
}

// policy is the set of tags as another project's sanitiser understands it.
var policy = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "li", "blockquote", "pre", "strong", "em", "del", "br", "code", "ol")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "ftp", "mailto", "tel", "sip", "sips", "im", "xmpp", "matrix")
	p.AllowAttrs("start").Matching(digits).OnElements("ol")
	p.AllowAttrs("class").Matching(language).OnElements("code")
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(false)
	return p
}()

// check converts a source to every form and complains of what is wrong.
func check(t testing.TB, from Form, src string) {
	for _, to := range forms {
		out, _, err := Convert(src, from, to)
		if err != nil {
			t.Errorf("%s to %s: %q: %v", from, to, src, err)
			continue
		}
		if w := wrong(to, out); w != "" {
			t.Errorf("%s to %s: %q: became %q: %s", from, to, src, out, w)
		}
		if len(out) > Growth*len(src)+Spare {
			t.Errorf("%s to %s: %q: %d bytes became %d", from, to, src, len(src), len(out))
		}
	}
}
