package split

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"
)

const family = "👩‍👩‍👧‍👦"

// M13
func TestATextIsCutWhereItHurtsLeast(t *testing.T) {
	for _, tc := range []struct {
		name   string
		text   string
		budget int
		want   []string
	}{
		{"it fits", "hello", 5, []string{"hello"}},
		{"nothing", "", 5, []string{""}},
		{"between paragraphs", "One two. A.\n\nThree four.", 22, []string{"(1/2) One two. A.\n\n", "(2/2) Three four."}},
		{"between lines", "One two. A\nThree four.", 20, []string{"(1/2) One two. A\n", "(2/2) Three four."}},
		{"between sentences", "One two! Three four.", 19, []string{"(1/2) One two! ", "(2/2) Three four."}},
		{"between sentences without spaces", "日本語。日本語日本", 24, []string{"(1/2) 日本語。", "(2/2) 日本語日本"}},
		{"between words", "one two thre fours", 17, []string{"(1/2) one two ", "(2/2) thre fours"}},
		{"within a word", "abcdefghijklmno", 14, []string{"(1/2) abcdefgh", "(2/2) ijklmno"}},
		{"not within a family", "ab" + family + "cdefghijk", 33, []string{"(1/2) ab" + family, "(2/2) cdefghijk"}},
		{"within a character larger than a part", "e" + strings.Repeat("\u0301", 9), 17, []string{"(1/2) e" + strings.Repeat("\u0301", 5), "(2/2) " + strings.Repeat("\u0301", 4)}},
		{"not within a line end", "abcdefg\r\nxyzxyz", 14, []string{"(1/2) abcdefg", "(2/2) \r\nxyzxyz"}},
		{"a short paragraph is no reason", "a\n\nbcdefghijk lmnop", 18, []string{"(1/2) a\n\nbcdefghij", "(2/2) k lmnop"}},
	} {
		got, err := Numbered(tc.text, tc.budget)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q: got %q, want %q", tc.name, tc.text, got, tc.want)
		}
	}
}

func TestABudgetThatIsTooSmallIsRefused(t *testing.T) {
	for _, tc := range []struct {
		text   string
		budget int
	}{
		{"abcdefgh", 6}, {"abc", 0}, {"abc", -1}, {family + "abc", 9}, {strings.Repeat("a", 100_000), 14}, {strings.Repeat("ab", 10), 7},
	} {
		if got, err := Numbered(tc.text, tc.budget); !errors.Is(err, ErrTooSmall) {
			t.Errorf("%.20q in %d bytes: got %d parts, %v", tc.text, tc.budget, len(got), err)
		}
	}
}

func TestThePartsAreTheText(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"a", "word ", "A sentence. ", "\n", "\n\n", "\r\n", "é", "e\u0301\u0301", family, "🇩🇪🇫🇷🇮🇹", "日本語。", "한국어", strings.Repeat("x", 70), "\u200d", "\xff", "क्षि"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(pieces, 0, 200).Draw(t, "pieces"), "")
		budget := rapid.IntRange(0, 200).Draw(t, "budget")
		complain(t.Fatalf, text, budget)
	})
}

// complain checks all that is promised of a text in parts.
func complain(fail func(string, ...any), text string, budget int) {
	parts, err := Numbered(text, budget)
	if errors.Is(err, ErrTooSmall) {
		if budget > 100 && len(text) < 5000 && longestCluster(text) < 80 {
			fail("%q in %d bytes: %v", text, budget, err)
		}
		return
	}
	whole := ""
	bounds := clusters(text)
	huge := longestCluster(text) > budget-len("(9999/9999) ")
	for i, p := range parts {
		if len(p) > budget {
			fail("%q in %d bytes: part %q has %d", text, budget, p, len(p))
		}
		if utf8.ValidString(text) && !utf8.ValidString(p) {
			fail("%q in %d bytes: part %q is not UTF-8", text, budget, p)
		}
		if len(parts) > 1 {
			p = strings.TrimPrefix(p, Number(i+1, len(parts)))
		}
		whole += p
		if !bounds[len(whole)] && !huge {
			fail("%q in %d bytes: part %q ends within a character", text, budget, p)
		}
	}
	if whole != text {
		fail("%q in %d bytes: the parts are %q", text, budget, parts)
	}
}

// clusters returns where characters end.
func clusters(text string) map[int]bool {
	ends := map[int]bool{0: true}
	for g := uniseg.NewGraphemes(text); g.Next(); {
		_, to := g.Positions()
		ends[to] = true
	}
	return ends
}

func longestCluster(text string) (longest int) {
	for g := uniseg.NewGraphemes(text); g.Next(); {
		longest = max(longest, len(g.Str()))
	}
	return longest
}

func TestHardTextsAreQuick(t *testing.T) {
	for _, piece := range []string{"a", "\xff", "\u0301", "\u200d", family, "🇩🇪", "\n", " ", ". ", "é", "क्"} {
		begin := time.Now()
		text := strings.Repeat(piece, 1<<18/len(piece))
		for _, budget := range []int{8, 40, 1000, 100_000} {
			parts, err := Numbered(text, budget)
			if err == nil && len(parts) < 2 {
				t.Errorf("%q in %d bytes: %d parts", piece, budget, len(parts))
			}
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%q: took %v", piece, took)
		}
	}
}

func FuzzNumbered(f *testing.F) {
	f.Add("One. Two.\n\nThree "+family+" 🇩🇪🇫🇷", 20)
	f.Add(strings.Repeat("word ", 100), 40)
	f.Add("e\u0301\u0301\r\n\xff\u200d", 9)
	f.Fuzz(func(t *testing.T, text string, budget int) { complain(t.Fatalf, text, budget) })
}

func BenchmarkNumbered(b *testing.B) {
	for name, text := range map[string]string{"ascii": strings.Repeat("Some words of a sentence. ", 200), "mixed": strings.Repeat("Größe, 日本語 and "+family+". ", 80)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := Numbered(text, 900); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
