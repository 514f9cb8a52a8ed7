package markup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// letter draws a small document of HTML, with formats in, beside and around
// everything else.
func letter() *rapid.Generator[string] {
	words := []string{"a", "b", "word", "1.", "+", "-", " ", " ", " ", "(x)", "「重要」", "请看", "$5", "€", "!", ".", "*", "**", "_", "~", "~~", "`", "\\", "#", "&amp;", "&lt;", "[", "]", "|", "👍", "é", "é",
		"&nbsp;", "&#x2003;", "\u200B", "<br>", "\n", "<code>c</code>", "<code>`</code>", "<kbd> k </kbd>", "https://x.example/_a ", "<img src=https://x.example/i alt='a *b*'>"}
	around := []string{"b", "i", "s", "b", "i", "s", "a", "span data-mx-spoiler", "code", "kbd"}
	blocks := []string{"p", "div", "ul><li", "ol><li", "li", "blockquote", "h2", "pre", "td"}
	links := 0 // no two have the same address: those would be one
	tag := func(name, inside string) string {
		end, _, _ := strings.Cut(name, " ")
		if outer, inner, ok := strings.Cut(name, "><"); ok {
			return "<" + name + ">" + inside + "</" + inner + "></" + outer + ">"
		}
		if name == "a" {
			links++
			name = fmt.Sprintf("a href=https://x.example/%d", links)
		}
		return "<" + name + ">" + inside + "</" + end + ">"
	}
	var inlines func(t *rapid.T, depth int) string
	inlines = func(t *rapid.T, depth int) string {
		var b strings.Builder
		for range rapid.IntRange(1, 5).Draw(t, "parts") {
			if depth > 0 && rapid.IntRange(0, 2).Draw(t, "format") > 0 {
				b.WriteString(tag(rapid.SampledFrom(around).Draw(t, "tag"), inlines(t, depth-1)))
			} else {
				b.WriteString(rapid.SampledFrom(words).Draw(t, "words"))
			}
		}
		return b.String()
	}
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		links = 0
		for range rapid.IntRange(1, 3).Draw(t, "blocks") {
			b.WriteString(tag(rapid.SampledFrom(blocks).Draw(t, "block"), inlines(t, 4)))
		}
		return b.String()
	})
}

// A shown is a character with the formats that it has.
type shown struct {
	r       rune
	formats [Link]bool
}

// characters returns what nodes show but for spaces.
func characters(nodes []Node, formats [Link]bool) (all []shown) {
	for _, n := range nodes {
		inside := formats
		if n.Kind == Bold || n.Kind == Italic || n.Kind == Strike {
			inside[n.Kind] = true
		}
		for _, r := range n.Text {
			if !unicode.IsSpace(r) {
				all = append(all, shown{r, formats})
			}
		}
		all = append(all, characters(n.Children, inside)...)
	}
	return all
}

// What is written as Markdown has, for those who read it, the words that were
// there and nothing else, and each format that is not named as lost.
func TestMarkdownSaysTheSame(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		src := letter().Draw(r, "source")
		d, err := Read(src, HTML)
		if err != nil {
			r.Fatal(err)
		}
		out, err := d.Write(Markdown)
		if err != nil {
			r.Fatal(err)
		}
		back, err := Read(out, Markdown)
		if err != nil {
			r.Fatal(err)
		}
		if got, want := squeezed(words(back.Blocks), Markdown), squeezed(words(d.Blocks), Markdown); got != want {
			r.Fatalf("%q: became %q: says %q, want %q", src, out, got, want)
		}
		got, want := characters(back.Blocks, [Link]bool{}), characters(d.Blocks, [Link]bool{})
		if w := lostFormat(got, want, slices.Contains(d.Losses, EmphasisRemoved)); w != "" {
			r.Fatalf("%q: became %q: %s, lost %q", src, out, w, d.Losses)
		}
	})
}

// lostFormat complains of the first character that has other formats than are
// wanted; fewer are right when that is named.
func lostFormat(got, want []shown, named bool) string {
	for i := range want {
		for kind := Bold; kind < Link; kind++ {
			if has, had := got[i].formats[kind], want[i].formats[kind]; has != had && !(named && had) {
				return "the format of " + string(want[i].r) + " is another"
			}
		}
	}
	return ""
}

// X10: formats are written where CommonMark sees them (CommonMark 0.31, section
// 6.2), and named where it does not.
func TestMarkdownSeesItsFormats(t *testing.T) {
	for _, tc := range []struct {
		src, want string
		lost      bool
	}{
		{"<p>请看<b>「重要」</b>通知</p>", "请看「重要」通知", true},
		{"<p>请看 <b>「重要」</b>，通知</p>", "请看 **「重要」**，通知", false},
		{"John<b>(admin)</b>", `John(admin)`, true},
		{"John<b>admin</b>: x", `John**admin**: x`, false},
		{"price<i>$5</i>only", `price$5only`, true},
		{"a <b>b&nbsp;</b>c", "a **b**\u00A0c", false},
		{"a<b>&#x2003;b </b>c", "a\u2003**b** c", false},
		{"w<b>i</b>n<i>g</i>s", "w**i**n*g*s", false},
		{"w<b><i>x</i></b>y", "w***x***y", false},
		{"<b>a</b><i>b</i> <i>c</i>", "**a**b *c*", true},
		{"<i><b>a</b>b<b>c</b></i>", "***a**bc*", true},
		{"<b>a<s>b</s></b> c", "**a~~b~~** c", false},
		{"<i>x<s>~a</s></i>", `*x\~a*`, true},
		{"<a href=https://x.example>(<b>b)</b></a>", `[(**b)**](https://x.example)`, false},
		{"<b>+ a</b>x", `**+ a**x`, false},
		{"<p>+<b>.</b>x", `\+.x`, true},
		{"<p><b>- a.</b>x", `\- a.x`, true},
		{"<kbd>Ctrl</kbd><kbd>C</kbd>", "`CtrlC`", false},
		{"<code>a</code><b><code>b</code></b>c", "`ab`c", true},
		{"<p>Hello <b>Title<br></b></p><p>next</p>", "Hello **Title**\n\nnext", false},
		{"<ul><li><b>one<br></b><li><i><br>two <br></i></ul>", "- **one**\n- *two*", false},
		{"<b>a<br></b>b", "**a**\\\nb", false},
		{"<a href=https://x.example>a<br></a>", "[a](https://x.example)", false},
	} {
		got, losses, err := Convert(tc.src, HTML, Markdown)
		if err != nil || got != tc.want || slices.Contains(losses, EmphasisRemoved) != tc.lost {
			t.Errorf("%q: got %q, lost %q, %v, want %q", tc.src, got, losses, err, tc.want)
		}
	}
}
