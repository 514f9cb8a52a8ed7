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
		{"an address with brackets", Plain, Slack, "(see https://en.wikipedia.org/wiki/Foo_(bar))", "(see <https://en.wikipedia.org/wiki/Foo_(bar)>)", nil},
		{"an address with brackets, for Markdown", Plain, Markdown, "https://en.wikipedia.org/wiki/Foo_(bar).", "<https://en.wikipedia.org/wiki/Foo_(bar)>\\.", nil},
		{"an address with a bracket left open", Plain, Slack, "https://x.example/a(b c)", "<https://x.example/a>(b c)", nil},
		{"an address with marks", Plain, Slack, "https://people.example.edu/~bob/?a=1&b=_2", "<https://people.example.edu/~bob/?a=1&amp;b=_2>", nil},
		{"an address with letters", Plain, Slack, "https://de.wikipedia.org/wiki/_Köln_", "<https://de.wikipedia.org/wiki/_K%C3%B6ln>_\u200B", nil},
		{"an address behind letters", Plain, Slack, "siehe:是https://x.example/_a", "siehe:是<https://x.example/_a>", nil},
		{"everybody before a dash", Plain, Slack, "@here—please @channel… @everyoneé", "@\u200Bhere—please @\u200Bchannel… @\u200Beveryoneé", nil},
		{"everybody before a dash, in Matrix", Plain, Matrix, "@room—please", "@\u200Broom—please", nil},

		{"lines of a letter", HTML, Plain, "<div>a</div><div>b</div><div><br></div><div>c</div>", "a\nb\n\nc", nil},
		{"lines of a letter, for HTML", HTML, HTML, "<div dir=ltr>a<div>b</div>\n<div><br></div>\n<div>c<br></div><div><b>d</b></div></div>", "<p>a<br>b</p><p>c<br><strong>d</strong></p>", nil},
		{"empty lines between lines", HTML, HTML, `<div>a</div><img src="cid:1" alt=""><div>b<br><br></div><div>c</div><div><img src="cid:1" alt=""> d</div>`, "<p>a</p><p>b</p><p>c<br>d</p>", nil},
		{"empty lines of Outlook", HTML, Plain, "<p>a</p><p><o:p>&nbsp;</o:p></p><p><b>&nbsp;</b></p><div>b</div><div>&nbsp;</div><div>c</div>", "a\n\nb\n\nc", nil},
		{"a list directly in a list", HTML, Plain, "<ul><li>a</li><ul><li>b</li><li>c</li></ul><li>d</li></ul>", "• a\n  • b\n  • c\n• d", nil},
		{"a list directly in a list, for Markdown", HTML, Markdown, "<ol><li>a</li><ul><li>b</li></ul><li>d</li></ol>", "1. a\n   - b\n2. d", nil},
		{"numbers of items", HTML, Plain, "<ol><li>a<li value=5>b<li>c</ol>", "1. a\n\n5. b\n6. c", nil},
		{"the number of the first item", HTML, HTML, "<ol><li value=3>a<li value=4>b</ol>", `<ol start="3"><li>a</li><li>b</li></ol>`, nil},
		{"raised and lowered", HTML, Plain, "10<sup>5</sup> 10<sup>-3</sup> x<sub>2</sub> H<sub>2</sub>O 5<sup>th</sup> n<sup>n</sup> a<sup>[1]</sup> b<sup>™</sup> <sup>1</sup> c", "10^5 10^-3 x_2 H_2O 5th n^n a[1] b™ 1 c", nil},
		{"words of others", HTML, Plain, "he said <q>no <b>way</b></q>.", "he said “no way”.", content.Losses{EmphasisRemoved}},
		{"a picture for its looks", HTML, Plain, `a <img src=https://x.example/i.gif alt=""><img src=https://x.example/i.gif width=1 height="1">b`, "a b", content.Losses{ImageRemoved}},
		{"a picture in the letter for its looks", HTML, Plain, `a <img src=cid:1 alt="">b`, "a b", nil},
		{"a picture of Matrix without words", Matrix, Matrix, `<img src="mxc://hs/a" alt="">`, `<img src="mxc://hs/a" alt="">`, nil},
		{"the line for the mailbox", HTML, Plain, `<div style="font-size:1px; Display : none">b <div>c</div></div><p hidden>d<p>a`, "a", content.Losses{HiddenRemoved}},
		{"formats that overlap", HTML, HTML, "<p>a <b>b <i>c</b> d</i> e <b>f<p>g</b> h", "<p>a <strong>b <em>c</em></strong><em> d</em> e <strong>f</strong></p><p><strong>g</strong> h</p>", nil},
		{"formats end with their cell", HTML, HTML, "<table><tr><td><b>a<td>b</table>c", "<p><strong>a</strong> | b</p><p>c</p>", content.Losses{TableFlattened}},
		{"tags that nobody wrote", HTML, HTML, "<ul><li>a<li>b</ul><dl><dt>c<dd>d</dl><p>e<p>f", "<ul><li>a</li><li>b</li></ul><p>c</p><p>d</p><p>e</p><p>f</p>", nil},
		{"a block in code", HTML, HTML, "<code>a <div>b</div></code>", "<p><code>a</code><br><code>b</code></p>", nil},
		{"lines in code", HTML, HTML, "<pre>\na\n<div>b</div><div>c</div></pre>", "<pre><code>a\nb\nc</code></pre>", nil},
		{"empty lines before code", HTML, HTML, "<pre>\n\n\n  a\n\nb\n</pre>", "<pre><code>  a\n\nb</code></pre>", nil},
		{"a link in code", HTML, HTML, "<code>a <a href=https://x.example>b</a></code>", `<p><code>a</code> <a href="https://x.example"><code>b</code></a></p>`, nil},
		{"code in a spoiler", Matrix, Matrix, "<span data-mx-spoiler=r>a<pre><code class=language-go>b\n\n  c</code></pre></span>d", `<p><span data-mx-spoiler="r">a</span></p><p><span data-mx-spoiler="r"><code>b</code><br><br><code>  c</code></span></p><p>d</p>`, nil},
		{"a spoiler in code", Matrix, Matrix, "<code>a <span data-mx-spoiler>b</span> c</code>", "<code>a</code> <span data-mx-spoiler><code>b</code></span> <code>c</code>", nil},
		{"a spoiler in lines of code", Matrix, Matrix, "<pre>a <span data-mx-spoiler=r>b</span></pre>c", `<p><span data-mx-spoiler="r"><code>a b</code></span></p><p>c</p>`, nil},
		{"a spoiler that ends in code", Matrix, Matrix, "<font data-mx-spoiler><pre>a</font>b</pre>", "<span data-mx-spoiler><code>ab</code></span>", nil},
		{"formats in code", HTML, HTML, "x<code> a <b>b</b>c </code>d", "<p>x <code>a</code> <strong><code>b</code></strong><code>c</code> d</p>", nil},
		{"a link in lines of code", HTML, Plain, "<pre>a <a href=https://x.example/y>b</a> c <a href=https://x.example>https://x.example</a> <a name=z>d</a></pre>", "a b (https://x.example/y) c https://x.example d", content.Losses{LinkAsText}},
		{"a link that ends in code", HTML, Plain, "<a href=https://x.example><pre>a</a>b</pre>", "a (https://x.example)b", content.Losses{LinkAsText}},
		{"a link that goes on behind code", HTML, Plain, "<pre>a <a href=https://x.example>b<a href=https://y.example>c", "a b (https://x.example)c (https://y.example)", content.Losses{LinkAsText}},
		{"lines of code in a link", HTML, Markdown, "<a href=https://x.example><pre>a\nb</pre></a>", "[`a`\\\n`b`](https://x.example)", nil},
		{"a link in code without an address", HTML, Plain, "<pre><a href='javascript:x'>a</a></pre>", "a", content.Losses{LinkRemoved}},
		{"the end of what a quote is in", HTML, HTML, "<span>a<blockquote>b</span>c</blockquote>d", "<p>a</p><blockquote><p>bc</p></blockquote><p>d</p>", nil},
		{"the end of what nobody knows around a quote", HTML, HTML, "<mx-reply>a<o:p><blockquote>b</o:p>c</mx-reply>d</blockquote>e", "<p>a</p><blockquote><p>bcd</p></blockquote><p>e</p>", nil},
		{"a format ends in a quote", HTML, HTML, "<b>a<blockquote>b</b>c</blockquote>d", "<p><strong>a</strong></p><blockquote><p><strong>b</strong>c</p></blockquote><p>d</p>", nil},
		{"a place that is never closed", HTML, HTML, "<a name=top><blockquote>a <a href=https://x.example>b</a> c</blockquote>d", `<blockquote><p>a <a href="https://x.example">b</a> c</p></blockquote><p>d</p>`, nil},
		{"a link in a link, with a list", HTML, HTML, "<a href=https://x.example>a<ul><li>b<a href=https://y.example>c</a>d</ul>", `<p><a href="https://x.example">a</a></p><ul><li><a href="https://x.example">b</a><a href="https://y.example">c</a>d</li></ul>`, nil},
		{"the end of a form in a quote", HTML, HTML, "<form><blockquote>a</form>b</blockquote>c", "<blockquote><p>a</p><p>b</p></blockquote><p>c</p>", nil},
		{"words to explain in a quote", HTML, HTML, "<dl><dd><blockquote>a<dl><dt>b</dl>c</blockquote>d</dl>", "<blockquote><p>a</p><p>b</p><p>c</p></blockquote><p>d</p>", nil},
		{"what was answered, with a quote", Matrix, Plain, "<mx-reply><blockquote>a</mx-reply>b", "b", content.Losses{ReplyRemoved}},
		{"a line that ends in a format", HTML, Slack, "<p>a <b>b<br></b></p><p>c</p>", "a *b*\n\nc", nil},
		{"a line that begins and ends in a format", HTML, Plain, "<p><b><i><br>a <br>&nbsp;</i> <br></b></p><p>c</p>", "a\n\nc", content.Losses{EmphasisRemoved}},
		{"what is never closed", HTML, Plain, "<div><video src=x>a</div>b<td>c", "b | c", content.Losses{ActiveRemoved}},
		{"a lie with what nobody sees", HTML, Plain, "<a href=https://evil.example>https://pay\u200Bpal.com&#8203;</a>", "https://evil.example", content.Losses{LinkMisleads}},
		{"the name of another host", HTML, HTML, "<a href=https://evil.example>paypal.com&#8203;</a>", "<p><a href=\"https://evil.example\">paypal.com\u200B (https://evil.example)</a></p>", content.Losses{LinkDoubtful}},
		{"the name of another host, alone", HTML, Plain, "<a href=https://evil.example>sign in at paypal.de</a>", "sign in at paypal.de (https://evil.example)", content.Losses{LinkDoubtful}},
		{"an address shown before", HTML, Plain, "<a href=https://evil.example>paypal.de (https://evil.example)</a>", "paypal.de (https://evil.example)", nil},
		{"an address in words in a link", HTML, Markdown, "<a href=https://x.example><b>https://x.example/_a</b></a>", `[**https\://x.example/\_a**](https://x.example)`, nil},
		{"a product with the name of a host", HTML, Slack, "<a href=https://learn.microsoft.com/x>ASP.NET docs</a>", "<https://learn.microsoft.com/x|ASP.NET docs (https://learn.microsoft.com/x)>", content.Losses{LinkDoubtful}},
		{"a part of the host", HTML, Slack, "<a href=https://docs.example.co.uk/x>www.example.co.uk</a> <a href=https://example.co.uk>docs.example.co.uk</a>", "<https://docs.example.co.uk/x|www.example.co.uk> <https://example.co.uk|docs.example.co.uk>", nil},
		{"a neighbour of the host", HTML, Plain, "<a href=https://b.github.io>https://a.github.io</a>", "https://b.github.io", content.Losses{LinkMisleads}},
		{"words with dots", HTML, Slack, "<a href=https://x.example>v1.5, e.g. the U.S. node.js</a>", "<https://x.example|v1.5, e.g. the U.S. node.js>", nil},

		{"HTML to Markdown", HTML, Markdown, "<h2>T</h2><p>a <b>b </b>c<br>d</p><ul><li>x<li>y</ul>", "## T\n\na **b** c\\\nd\n\n- x\n- y", nil},
		{"HTML to plain", HTML, Plain, "<p>a</p><p>b <a href=https://x.example/>c</a></p><blockquote>q<br>r</blockquote>", "a\n\nb c (https://x.example/)\n\n> q\n> r", nil},
		{"HTML to Slack", HTML, Slack, "<h1>T</h1><p>w<b>i</b>n <s>x</s></p>", "*T*\n\nw\u200B*i*\u200Bn ~x~", content.Losses{HeadingAsBold}},
		{"white space of HTML", HTML, HTML, " <p> a \n b <i> c</i> </p> d ", "<p>a b <em>c</em></p><p>d</p>", nil},
		{"blocks in inlines", HTML, HTML, "<b>a<div>b</div>c</b>", "<p><strong>a<br>b<br>c</strong></p>", nil},
		{"code in HTML", HTML, Markdown, "<pre><code class=language-go>a\n  `b`</code></pre><p>x <code>`y</code>", "```go\na\n  `b`\n```\n\nx `` `y ``", nil},
		{"a table", HTML, Plain, "<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2", content.Losses{TableFlattened}},
		{"an image", HTML, HTML, "<img src=https://x.example/i.png alt=cat>", `<p><a href="https://x.example/i.png">[image: cat]</a></p>`, content.Losses{ImageAsLink}},
		{"a list within a list", HTML, Slack, "<ol start=3><li>a<ul><li>b</ul><li>c</ol>", "3. a\n   • b\n4. c", nil},
		{"a form", HTML, Plain, "<form>a<input value=b><textarea>c</textarea></form>", "a", content.Losses{FormRemoved}},
		{"a program", HTML, Plain, "a<script>b</script>", "a", content.Losses{ActiveRemoved}},
		{"the head of a letter", HTML, Plain, "<html><head><title>x</title><style>p{color:red}</style><meta charset=utf-8></head><body>a</body></html>", "a", nil},
		{"a link that lies", HTML, Plain, "<a href=https://evil.example>https://good.example</a>", "https://evil.example", content.Losses{LinkMisleads}},
		{"a link without an address", HTML, Plain, "<a href=/x>a</a>", "a", content.Losses{LinkRemoved}},
		{"a place in the text", HTML, Plain, "<a href=#x>a</a>", "a", nil},
		{"a number to call", HTML, Matrix, `<a href="tel:+491234">+491234</a>`, "+491234", content.Losses{LinkAsText}},

		{"Markdown to HTML", Markdown, HTML, "*a* **b** ~~c~~ `d` [e](https://x.example)\nf", `<p><em>a</em> <strong>b</strong> <del>c</del> <code>d</code> <a href="https://x.example">e</a><br>f</p>`, nil},
		{"Markdown's blocks", Markdown, HTML, "> a\n\n3. b\n4. c\n\n```go\nd<e\n```", `<blockquote><p>a</p></blockquote><ol start="3"><li>b</li><li>c</li></ol><pre><code class="language-go">d&lt;e</code></pre>`, nil},
		{"HTML in Markdown", Markdown, Matrix, "a <b>c</b>", "a &lt;b&gt;c&lt;/b&gt;", content.Losses{HTMLAsText}},
		{"a table in Markdown", Markdown, Plain, "|a|b|\n|-|-|\n|c|d|", "a | b\nc | d", content.Losses{TableFlattened}},
		{"a rule", Markdown, Plain, "a\n\n---\n\nb", "a\n\n———\n\nb", content.Losses{RuleAsText}},
		{"a table with empty cells", Markdown, Plain, "|a|b|c|\n|-|-|-|\n|d||e|\n|f", "a | b | c\nd |  | e\nf", content.Losses{TableFlattened}},
		{"an address in Markdown", Markdown, Plain, "[x](https://a.example/?a=1&copy=2&para=3) &amp &notit;", "x (https://a.example/?a=1&copy=2&para=3) &amp &notit;", nil},
		{"entities in Markdown", Markdown, Plain, "a &copy b &copy; &#38;lt; &#x41; \\&lt;", "a &copy b © &lt; A &lt;", nil},
		{"an address that nothing refers to", Markdown, Plain, "[ann]: https://example.com/plan", "[ann]: https://example.com/plan", nil},
		{"some addresses are referred to", Markdown, Plain, "[A  b], see:\n\n[a b]: https://x.example\n[c]: https://y.example\n  'd'", "A  b (https://x.example), see:\n\n[c]: https://y.example\n  'd'", nil},
		{"a mark alone", Markdown, HTML, "+", "<p>+</p>", nil},
		{"a number alone", Markdown, Plain, "1.", "1.", nil},
		{"a heading without words", Markdown, Plain, "#\n", "#", nil},
		{"code without lines", Markdown, Plain, "```", "```", nil},
		{"words for an image in an image", Markdown, Plain, "![a ![*b* `c`](https://x.example) &amp;](https://y.example)", "[image: a b c &] https://y.example", content.Losses{ImageAsLink}},
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
		{"a link of others to somebody", HTML, Matrix, `<a href="https://matrix.to/#/@bob:hs.org">click</a>`, "click <code>https://matrix.to/#/@bob:hs.org</code>", content.Losses{LinkAsText}},
		{"a link of others to a room", Markdown, Matrix, "[a](https://MATRIX.to/#/%23r:hs.org?via=x) <https://matrix.to/#/!r:hs.org>", "a <code>https://MATRIX.to/#/%23r:hs.org?via=x</code> <code>https://matrix.to/#/!r:hs.org</code>", content.Losses{LinkAsText}},
		{"a link of others to a message", HTML, Matrix, `<a href="https://matrix.to/#/!r:hs.org/$e">it</a>`, `<a href="https://matrix.to/#/!r:hs.org/$e">it</a>`, nil},
		{"a pill without an end", Matrix, Plain, `<a href="https://matrix.to/#/@bob:hs.example">Bob<p>hi`, "@Bob\n\nhi", nil},
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
