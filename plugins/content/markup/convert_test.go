package markup

import (
	"slices"
	"strings"
	"testing"

	"parley.im/plugins/content"
)

// X10 K08
func TestFormatsAreMapped(t *testing.T) {
	for _, tc := range []struct {
		name     string
		from, to Form
		src      string
		want     string
		losses   content.Losses
	}{
		{"words", Plain, Matrix, "a < b\n  c", "a &lt; b<br>  c", nil},
		{"words with marks", Plain, Slack, "*a* 2*3 snake_case _x_ `y`", "*\u200Ba* 2*3 snake_case _\u200Bx_ `\u200By`\u200B", nil},
		{"a name of a picture is words", Plain, Slack, "10:100:5", "10:\u200B100:5", nil},
		{"an address in words", Plain, Slack, "see https://x.example/_a_b, ok", "see <https://x.example/_a_b>, ok", nil},
		{"an address in words, for Markdown", Plain, Markdown, "see https://x.example/_a_b, ok", "see <https://x.example/_a_b>, ok", nil},
		{"a quote sign in words", Plain, Slack, "> x", "\u200B&gt; x", nil},
		{"everybody", Plain, Slack, "@here and @channel", "@\u200Bhere and @\u200Bchannel", nil},
		{"everybody in Matrix", Plain, Matrix, "@room, @roommate", "@\u200Broom, @roommate", nil},

		{"HTML to Markdown", HTML, Markdown, "<h2>T</h2><p>a <b>b </b>c<br>d</p><ul><li>x<li>y</ul>", "## T\n\na **b** c\\\nd\n\n- x\n- y", nil},
		{"HTML to plain", HTML, Plain, "<p>a</p><p>b <a href=https://x.example/>c</a></p><blockquote>q<br>r</blockquote>", "a\n\nb c (https://x.example/)\n\n> q\n> r", nil},
		{"HTML to Slack", HTML, Slack, "<h1>T</h1><p>w<b>i</b>n <s>x</s></p>", "*T*\n\nw\u200B*i*\u200Bn ~x~", content.Losses{HeadingAsBold}},
		{"white space of HTML", HTML, HTML, " <p> a \n b <i> c</i> </p> d ", "<p>a b <em>c</em></p><p>d</p>", nil},
		{"blocks in inlines", HTML, HTML, "<b>a<div>b</div>c</b>", "<p><strong>a</strong></p><p><strong>b</strong></p><p><strong>c</strong></p>", nil},
		{"code in HTML", HTML, Markdown, "<pre><code class=language-go>a\n  `b`</code></pre><p>x <code>`y</code>", "```go\na\n  `b`\n```\n\nx `` `y ``", nil},
		{"a table", HTML, Plain, "<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2", content.Losses{TableFlattened}},
		{"an image", HTML, HTML, "<img src=https://x.example/i.png alt=cat>", `<p><a href="https://x.example/i.png">[image: cat]</a></p>`, content.Losses{ImageAsLink}},
		{"a list within a list", HTML, Slack, "<ol start=3><li>a<ul><li>b</ul><li>c</ol>", "3. a\n   • b\n4. c", nil},
		{"a form", HTML, Plain, "<form>a<input value=b><textarea>c</textarea></form>", "a", content.Losses{FormRemoved}},
		{"a program", HTML, Plain, "a<script>b</script>", "a", content.Losses{ActiveRemoved}},
		{"a link that lies", HTML, Plain, "<a href=https://evil.example>https://good.example</a>", "https://evil.example", content.Losses{LinkMisleads}},
		{"a link without an address", HTML, Plain, "<a href=/x>a</a>", "a", content.Losses{LinkRemoved}},
		{"a place in the text", HTML, Plain, "<a href=#x>a</a>", "a", nil},
		{"a number to call", HTML, Matrix, `<a href="tel:+491234">+491234</a>`, "+491234", content.Losses{LinkAsText}},

		{"Markdown to HTML", Markdown, HTML, "*a* **b** ~~c~~ `d` [e](https://x.example)\nf", `<p><em>a</em> <strong>b</strong> <del>c</del> <code>d</code> <a href="https://x.example">e</a><br>f</p>`, nil},
		{"Markdown's blocks", Markdown, HTML, "> a\n\n3. b\n4. c\n\n```go\nd<e\n```", `<blockquote><p>a</p></blockquote><ol start="3"><li>b</li><li>c</li></ol><pre><code class="language-go">d&lt;e</code></pre>`, nil},
		{"HTML in Markdown", Markdown, Matrix, "a <b>c</b>", "a &lt;b&gt;c&lt;/b&gt;", content.Losses{HTMLAsText}},
		{"a table in Markdown", Markdown, Plain, "|a|b|\n|-|-|\n|c|d|", "a | b\nc | d", content.Losses{TableFlattened}},
		{"a rule", Markdown, Plain, "a\n\n---\n\nb", "a\n\n———\n\nb", content.Losses{RuleAsText}},
		{"an image in Markdown", Markdown, Slack, "![cat](https://x.example/i.png)", "<https://x.example/i.png|[image: cat]>", content.Losses{ImageAsLink}},
		{"two lists", HTML, Markdown, "<ul><li>a</ul><ul><li>b</ul>", "- a\n\n* b", nil},

		{"Slack's tokens", Slack, Plain, "<@U1> <@U2|ann> <#C1|ops> <!here> <!subteam^S1|@crew> <!date^1^{x}|Monday>", "@U1 @ann #ops @here @crew Monday", nil},
		{"Slack's links", Slack, Plain, "<https://x.example|x.example> <mailto:a@b.example|a@b.example> <https://y.example|y>", "x.example a@b.example y (https://y.example)", nil},
		{"Slack's formats", Slack, Markdown, "*a _b_* ~c~ `d &lt;` e_f_g", "**a *b*** ~~c~~ `d <` e\\_f\\_g", nil},
		{"Slack's blocks", Slack, HTML, "&gt; q\n&gt; r\n• a\n    ◦ b\n• c\n```\nx &amp; y\n```", "<blockquote><p>q<br>r</p></blockquote><ul><li>a<ul><li>b</li></ul></li><li>c</li></ul><pre><code>x &amp; y</code></pre>", nil},
		{"Slack's long quote", Slack, Plain, "a\n&gt;&gt;&gt;b\nc", "a\n\n> b\n> c", nil},
		{"Slack's pictures", Slack, Plain, ":tada: :+1::skin-tone-3: :flag-de: :nothing: 1:2:3", "🎉 👍🏼 🇩🇪 :nothing: 1:2:3", nil},
		{"Slack's entities once", Slack, Plain, "&amp;lt; &lt;b&gt;", "&lt; <b>", nil},
		{"half a token", Slack, Plain, "a < b and <https://x.example", "a < b and <https://x.example", nil},
		{"Slack to Slack", Slack, Slack, "*a* <@U1> <!channel>", "*a* @U1 @\u200Bchannel", content.Losses{MentionAsText}},

		{"a reply in Matrix", Matrix, Plain, "<mx-reply><blockquote>old</blockquote></mx-reply>new", "new", content.Losses{ReplyRemoved}},
		{"a pill", Matrix, Plain, `<a href="https://matrix.to/#/@bob:hs.example">Bob</a>: hi`, "@Bob: hi", nil},
		{"an encoded pill", Matrix, Slack, `<a href="https://matrix.to/#/%40bob%3Ahs.example?via=x">Bob</a>`, "@Bob", content.Losses{MentionAsText}},
		{"a pill with a false name", Matrix, Plain, `<a href="https://matrix.to/#/@bob:hs.example">@ann:hs.example</a>`, "@bob:hs.example", nil},
		{"a link to a message", Matrix, Plain, `<a href="https://matrix.to/#/!r:hs.example/$e">it</a>`, "it (https://matrix.to/#/!r:hs.example/$e)", nil},
		{"a spoiler", Matrix, Plain, `<span data-mx-spoiler="end">he <b>dies</b></span>`, "[spoiler, end: he dies]", content.Losses{SpoilerShown, EmphasisRemoved}},
		{"a spoiler stays one", Matrix, Matrix, `<span data-mx-spoiler="end">he <b>dies</b></span>`, `<span data-mx-spoiler="end">he <strong>dies</strong></span>`, nil},
		{"an image in Matrix", Matrix, Matrix, `<img src="mxc://hs/a" alt="cat" onload=x>`, `<img src="mxc://hs/a" alt="cat">`, nil},
		{"an emoticon", Matrix, Plain, `<img data-mx-emoticon src="mxc://hs/a" alt=":cat:">`, ":cat:", nil},
	} {
		got, losses, err := Convert(tc.src, tc.from, tc.to)
		if err != nil || got != tc.want {
			t.Errorf("%s: %q: got %q, %v, want %q", tc.name, tc.src, got, err, tc.want)
		}
		for _, l := range tc.losses {
			if !slices.Contains(losses, l) {
				t.Errorf("%s: %q: lost %q, want %q, too", tc.name, tc.src, losses, l)
			}
		}
		if tc.losses == nil && len(losses) > 0 && !slices.Equal(losses, content.Losses{EmphasisRemoved}) {
			t.Errorf("%s: %q: lost %q", tc.name, tc.src, losses)
		}
	}
}

