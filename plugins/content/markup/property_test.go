package markup

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// source draws text that is likely to mean something in a form.
func source(from Form) *rapid.Generator[string] {
	pieces := []string{"a", "word", " ", "  ", "\n", "\n\n", "é", "👍", "\u200B", "1. ", "- ", "* ", "> ", "# ", "`", "```", "*", "_", "~", "**", "~~", "|", "\\", "&",
		"<", ">", "\"", "'", "@here", "@room", "https://x.example/a_b?c=d&e", "https://x.example/~b_(c)", "www.x.org", "a@b.org", "javascript:", "\t", "    ", "=", "---", ":", "!", "(", ")", "[", "]", "\x00", "\u202E", "\xff"}
	switch from {
	case HTML, Matrix:
		pieces = append(pieces, "<b>", "</b>", "<i>", "<p>", "</p>", "<div>", "</div>", "<ul>", "<li>", "</ul>", "<ol start=7>", "</ol>", "<blockquote>", "</blockquote>", "<pre>", "</pre>",
			"<code>", "</code>", "<a href=https://x.example>", "<a href='javascript:x'>", "</a>", "<br>", "<table>", "<tr>", "<td>", "</table>", "<img src=https://x.example/i alt=x>", "<img src=mxc://a/b>", "<script>", "</script>", "<svg>", "<h2>", "</h2>",
			"<span data-mx-spoiler=r>", "</span>", "<mx-reply>", "</mx-reply>", "<a href='https://matrix.to/#/@a:b.c'>", "&lt;", "&amp;", "&#x202e;", "&nbsp;", "<hr>", "<del>")
	case Slack:
		pieces = append(pieces, "<@U123>", "<#C123|x>", "<!here>", "<https://x.example|y>", "&lt;", "&gt; ", "&amp;", ":tada:", "• ", "◦ ", "    • ", "*b*", "_i_", "~s~", "`c`")
	case Markdown:
		pieces = append(pieces, "[x](https://x.example)", "![x](https://x.example)", "[x](javascript:x)", "\n> ", "\n- ", "\n  - ", "\n1. ", "\n\n    code", "\n```\n", "| a | b |\n|---|---|\n", "<b>", "&lt;", "&#32;", "[x]: https://y.org\n")
	}
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(t, "pieces"), "")
	})
}

func TestOutputIsValidAndBounded(t *testing.T) {
	for _, from := range forms {
		t.Run(string(from), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				src := source(from).Draw(r, "source")
				for _, to := range forms {
					out, _, err := Convert(src, from, to)
					if err != nil {
						r.Fatal(err)
					}
					if w := wrong(to, out); w != "" {
						r.Fatalf("to %s: %q: became %q: %s", to, src, out, w)
					}
					if len(out) > Growth*len(src)+Spare {
						r.Fatalf("to %s: %q: %d bytes became %d", to, src, len(src), len(out))
					}
				}
			})
		})
	}
}

// Words that nobody formatted come back as they were, through every form.
func TestPlainTextComesBack(t *testing.T) {
	for _, through := range forms {
		t.Run(string(through), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				src := source(Plain).Draw(r, "source")
				plain, _, _ := Convert(src, Plain, Plain)
				out, _, err := Convert(src, Plain, through)
				if err != nil {
					r.Fatal(err)
				}
				back, _, err := Convert(out, through, Plain)
				if err != nil {
					r.Fatal(err)
				}
				want := plain
				if through == Slack || through == Markdown {
					want = addressed(r, plain, out)
				}
				if squeezed(back, through) != squeezed(want, through) {
					r.Fatalf("%q: became %q: came back as %q", plain, out, back)
				}
			})
		})
	}
}

// addressed returns words with the addresses in them as they are linked, and
// complains when one of them is not whole in out.
func addressed(t *rapid.T, words, out string) string {
	var b strings.Builder
	for at, url := range pieces(words) {
		if url == "" {
			b.WriteString(at)
			continue
		}
		b.WriteString(url)
		if !strings.Contains(out, "<"+url+">") && !strings.Contains(out, "<"+slackEscapes.Replace(url)+">") {
			t.Fatalf("%q: became %q: %q is not whole", words, out, url)
		}
	}
	return b.String()
}

// squeezed leaves out what a form has no place for: HTML and Markdown know one
// space only; in Slack empty lines are one, and numbers and bullets make lists.
func squeezed(s string, form Form) string {
	s = strings.ReplaceAll(s, gap, "")
	if form == Plain {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// What a writer wrote is read and written again as it is.
func TestWhatIsWrittenIsStable(t *testing.T) {
	for _, form := range []Form{HTML, Matrix} {
		t.Run(string(form), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				once, _, _ := Convert(source(form).Draw(r, "source"), form, form)
				twice, _, _ := Convert(once, form, form)
				thrice, _, _ := Convert(twice, form, form)
				if squeezed(twice, form) != squeezed(thrice, form) {
					r.Fatalf("%q became %q", twice, thrice)
				}
			})
		})
	}
}

func TestSizeIsLimited(t *testing.T) {
	for _, from := range forms {
		if _, _, err := Convert(strings.Repeat("a", MaxSize+1), from, Plain); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v", from, err)
		}
	}
	if _, _, err := Convert("a", "text/rtf", Plain); err == nil {
		t.Error("a form that nobody knows was read")
	}
	if _, _, err := Convert("a", Plain, "text/rtf"); err == nil {
		t.Error("a form that nobody knows was written")
	}
}

func fuzz(f *testing.F, from Form) {
	for _, v := range vectors {
		if v.from == from && len(v.src) < 1000 {
			f.Add(v.src)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 4096 {
			t.Skip()
		}
		check(t, from, src)
	})
}

func FuzzPlain(f *testing.F)    { fuzz(f, Plain) }
func FuzzMarkdown(f *testing.F) { fuzz(f, Markdown) }
func FuzzHTML(f *testing.F)     { fuzz(f, HTML) }
func FuzzMatrix(f *testing.F)   { fuzz(f, Matrix) }
func FuzzSlack(f *testing.F)    { fuzz(f, Slack) }

func BenchmarkConvert(b *testing.B) {
	short := "Hello, is anybody there? The door at <the back> is locked & I have no key."
	page := "<html><body>" + strings.Repeat(`<p>Some <b>words</b> of a <a href="https://example.org/a?b=1&amp;c=2">letter</a>, as mail has them.</p><ul><li>one<li>two</ul>`, 32) + "</body></html>"
	for _, c := range []struct {
		name     string
		from, to Form
		src      string
	}{
		{"plain to Matrix", Plain, Matrix, short},
		{"plain to Slack", Plain, Slack, short},
		{"plain 4 KiB to Matrix", Plain, Matrix, strings.Repeat(short+"\n", 54)},
		{"HTML 4 KiB to Markdown", HTML, Markdown, page},
		{"HTML 4 KiB to plain", HTML, Plain, page},
		{"Matrix to plain", Matrix, Plain, `Hi <a href="https://matrix.to/#/@bob:hs.org">Bob</a>, <strong>look</strong>: <em>here</em>`},
		{"Slack to plain", Slack, Plain, "Hi <@U123>, *look*: <https://x.example|here> :tada: &amp; more"},
		{"Markdown to Matrix", Markdown, Matrix, "Hi **Bob**, look [here](https://x.example):\n\n- a\n- b\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.src)))
			for b.Loop() {
				if _, _, err := Convert(c.src, c.from, c.to); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
