package text

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"parley.im/plugins/content"
)

// C10
func TestAnyCharsetIsReadAsUTF8(t *testing.T) {
	for _, tc := range []struct {
		name, kind, body, want string
		losses                 content.Losses
	}{
		{"no label", "text/plain", "grüß", "grüß", nil},
		{"no type at all", "", "grüß", "grüß", nil},
		{"Latin-1", "text/plain; charset=iso-8859-1", "gr\xfc\xdf", "grüß", nil},
		{"Latin-1 that is Windows", "text/plain; charset=ISO-8859-1", "5 \x80", "5 €", nil},
		{"quoted label", `text/plain; charset="Windows-1251"`, "\xcf\xf0\xe8", "При", nil},
		{"UTF-16 without a mark", "text/plain; charset=utf-16", "\x00h\x00i", "hi", nil},
		{"UTF-16 with a mark", "text/plain; charset=utf-16", "\xff\xfeh\x00i\x00", "hi", nil},
		{"UTF-16LE", "text/plain; charset=utf-16le", "=\xd8\x00\xde", "😀", nil},
		{"UTF-16 cut within a pair", "text/plain; charset=utf-16be", "\x00a\xd8\x3d", "a\uFFFD", content.Losses{InvalidBytes}},
		{"UTF-16 of an odd length", "text/plain; charset=utf-16be", "\x00a\x00", "a\uFFFD", content.Losses{InvalidBytes}},
		{"UTF-32 with a mark", "text/plain", "\xff\xfe\x00\x00h\x00\x00\x00", "h", nil},
		{"UTF-32BE", "text/plain; charset=utf-32be", "\x00\x01\xf6\x00", "😀", nil},
		{"UTF-8 with a mark", "text/plain; charset=iso-8859-1", "\xef\xbb\xbfgrüß", "grüß", nil},
		{"Shift JIS", "text/plain; charset=shift_jis", "\x93\xfa\x96\x7b", "日本", nil},
		{"GB 18030", "text/plain; charset=gb18030", "\xc4\xe3\xba\xc3", "你好", nil},
		{"EUC-KR", "text/plain; charset=euc-kr", "\xc7\xd1", "한", nil},
		{"KOI8-R", "text/plain; charset=koi8-r", "\xf0\xd2\xc9", "При", nil},
		{"ISO-2022-JP", "text/plain; charset=iso-2022-jp", "\x1b$BF|K\\\x1b(B", "日本", nil},
		{"HZ, which the Web drops", "text/plain; charset=hz-gb-2312", "~{Dc:C~}", "你好", nil},
		{"ASCII that is UTF-8", "text/plain; charset=us-ascii", "grüß", "grüß", content.Losses{WrongCharset}},
		{"ASCII that is neither", "text/plain; charset=us-ascii", "gr\xfc\xdf", "grüß", content.Losses{GuessedCharset}},
		{"no label, and not UTF-8", "text/plain", "gr\xfc\xdf", "grüß", content.Losses{GuessedCharset}},
		{"no label, and UTF-8 that is broken", "text/plain", "grü\xc3", "grü\uFFFD", content.Losses{InvalidBytes}},
		{"Windows' Shift JIS", "text/plain; charset=cp932", "\x93\xfa", "日", nil},
		{"a parameter that is written wrongly", "text/plain; charset=iso-8859-1; name=my file.txt", "gr\xfc\xdf", "grüß", nil},
		{"unknown label", "text/plain; charset=klingon", "grüß", "grüß", content.Losses{UnknownCharset}},
		{"unknown label and bytes", "text/plain; charset=x-unknown", "gr\xfc.", "gr\uFFFD.", content.Losses{UnknownCharset, InvalidBytes}},
		{"bytes that are not UTF-8", "text/plain; charset=utf-8", "a\xc3(b", "a\uFFFD(b", content.Losses{InvalidBytes}},
		{"a type that can't be read", "text/plain; charset", "hi", "hi", nil},
		{"controls", "text/plain", "a\x1b[31m\x00b", "a\uFFFD[31m\uFFFDb", content.Losses{Controls}},
		{"flowed", "text/plain; format=flowed", "one \r\ntwo\r\n", "one two\n", nil},
		{"flowed in Latin-1", "text/plain; charset=iso-8859-1; format=Flowed; DelSp=Yes", "gr\xfc \r\n\xdfe", "grüße", nil},
		{"flowed is for plain text only", "text/markdown; format=flowed", "one \ntwo", "one \ntwo", nil},
	} {
		got, losses := Read(tc.kind, []byte(tc.body))
		if got != tc.want || !slices.Equal(losses, tc.losses) {
			t.Errorf("%s: %q as %q: got %q, lost %q; want %q, %q", tc.name, tc.body, tc.kind, got, losses, tc.want, tc.losses)
		}
	}
}