// A mention is live only where a connector says so, and nobody can be made to
// stand for a group.
func TestMentionsAreResolved(t *testing.T) {
	show := func(id, text string) (string, bool) {
		switch id {
		case "U1AB":
			return "@Ann\n<b>", true
		case "@bob:hs.example":
			return "Bob", true
		case "!here", "S1", "U9><!here":
			return text, true
		}
		return text, false
	}
	for _, tc := range []struct {
		from, to  Form
		src, want string
	}{
		{Slack, Slack, "<@U1AB> <@U2AB>", "<@U1AB> @U2AB"},
		{Slack, Slack, "<!here> <!subteam^S1|@crew>", "@\u200Bhere @crew"},
		{Slack, Slack, "<@U9&gt;&lt;!here|x>", "@x"},
		{Slack, Plain, "<@U1AB>", "@Ann <b>"},
		{Slack, Matrix, "<@U1AB>", "@Ann &lt;b&gt;"},
		{Matrix, Matrix, `<a href="https://matrix.to/#/@bob:hs.example">x</a>`, `<a href="https://matrix.to/#/@bob:hs.example">Bob</a>`},
		{Matrix, Slack, `<a href="https://matrix.to/#/@bob:hs.example">x</a>`, "Bob"},
	} {
		d, err := Read(tc.src, tc.from)
		if err != nil {
			t.Fatal(err)
		}
		d.Resolve(show)
		if got, err := d.Write(tc.to); err != nil || got != tc.want {
			t.Errorf("%s to %s: %q: got %q, %v, want %q", tc.from, tc.to, tc.src, got, err, tc.want)
		}
	}
}

