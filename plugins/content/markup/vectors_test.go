package markup

import (
	"strings"
	"testing"
)

// vectors are what attackers send. Each has words that must not be lost with
// the attack, where there are some.
var vectors = []struct {
	from  Form
	src   string
	keeps string
}{
	// Programs
	{HTML, `hi<script>alert(1)</script>`, "hi"},
	{HTML, `hi<SCRIPT SRC=http://xss.rocks/xss.js></SCRIPT>`, "hi"},
	{HTML, `<<SCRIPT>alert("XSS");//\<</SCRIPT>`, ""},
	{HTML, `<scr<script>ipt>alert(1)</scr</script>ipt>`, ""},
	{HTML, `<script/random>alert(1)</script>hi`, "hi"},
	{HTML, `<script x> alert(1) </script 1=2>hi`, "hi"},
	{HTML, "<script\x00>alert(1)</script>", ""},
	{HTML, `<SCRIPT SRC=//xss.rocks/.j>`, ""},
	{HTML, `</script><script>alert(1)</script>`, ""},
	{HTML, `<noscript><p title="</noscript><img src=x onerror=alert(1)>">hi</noscript>`, "hi"},
	{HTML, `<template><script>alert(1)</script></template>hi`, "hi"},
	// Events
	{HTML, `<img src=x onerror=alert(1)>`, ""},
	{HTML, `<IMG """><SCRIPT>alert("XSS")</SCRIPT>"\>`, ""},
	{HTML, `<img src=x onerror="&#106;avascript:alert(1)" alt=cat>`, "cat"},
	{HTML, `<body onload=alert(1)>hi</body>`, "hi"},
	{HTML, `<p onmouseover=alert(1)>hi</p>`, "hi"},
	{HTML, `<b onclick="alert(1)" style="x">hi</b>`, "hi"},
	{HTML, `<a href="https://ok.example" onclick=alert(1)>hi</a>`, "hi"},
	{HTML, `<details open ontoggle=alert(1)>hi</details>`, "hi"},
	{HTML, `<video><source onerror="alert(1)"></video>hi`, "hi"},
	{HTML, `<audio src=x onerror=alert(1)>`, ""},
	{HTML, `<marquee onstart=alert(1)>hi</marquee>`, "hi"},
	{HTML, `<input onfocus=alert(1) autofocus>`, ""},
	{HTML, `<select onfocus=alert(1) autofocus><option>x</select>hi`, "hi"},
	{HTML, `<img/src="x"/onerror=alert(1)>`, ""},
	{HTML, "<img src=x\nonerror\n=\nalert(1)>", ""},
	{HTML, "<img src=`x`onerror=alert(1)>", ""},
	{HTML, `<div><p title="x" onx="` + "\u0022" + `>hi</p></div>`, ""},
	// Addresses
	{HTML, `<a href="javascript:alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="JaVaScRiPt:alert(1)">hi</a>`, "hi"},
	{HTML, `<a href=" javascript:alert(1)">hi</a>`, "hi"},
	{HTML, "<a href=\"java\tscript:alert(1)\">hi</a>", "hi"},
	{HTML, "<a href=\"java\nscript:alert(1)\">hi</a>", "hi"},
	{HTML, "<a href=\"\x01javascript:alert(1)\">hi</a>", "hi"},
	{HTML, `<a href="&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;:alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="jav&#x09;ascript:alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="javascript&colon;alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="javascript&Tab;:alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==">hi</a>`, "hi"},
	{HTML, `<a href="vbscript:msgbox(1)">hi</a>`, "hi"},
	{HTML, `<a href="file:///etc/passwd">hi</a>`, "hi"},
	{HTML, `<a href="blob:https://x/1">hi</a>`, "hi"},
	{HTML, `<a href="view-source:javascript:alert(1)">hi</a>`, "hi"},
	{HTML, `<a href="//evil.example/x">hi</a>`, "hi"},
	{HTML, `<a href="\\evil.example\x">hi</a>`, "hi"},
	{HTML, `<a href="https:\\evil.example">hi</a>`, "hi"},
	{HTML, `<a href='https://x.example/"onmouseover="alert(1)'>hi</a>`, "hi"},
	{HTML, `<a href="https://x.example/><script>alert(1)</script>">hi</a>`, "hi"},
	{HTML, `<a href="https://good.example@evil.example/">hi</a>`, "hi"},
	{HTML, `<a href="https://evil.example/">https://good.example/</a>`, "evil.example"},
	{HTML, `<a href="https://аpple.com/">https://аpple.com/</a>`, "xn--"},
	{HTML, `<a href="mailto:a@b.org?subject=x%0d%0aBcc:c@d.org">hi</a>`, "hi"},
	{HTML, `<img src="javascript:alert(1)" alt="cat">`, "cat"},
	{HTML, `<img src="data:image/svg+xml;base64,PHN2Zz4=" alt="cat">`, "cat"},
	{HTML, `<img src="https://track.example/p.gif?u=1" alt="cat">`, "cat"},
	{HTML, `<base href="javascript:alert(1)//"><a href="x">hi</a>`, "hi"},
	{HTML, `<form action="javascript:alert(1)"><button>go</button>hi</form>`, "hi"},
	{HTML, `<form><button formaction=javascript:alert(1)>go</button></form>`, ""},
	{HTML, `<meta http-equiv="refresh" content="0;url=javascript:alert(1)">hi`, "hi"},
	{HTML, `<link rel=stylesheet href="javascript:alert(1)">hi`, "hi"},
	{HTML, `<table background="javascript:alert(1)"><tr><td>hi</table>`, "hi"},
	// Documents in documents, and other languages
	{HTML, `<iframe src="javascript:alert(1)"></iframe>hi`, "hi"},
	{HTML, `<iframe srcdoc="<script>alert(1)</script>"></iframe>hi`, "hi"},
	{HTML, `<object data="data:text/html,<script>alert(1)</script>"></object>hi`, "hi"},
	{HTML, `<embed src="javascript:alert(1)">hi`, "hi"},
	{HTML, `<svg onload=alert(1)>`, ""},
	{HTML, `<svg><script>alert(1)</script></svg>hi`, "hi"},
	{HTML, `<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>hi`, "hi"},
	{HTML, `<svg><animate onbegin=alert(1) attributeName=x>`, ""},
	{HTML, `<svg><use href="data:image/svg+xml,<svg id=x onload=alert(1)>#x"></svg>`, ""},
	{HTML, `<math><a href="javascript:alert(1)">x</a></math>hi`, "hi"},
	{HTML, `<?xml version="1.0"?><x onload=alert(1)>hi</x>`, "hi"},
	{HTML, `<!--[if gte IE 4]><script>alert(1)</script><![endif]-->hi`, "hi"},
	{HTML, `<![CDATA[<script>alert(1)</script>]]>`, ""},
	// Style
	{HTML, `<style>@import 'javascript:alert(1)';</style>hi`, "hi"},
	{HTML, `<p style="background:url(javascript:alert(1))">hi</p>`, "hi"},
	{HTML, `<div style="width:expression(alert(1))">hi</div>`, "hi"},
	{HTML, `<b style="position:fixed;inset:0">hi</b>`, "hi"},
	// Mutation: what changes its meaning when it is parsed again
	{HTML, `<noscript><style></noscript><img src=x onerror=alert(1)></style>`, ""},
	{HTML, `<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`, ""},
	{HTML, `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`, ""},
	{HTML, `<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`, ""},
	{HTML, `<listing>&lt;img src=1 onerror=alert(1)&gt;</listing>`, "onerror"},
	{HTML, `<textarea><img title="</textarea><img src=x onerror=alert(1)>">`, ""},
	{HTML, `<title>&lt;/title&gt;&lt;img src=x onerror=alert(1)&gt;</title>hi`, "hi"},
	{HTML, `<xmp><p title="</xmp><img src=x onerror=alert(1)>"></xmp>`, ""},
	{HTML, `<select><template><style><!--</style><a rel="--></style></template></select><img src onerror=alert(1)>">`, ""},
	{HTML, `&lt;script&gt;alert(1)&lt;/script&gt;`, "<script>alert(1)</script>"},
	{HTML, `&amp;lt;script&amp;gt;`, "&lt;script&gt;"},
	{HTML, `<pre><code class='language-x" onclick="alert(1)'>hi</code></pre>`, "hi"},
	{HTML, `<ol start="1&quot; onclick=&quot;alert(1)"><li>hi</ol>`, "hi"},
	{HTML, strings.Repeat("<b>", 600) + `<script>alert(1)</script>hi<img src=x onerror=alert(1)>`, "hi"},
	{HTML, strings.Repeat("<div>", 5000) + "hi<script>x</script>", "hi"},
	// Plain text is nothing but words
	{Plain, `<script>alert(1)</script>`, "<script>alert(1)</script>"},
	{Plain, `"><img src=x onerror=alert(1)>`, "onerror"},
	{Plain, "\x1b]0;evil\x07\x1b[31mred", "red"},
	{Plain, "gpj.\u202Eexe", "exe"},
	{Plain, `[click](javascript:alert(1))`, "click"},
	{Plain, `![x](https://track.example/p.gif)`, "track.example"},
	{Plain, "`x`\n```\n<b>\n```\n    code", "<b>"},
	{Plain, "# no heading\n- no list\n1. no list\n> no quote\n***", "no heading"},
	{Plain, "[x]: javascript:alert(1)\n[x]", "javascript"},
	{Plain, "<https://x.example/\"onx=1>", "x.example"},
	{Plain, `\<script>alert(1)</script>\`, "script"},
	{Plain, "&lt;script&gt; &#60;b&#62;", "&lt;script&gt; &#60;b&#62;"},
	// Slack's tokens
	{Plain, "<!channel> <!here|x> <!everyone>", "<!channel>"},
	{Plain, "@channel @here @everyone @room", ""},
	{Plain, "(@HERE) @Channel. x@here @here's", ""},
	{Plain, "<@U024BE7LH> <#C024BE7LR|general>", "<@U024BE7LH>"},
	{Plain, "<!subteam^S024BE7LH|@ops>", "subteam"},
	{Plain, "<https://evil.example|https://good.example>", "evil.example"},
	{Plain, "&lt;!channel&gt; &amp;lt;!here&amp;gt;", "&lt;!channel&gt;"},
	{Plain, "<!date^1392734382^{date}^https://evil.example|x>", "evil.example"},
	{Plain, "https://x.example/@here/@channel", "x.example"},
	{Plain, "*bold* _it_ ~no~ `code` ```block```", "bold"},
	{HTML, `@<b>here</b> @<i></i>channel <!channel> &lt;!channel&gt;`, ""},
	{HTML, `<a href="https://x.example/|<!channel>">hi</a>`, "hi"},
	{HTML, `<a href="https://x.example/">a|&lt;!channel&gt;</a>`, "a|"},
	{HTML, "<pre>```\n&lt;!channel&gt; @here</pre>", "channel"},
	{Markdown, "@**here** @`room` [@channel](https://x.example) <!channel>", ""},
	{Markdown, "`<!channel>` and\n\n    <!here>", "here"},
	{Slack, "<!channel> <!here> <!everyone|everyone>", ""},
	{Slack, "<javascript:alert(1)|hi>", "hi"},
	{Slack, "<https://evil.example|https://good.example>", "evil.example"},
	{Slack, "<https://x.example/\"><script>alert(1)</script>|hi>", ""},
	{Slack, "&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"},
	{Slack, "<@U1|<script>alert(1)</script>>", ""},
	{Slack, "<@U1|a&lt;script&gt;b>", "<script>"},
	{Slack, "```<!channel>\n&lt;/code&gt;&lt;script&gt;```", "<script>"},
	{Slack, "<@U1> <#C1> <|> <> <!> <@> <#> <!^>", ""},
	// Matrix: pills and replies
	{Matrix, `<a href="https://matrix.to/#/@evil:hs.example">@admin:hs.example</a>`, "@evil:hs.example"},
	{Matrix, `<a href="https://matrix.to.evil.example/#/@bob:hs.example">Bob</a>`, "Bob"},
	{Matrix, `<a href="https://matrix.to/#/@x%22%3E%3Cscript%3E:hs.example">x</a>`, "x"},
	{Matrix, `<a href="https://matrix.to/#/@room:hs.example">@room</a>`, ""},
	{Matrix, `<mx-reply><script>alert(1)</script><a href="javascript:x">y</a></mx-reply>hi`, "hi"},
	{Matrix, `hi<mx-reply>never closed`, "hi"},
	{Matrix, `<span data-mx-spoiler='"><script>alert(1)</script>'>hi</span>`, "hi"},
	{Matrix, `<font data-mx-color="red;background:url(x)" color="expression(1)">hi</font>`, "hi"},
	{Matrix, `<img src="mxc://hs/a&quot; onerror=&quot;alert(1)" alt="cat">`, "cat"},
	{Matrix, `<img data-mx-emoticon src="mxc://hs/a" alt="<script>">`, ""},
	{Matrix, `@ro<b>om</b> @room`, ""},
	// Markdown
	{Markdown, `[hi](javascript:alert(1))`, "hi"},
	{Markdown, `[hi](JavaScript&colon;alert(1))`, "hi"},
	{Markdown, `[hi](java&#115;cript:alert(1))`, "hi"},
	{Markdown, `[hi](<java` + "\t" + `script:alert(1)>)`, "hi"},
	{Markdown, `[hi](data:text/html;base64,PHNjcmlwdD4=)`, "hi"},
	{Markdown, `![hi](javascript:alert(1))`, "hi"},
	{Markdown, `<javascript:alert(1)>`, "javascript"},
	{Markdown, "[hi][x]\n\n[x]: javascript:alert(1)", "hi"},
	{Markdown, `[https://good.example](https://evil.example)`, "evil.example"},
	{Markdown, `[www.good.example/x](https://evil.example)`, "evil.example"},
	{Markdown, `[hi](https://x.example/"onmouseover=alert(1)//)`, "hi"},
	{Markdown, `[hi](https://x.example "t" onx)`, "hi"},
	{Markdown, `[a](https://x.example/a)b](javascript:alert(1))`, ""},
	{Markdown, `<script>alert(1)</script>`, "<script>alert(1)</script>"},
	{Markdown, `a <img src=x onerror=alert(1)> b`, "onerror"},
	{Markdown, "<div>\n*x*\n</div>\n\n<!-- c -->", "x"},
	{Markdown, "```html\" onclick=\"alert(1)\n<b>\n```", "<b>"},
	{Markdown, "`` ` `` and ``</code><script>``", "script"},
	{Markdown, `\<script>alert(1)\</script>`, "<script>alert(1)</script>"},
	{Markdown, `&lt;script&gt;`, "<script>"},
	{Markdown, `[![x](https://a.example/i.png)](javascript:alert(1))`, "x"},
	{Markdown, `**<b>*</b>**`, ""},
}

// C11 K08
func TestNoAttackSurvives(t *testing.T) {
	if len(vectors) < 80 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		check(t, v.from, v.src)
		out, _, err := Convert(v.src, v.from, Plain)
		if err != nil || !strings.Contains(out, v.keeps) {
			t.Errorf("%s: %q: became %q, %v; %q is lost", v.from, v.src, out, err, v.keeps)
		}
	}
}