func TestCleanTextOnlyStandsForItself(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"a\tb\nc":              "a\tb\nc",
		"a\r\nb\rc":            "a\nb\nc",
		"a\r\r\nb":             "a\n\nb",
		"a\fb\vc\u0085d":       "a\nb\nc\nd",
		"a\u2028b\u2029c":      "a\nb\nc",
		"\x07\x7f\u009b":       "\uFFFD\uFFFD\uFFFD",
		"\xff":                 "\uFFFD",
		"invoice\u202Efdp.exe": "invoicefdp.exe",
		"\u2066a\u2069\u202Ab": "ab",
		"של\u200Fום, e\u0301 👩‍👩‍👧": "של\u200Fום, e\u0301 👩‍👩‍👧",
		"a\r": "a\n",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { Clean("clean, größtenteils") }); n != 0 {
		t.Errorf("clean text was copied: %v allocations", n)
	}
}

// E12; the examples are those of RFC 3676, sections 4.2 to 5.
func TestFlowedLinesAreJoined(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		delsp    bool
		want     string
	}{
		{"two lines", "one \ntwo", false, "one two"},
		{"a hard end", "one\ntwo \nthree", false, "one\ntwo three"},
		{"stuffing", "  indented\n >no quote\n From here", false, " indented\n>no quote\nFrom here"},
		{"delsp", "Wort \nteil", true, "Wortteil"},
		{"delsp keeps one of two spaces", "one  \ntwo", true, "one two"},
		{"quotes", ">> deep \n>> on\n> up", false, ">> deep on\n> up"},
		{"a quote that flows into another depth", "> one \n>> two", false, "> one \n>> two"},
		{"signature", "text \n-- \nme", false, "text \n-- \nme"},
		{"quoted signature", "> text \n> -- \n> me", false, "> text \n> -- \n> me"},
		{"empty quoted line", ">\n> a", false, ">\n> a"},
		{"the end flows nowhere", "one ", false, "one "},
	} {
		if got := Unflow(tc.in, tc.delsp); got != tc.want {
			t.Errorf("%s: %q: got %q, want %q", tc.name, tc.in, got, tc.want)
		}
	}
}

func TestLongLinesFlow(t *testing.T) {
	long := strings.Repeat("word ", 30) + "end"
	for line := range strings.SplitSeq(Flow("From me\n> "+long+"\n"+long, false), "\n") {
		if len(line) > 78 || strings.HasPrefix(line, "From ") {
			t.Errorf("%q", line)
		}
	}
	for line := range strings.SplitSeq(Flow(strings.Repeat("日本", 100), true), "\n") {
		if utf8.RuneCountInString(line) > 78 || !utf8.ValidString(line) {
			t.Errorf("%q", line)
		}
	}
}

func TestFlowAndBackIsTheSameText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"a", "word", " ", "  ", "\n", "\n\n", "From ", "--", "-- ", "é", "👩‍👩‍👧", "日本語", strings.Repeat("x", 90), ".", "a>b", "\n\n-- \n"})
		s := strings.Join(rapid.SliceOf(words).Draw(t, "words"), "")
		delsp := rapid.Bool().Draw(t, "delsp")
		want := withoutTrailing(s)
		if got := Unflow(Flow(s, delsp), delsp); got != want {
			t.Fatalf("%q, delsp %v: %q: got %q", want, delsp, Flow(s, delsp), got)
		}
	})
}

// withoutTrailing is what Flow keeps of a text: no spaces at the end of lines
// but in the line above a signature.
func withoutTrailing(s string) string {
	all := strings.Split(s, "\n")
	for i, line := range all {
		if line != signature {
			all[i] = strings.TrimRight(line, " ")
		}
	}
	return strings.Join(all, "\n")
}

func FuzzRead(f *testing.F) {
	for _, kind := range []string{"", "text/plain;charset=utf-16", "text/plain;charset=iso-2022-jp", "text/plain;format=flowed;delsp=yes", "text/plain;charset=gb18030"} {
		for _, body := range []string{"hello \r\n> world", "\xff\xfeh\x00", "a\x00\u202Eb\xff", "\x1b$BF|K\\\x1b(B"} {
			f.Add(kind, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		s, _ := Read(kind, body)
		if !utf8.ValidString(s) || Clean(s) != s || strings.ContainsFunc(s, isControl) {
			t.Errorf("%q: not clean: %q", body, s)
		}
		if len(s) > 4*len(body)+8 {
			t.Errorf("%d bytes became %d", len(body), len(s))
		}
		if s == "" && len(body) > 4 && !strings.ContainsFunc(string(body), func(r rune) bool { return isTurn(r) || r < ' ' || r >= 0x7f }) && kind == "" {
			t.Errorf("%q was lost", body)
		}
	})
}

func FuzzFlow(f *testing.F) {
	f.Add("> quoted \n> text\n-- \nme", false)
	f.Add(strings.Repeat("日本 ", 50), true)
	f.Fuzz(func(t *testing.T, s string, delsp bool) {
		s = Unflow(Flow(s, delsp), delsp)
		if again := Unflow(Flow(s, delsp), delsp); again != s {
			t.Errorf("%q became %q", s, again)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	body := []byte(strings.Repeat("Some words of a message, and a line end.\r\n", 25))
	for _, kind := range []string{"text/plain;charset=utf-8", "text/plain;charset=iso-8859-1", "text/plain;charset=utf-8;format=flowed"} {
		b.Run(kind[11:], func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				Read(kind, body)
			}
		})
	}
}
