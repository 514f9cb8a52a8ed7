package web

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley.im/bus/event"
)

// However many react, with names as long as can be, the message can be stored.
func TestReactionsAreBounded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		who   string
		html  int
		least int
	}{
		{"people with short names", "web:u/p", 0, maxReactions},
		{"people with long names", "x:" + strings.Repeat("\"", 1000), 0, 4},
		{"a long message", "web:u/p", 13_000, 4},
	} {
		m := &message{Conv: "r:lobby", Text: strings.Repeat("x", maxText), HTML: strings.Repeat("\"", tc.html)}
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			var next *message
			if next, err = m.reacted(reaction{Emoji: "👍", From: event.Address(fmt.Sprint(tc.who, n)), Name: "somebody", ID: fmt.Sprint(n)}); err == nil {
				m = next
			}
		}
		if !errors.Is(err, errReactions) || len(m.Reactions) < tc.least || len(m.Reactions) > maxReactions || len(m.encode()) > maxMessage {
			t.Errorf("%s: %d reactions in %d bytes, %v", tc.name, len(m.Reactions), len(m.encode()), err)
		}
	}
}

func FuzzEmoji(f *testing.F) {
	for _, s := range []string{"👍", " 👩‍❤️‍💋‍👨 ", "\u202e\x00", "\xff", strings.Repeat("é", 100), ":party_parrot:", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := emoji(s)
		if len(got) > maxEmoji || emoji(got) != got || clean(got, false) != got {
			t.Errorf("%q became %q, then %q", s, got, emoji(got))
		}
	})
}

func FuzzChangeID(f *testing.F) {
	for _, s := range []string{"", "/", "//", changeID("r:lobby", 1, 2), nativeID("r:lobby", 1), changeID("x", 0, 0) + "/", "a/b/00000000000000000001/00000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		conv, seq, rev, err := readChangeID(s)
		if err == nil && changeID(conv, seq, rev) != s {
			t.Errorf("%q came back as %q", s, changeID(conv, seq, rev))
		}
		if _, _, e := readNativeID(s); err == nil && e == nil {
			t.Errorf("%q is a change and a message", s)
		}
	})
}