// C11. The second opinion: bluemonday finds nothing to take out of what the
// HTML writer wrote.
func TestAnotherSanitiserFindsNothing(t *testing.T) {
	for _, v := range vectors {
		out, _, err := Convert(v.src, v.from, HTML)
		if err != nil {
			t.Fatal(err)
		}
		if again := policy.Sanitize(out); again != out {
			t.Errorf("%s: %q:\n became %q\n and by bluemonday %q", v.from, v.src, out, again)
		}
	}
}

// The checks of these tests see an attack when there is one.
func TestWrongOutputIsSeen(t *testing.T) {
	for _, tc := range []struct {
		form Form
		s    string
	}{
		{HTML, "<script>"}, {HTML, `<a href="javascript:x">x</a>`}, {HTML, "<p>"}, {HTML, "<p onx=y></p>"}, {HTML, "</p>"}, {HTML, "<!-- -->"},
		{Matrix, `<img src="https://x/y">`}, {Matrix, "<p>@room</p>"}, {Matrix, "@here"}, {Slack, "a & b"}, {Slack, "<!channel>"}, {Slack, "x > y"},
		{Slack, "@channel!"}, {Markdown, "<b>x</b>"}, {Markdown, "[x](javascript:x)"}, {Plain, "\x00"}, {Plain, "\xff"}, {Plain, "\u202E"},
	} {
		if wrong(tc.form, tc.s) == "" {
			t.Errorf("%s: %q passes", tc.form, tc.s)
		}
	}
}
