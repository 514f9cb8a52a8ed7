package markup

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// hardPieces cost simple converters minutes, or their stack, when there are
// many of one.
var hardPieces = []string{"<", ">", "> ", "- ", "* ", "*", "_", "**a", "*a ", "a*", "[", "[](", "![", "`", "` ``", "~", "~~a", "<b>", "<div>", "<a>", "</b>", "<table>", "<ul><li>", "<blockquote>",
	"<p><b>", "<!--", "&", "&amp;", "&gt;", "<@", "<@U1>", ":a", ":tada:", "• a\n", "1. a\n", "  - a\n", "@here ", "https://", "https://a ", "http://(", "://", "\\", "|", "a|b\n", "\n", "\n\n", " ", "\t", "\x00", "#\n",
	"[a]: b\n", "<a href=https://x.y>z", "<pre>", "<font>", "<td>", "&#", "www.", "a@b.c ", "<?", "<![CDATA[", "[^a]", "\"", "é", "\u202E", "```", "    a\n", "===\n", "---\n", ">>>", "<code>", "`*_~", "*_~a"}

// hardPairs are heads that have a short piece behind them mean much: the width
// of a table for each of its rows, what is open for each block, an address for
// each use of it.
var hardPairs = []struct {
	from          Form
	heads, pieces []string
}{
	{Markdown, []string{
		table(20), table(200), table(800), "> " + strings.ReplaceAll(table(800), "\n", "\n> "), strings.Repeat(table(60)+strings.Repeat("a\n", 60)+"\n", 40),
	}, []string{"a\n", "a\n+\n", "||||\n", "|`\\|`\n", table(10) + "a\na\na\n\n"}},
	{Markdown, []string{
		"[a]: " + longURL + "\n\n", "[a]: " + longURL + "/?" + strings.Repeat("&", 1000) + "\n\n", "[a]: <" + longURL + "> '" + strings.Repeat("b", 4000) + "'\n\n",
	}, []string{"[a]\n\n", "[a]\n", "[a]", "![a]\n\n", "- [a]\n", "> # [a]\n", "[b.com][a]\n\n", "[https://b.com][a]\n\n"}},
	{Markdown, []string{
		strings.Repeat("1. ", 6) + "```\n", strings.Repeat("1. ", 255) + "a\n", strings.Repeat("- ", 255) + "a\n", strings.Repeat("> ", 12), strings.Repeat("\\``` ", 200), strings.Repeat("<!-- ", 900),
		strings.Repeat("[a](b \"", 900), strings.Repeat("[a][", 500), strings.Repeat("![", 900), strings.Repeat("[a]: b\n\"", 900), strings.Repeat("[a]: b\n", 1000), indented(120),
	}, []string{"\n", "a\n", "\"\n", "a", " \n", "](b)", "+\n:a", ">\n"}},
	{HTML, []string{
		"<p>" + numbered("<b %d>", 480), numbered("<a %d>", 480), numbered("<html a%d>", 480), numbered("<body a%d>", 480), "<p " + numbered("a%d ", 2000) + ">", strings.Repeat("<b><i><u><s><a><code><font>", 60),
		strings.Repeat("<table><tr><td>", 160), strings.Repeat("<ul><li>", 240), numbered("<b %d><table><tr><td></b></table>", 300), strings.Repeat("<blockquote>", 12), strings.Repeat("<ol start=999999><li>", 6) + "<pre>",
	}, []string{"<p>x", "<div>x</div>", "<li>x", "<td>x", "</p>x", "</b>", "<a>x", "<html a b>", "\n", "a\n", "<h1>x</h1>", "x<br>"}},
	{HTML, []string{
		"<a href=" + longURL + ">", "<a href=" + longURL + "><b><i><s><code>", "<a href=" + longURL + ">" + strings.Repeat("<blockquote>", 12), "<a href='" + longURL + "/?" + strings.Repeat("&", 1000) + "'>",
	}, []string{"x<p>", "x<div>", "<li>x", "<td>x", "a.com<p>", "https://a.com<p>", "<h1>x</h1>", "<b>x<i>y</b>z</i><p>"}},
	{Matrix, []string{
		"<span data-mx-spoiler=" + strings.Repeat("a", 4000) + ">", "<a href=https://matrix.to/#/@" + strings.Repeat("a", 200) + ":b>",
	}, []string{"x<p>", "x<br>", "<li>x", "<a href=https://matrix.to/#/@a:b>"}},
	{Slack, []string{"&gt;&gt;&gt;", "*", "```", "<" + longURL + "|"}, []string{"\n", "a\n", "\"\n", "*a_", "<@U1>", "• a\n"}},
	{Plain, []string{"https://x.example/" + strings.Repeat("(", 9), longURL}, []string{"\n", "(://", "http://(", "_", "\"\n"}},
}