func TestDepthIsLimited(t *testing.T) {
	for _, tc := range []struct {
		from Form
		src  string
	}{
		{HTML, strings.Repeat("<blockquote>", 40) + "deep"}, {HTML, strings.Repeat("<ul><li>", 40) + "deep"}, {Markdown, strings.Repeat("> ", 40) + "deep"},
	} {
		got, losses, err := Convert(tc.src, tc.from, HTML)
		depth := strings.Count(got, "<blockquote>") + strings.Count(got, "<ul>") + strings.Count(got, "<li>")
		if err != nil || depth > MaxDepth+1 || !strings.Contains(got, "deep") || !slices.Contains(losses, NestingFlattened) {
			t.Errorf("%.20q: got %q, lost %q, %v", tc.src, got, losses, err)
		}
	}
}

// What would grow too much loses its structure and keeps its words.
func TestGrowthIsLimited(t *testing.T) {
	src := strings.Repeat(">", 12) + strings.Repeat("a\n", 4000)
	got, losses, err := Convert(src, Markdown, Plain)
	if err != nil || len(got) > Growth*len(src)+Spare || strings.Count(got, "a") != 4000 || !slices.Contains(losses, StructureRemoved) {
		t.Errorf("%d bytes became %d, lost %q, %v", len(src), len(got), losses, err)
	}
}

func TestNamesStandForPictures(t *testing.T) {
	for name, picture := range map[string]string{"tada": "🎉", "+1": "👍", "heart": "❤️", "eyes": "👀", "white_check_mark": "✅"} {
		if got, ok := Emoji(name); !ok || got != picture {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for _, name := range []string{"", "no such", "flag-D1", "nothing_at_all"} {
		if got, ok := Emoji(name); ok {
			t.Errorf("%q is %q", name, got)
		}
	}
}

func TestNamesOfEmojiLeadBack(t *testing.T) {
	for _, picture := range []string{"👍", "🎉", "❤️", "❤"} {
		names := EmojiNames(picture)
		if len(names) == 0 {
			t.Errorf("%s has no name", picture)
		}
		for _, n := range names {
			if got, ok := Emoji(n); !ok || strings.TrimRight(got, "\uFE0F") != strings.TrimRight(picture, "\uFE0F") {
				t.Errorf("%s is called %q, which is %q", picture, n, got)
			}
		}
	}
	if names := EmojiNames("no picture"); len(names) != 0 {
		t.Errorf("%q", names)
	}
}
