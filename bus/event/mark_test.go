package event

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestAMarkIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Mark{ID: InboundID("web", rapid.String().Draw(t, "native")), Hops: rapid.IntRange(0, 99).Draw(t, "hops")}
		for range rapid.IntRange(0, maxSeen).Draw(t, "places") {
			m.Seen = append(m.Seen, PlaceToken(Address(rapid.String().Draw(t, "place"))))
		}
		got, ok := ParseMark(m.String())
		if !ok || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v was read as %+v, %v", m, got, ok)
		}
	})
}

func TestAMarkWithTooManyPlacesKeepsTheNewest(t *testing.T) {
	m := Mark{ID: InboundID("web", "1"), Hops: 3}
	for i := range maxSeen + 5 {
		m.Seen = append(m.Seen, PlaceToken(Address(rune('a'+i))))
	}
	got, ok := ParseMark(m.String())
	if !ok || len(got.Seen) != maxSeen || got.Seen[maxSeen-1] != m.Seen[len(m.Seen)-1] {
		t.Errorf("%+v was read as %+v, %v", m, got, ok)
	}
}

func FuzzParseMark(f *testing.F) {
	f.Add(Mark{ID: InboundID("web", "1"), Hops: 15, Seen: []string{PlaceToken("web:room/lobby")}}.String())
	f.Add(";;")
	f.Add("x;1;a..b")
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := ParseMark(s)
		if !ok {
			return
		}
		again, ok := ParseMark(m.String())
		if !ok || !reflect.DeepEqual(again, m) {
			t.Errorf("%q is %+v, written and read again %+v, %v", s, m, again, ok)
		}
	})
}