var longURL = "https://x.example/" + strings.Repeat("a", 4000)

func table(columns int) string {
	return strings.Repeat("|a", columns) + "\n" + strings.Repeat("|-", columns) + "\n"
}

// numbered returns n pieces of which no two are the same.
func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// indented returns a list in a list, and so on.
func indented(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat("  ", i) + "- a\n")
	}
	return b.String()
}

// maxMemory is how many times the bytes of a source a conversion may take of
// memory, altogether and whatever the source is. None takes half of that
// without the race detector, which makes pools forget what they hold.
const maxMemory = 4000

// allocated returns how many bytes of memory f takes.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// frugal complains of a source that takes much memory or becomes too large.
func frugal(t *testing.T, from Form, src string) {
	t.Helper()
	var d *Doc
	read := allocated(func() { d, _ = Read(src, from) })
	for _, to := range forms {
		var out string
		written := allocated(func() { out, _ = d.Write(to) })
		if read+written > maxMemory*len(src) || len(out) > Growth*len(src)+Spare {
			t.Errorf("%s to %s: %.40q: %d bytes became %d and took %d and %d", from, to, src, len(src), len(out), read, written)
		}
	}
}

func TestHardSourcesAreQuick(t *testing.T) {
	for _, from := range forms {
		for _, piece := range hardPieces {
			src := strings.Repeat(piece, 16<<10/len(piece))
			begin := time.Now()
			check(t, from, src)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("%s: %q: took %v", from, piece, took)
			}
			frugal(t, from, src)
		}
	}
}

// What two or three pieces make together takes no more than what one makes.
func TestProductsTakeLittleMemory(t *testing.T) {
	const size = 32 << 10
	for _, p := range hardPairs {
		for _, head := range p.heads {
			for _, piece := range p.pieces {
				frugal(t, p.from, head+strings.Repeat(piece, max(1, (size-len(head))/len(piece))))
			}
		}
	}
}

// The largest sources that a reader without limits would compare with
// themselves for many seconds.
func TestLargeMarkdownIsReadQuickly(t *testing.T) {
	for _, piece := range []string{"*a_\n", "[\n", "*a_", "> > > ", "> *a_\n", "*a_*a_\n+\n"} {
		begin := time.Now()
		d, err := Read(strings.Repeat(piece, MaxSize/len(piece)), Markdown)
		if took := time.Since(begin); err != nil || took > 5*time.Second || !slices.Contains(d.Losses, StructureRemoved) {
			t.Errorf("%q: took %v, lost %q, %v", piece, took, d.Losses, err)
		}
	}
}

// Tables, lists and code of the size that people write are read as such.
func TestLargeDocumentsKeepTheirStructure(t *testing.T) {
	for _, src := range []string{
		strings.Repeat("|a", 20) + "\n" + strings.Repeat("|-", 20) + "\n" + strings.Repeat(strings.Repeat("|a", 20)+"\n", 200),
		strings.Repeat("- `code` and [a link](https://x.example/a/b/c)\n", 200),
		strings.Repeat("- a\n  - b\n\n    c\n\n    ```\n    d\n\n    e\n    ```\n\n", 500),
		strings.Repeat("a | b | c | d\nok\nok\nok\n", 50),
		numbered("[a][%[1]d]\n\n[%[1]d]: https://x.example/%[1]d\n\n", 300),
	} {
		if d, err := Read(src, Markdown); err != nil || slices.Contains(d.Losses, StructureRemoved) || len(d.Losses) > 1 {
			t.Errorf("%.40q: lost %q, %v", src, d.Losses, err)
		}
	}
}
