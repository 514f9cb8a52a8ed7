package email

import (
	"strings"
	"testing"
)

// TestAnswersAreTrimmed: E11. What is wanted stands above "====" in each case,
// below it what may go. A case without "====" stays as it is.
func TestAnswersAreTrimmed(t *testing.T) {
	for name, text := range map[string]string{
		"English":                      "Yes.\n\n====On Mon, 23 Nov 2026 at 10:00, Alice <alice@bridge.test> wrote:\n> Coming?\n>\n> Alice",
		"English, wrapped":             "Yes.\n\n====On Mon, 23 Nov 2026 at 10:00, Alice <alice+abcdefghijklmnop@bridge.test>\nwrote:\n\n> Coming?",
		"German":                       "Ja.\n\n====Am 23.11.2026 um 10:00 schrieb Alice:\n> Kommst du?",
		"French":                       "Oui.\n\n====Le lun. 23 nov. 2026 à 10:00, Alice <a@bridge.test> a écrit :\n> Tu viens ?",
		"Spanish":                      "Sí.\n\n====El lun, 23 nov 2026 a las 10:00, Alice (<a@bridge.test>) escribió:\n> ¿Vienes?",
		"Italian":                      "Sì.\n\n====Il giorno lun 23 nov 2026 alle ore 10:00 Alice <a@bridge.test> ha scritto:\n> Vieni?",
		"Dutch":                        "Ja.\n\n====Op ma 23 nov. 2026 om 10:00 schreef Alice <a@bridge.test>:\n> Kom je?",
		"Polish":                       "Tak.\n\n====pon., 23 lis 2026 o 10:00 Alice <a@bridge.test> napisał(a):\n> Idziesz?",
		"Russian":                      "Да.\n\n====пн, 23 нояб. 2026 г. в 10:00, Alice <a@bridge.test>:\n> Придёшь?",
		"Japanese":                     "はい。\n\n====2026年11月23日(月) 10:00 Alice <a@bridge.test>:\n> 来ますか",
		"Chinese":                      "好。\n\n====Alice <a@bridge.test> 于2026年11月23日周一 10:00写道：\n> 来吗",
		"nested quotes":                "Yes.\n\n====On 2026-11-23 10:00, Alice wrote:\n>> a\n> b",
		"signature":                    "Yes.\n====-- \nBob\nExample Ltd",
		"signature above the quote":    "Yes.\n====-- \nBob\n\nOn 2026-11-23 10:00, Alice wrote:\n> Coming?",
		"signature below the quote":    "Yes.\n\n====On 2026-11-23 10:00, Alice wrote:\n> Coming?\n\n-- \nBob",
		"inline answers":               "On 2026-11-23 10:00, Alice wrote:\n> Coming?\nYes.\n> And Carol?\nNo.",
		"bottom posting":               "On 2026-11-23 10:00, Alice wrote:\n> Coming?\n\nYes.",
		"inline, then a rest of quote": "On 2026-11-23 10:00, Alice wrote:\n> Coming?\nYes.\n> And Carol?",
		"only a quote":                 "On 2026-11-23 10:00, Alice wrote:\n> Coming?",
		"only a signature":             "-- \nBob",
		"a quote without introduction": "He said\n> no",
		"an introduction of one's own": "I say to this:\n> no",
		"a time in one's own words":    "Let's meet at 10:00, as they wrote:\n> come early",
		"a long signature":             "Yes.\n-- \n" + strings.Repeat("a line\n", 20) + "end",
		"dashes that are no signature": "Yes.\n--\nBob",
		"a list":                       "- one\n-- two\n- three",
		"a mail passed on":             "See below.\n\n---------- Forwarded message ---------\nFrom: Carol <c@example.com>\nDate: 2026-11-23 10:00\n\nhi",
		"angles in the text":           "a > b\n> c",
		"nothing":                      "",
		"blanks at the end":            "Yes.",
	} {
		t.Run(name, func(t *testing.T) {
			want, rest, cuts := strings.Cut(text, "====")
			short, cut := trim(strings.Replace(text, "====", "", 1))
			if cuts {
				want = strings.TrimRight(want, "\n")
			}
			if short != want || cut != cuts {
				t.Errorf("got %q, %v\nwant %q, %v (without %q)", short, cut, want, cuts, rest)
			}
		})
	}
}

// FuzzTrim: what is left is the beginning of what was there, never nothing.
func FuzzTrim(f *testing.F) {
	f.Add("Yes.\n\nOn 2026-11-23 10:00, Alice wrote:\n> Coming?\n-- \nBob")
	f.Add("-- \n-- \n> \n:")
	f.Add(">\r\n2026 10:00:\r\n>")
	f.Fuzz(func(t *testing.T, text string) {
		short, cut := trim(text)
		switch {
		case !strings.HasPrefix(text, short):
			t.Errorf("%q became %q", text, short)
		case strings.TrimSpace(text) != "" && strings.TrimSpace(short) == "":
			t.Errorf("%q was lost", text)
		case !cut && short != text:
			t.Errorf("%q became %q unsaid", text, short)
		}
	})
}
