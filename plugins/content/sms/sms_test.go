package sms

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"parley.im/plugins/content"
	"parley.im/plugins/content/text"
)

// octets reads hexadecimal digits; spaces show where fields end.
func octets(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// A data is an RP-DATA, written field by field.
type data struct {
	toPhone bool
	tpdu    []byte
}

func (d data) bytes() []byte {
	head := octets("00 2A 00 07 91 19 71 94 79 00 F1")
	if d.toPhone {
		head = octets("01 2A 07 91 19 71 94 79 00 F1 00")
	}
	return append(append(head, byte(len(d.tpdu))), d.tpdu...)
}

// submit is an SMS-SUBMIT to +46708251358, without a validity period.
func submit(first, dcs byte, length int, ud []byte) []byte {
	return data{tpdu: append(append(octets("01 07 0B 91 64 07 28 15 53 F8 00"), dcs, byte(length)), ud...)}.first(first)
}

func (d data) first(o byte) []byte {
	d.tpdu[0] |= o
	return d.bytes()
}

// pack packs septets into octets bit by bit, behind a header of whole octets:
// the slow and plain way.
func pack(header, septets []byte) (ud []byte, length int) {
	bits := len(header) * 8
	for bits%7 != 0 {
		bits++
	}
	length = bits/7 + len(septets)
	ud = make([]byte, (length*7+7)/8)
	copy(ud, header)
	for _, s := range septets {
		for i := range 7 {
			if s>>i&1 != 0 {
				ud[bits/8] |= 1 << (bits % 8)
			}
			bits++
		}
	}
	return ud, length
}

// The PDUs of the first two are examples that are found all over the Web.
func TestMessagesOfPhonesAreRead(t *testing.T) {
	name, _ := pack(nil, []byte("Pesto"))
	concat8, n8 := pack(octets("05 00 03 CC 02 01"), []byte("hello"))
	concat16, n16 := pack(octets("06 08 04 12 34 03 02"), []byte("more"))
	for _, tc := range []struct {
		name string
		body []byte
		want Message
	}{
		{"a delivery", data{true, octets("04 0B 91 13 46 61 00 89 F6 00 00 20 80 62 91 73 14 08 0C C8F71D14969741F977FD07")}.bytes(),
			Message{Kind: Deliver, Reference: 0x2A, Center: "+91174997001", Peer: "+31641600986", Time: time.Date(2002, 8, 26, 19, 37, 41, 0, time.UTC), Text: "How are you?"}},
		{"a submission", data{false, octets("11 00 0B 91 64 07 28 15 53 F8 00 00 AA 0A E8329BFD4697D9EC37")}.bytes(),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Text: "hellohello"}},
		{"a report is wanted, absolute validity", data{false, octets("39 09 05 80 21 43 F5 00 08 20 80 62 91 73 14 80 02 20AC")}.bytes(),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "12345", Number: 9, Report: true, Text: "€"}},
		{"a part of two", submit(0x40, 0, n8, concat8),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "hello", Part: Part{0xCC, 1, 2}}},
		{"a part with a long reference", submit(0x40, 0, n16, concat16),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "more", Part: Part{0x1234, 2, 3}}},
		{"part 3 of 2 is none", submit(0x40, 8, 8, octets("05 00 03 CC 02 03 0041")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "A"}},
		{"UTF-16", submit(0, 8, 6, octets("D83D DE00 00E9")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "😀é"}},
		{"UTF-16 of an odd length", submit(0, 8, 3, octets("0041 D8")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "A\uFFFD", Losses: content.Losses{Invalid}}},
		{"8 bits", submit(0, 4, 2, octets("41 E9")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "Aé", Losses: content.Losses{Binary}}},
		{"a class that is 8 bits", submit(0, 0xF5, 2, octets("C3 A9")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "é", Losses: content.Losses{Binary}}},
		{"a message waits, UCS2", submit(0, 0xE0, 2, octets("0041")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "A"}},
		{"compressed", submit(0, 0x20, 2, octets("0041")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Losses: content.Losses{Compressed}}},
		{"controls", submit(0, 8, 8, octets("0041 0000 202E 0042")),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7, Text: "A\uFFFDB"}},
		{"nothing", submit(0, 0, 0, nil),
			Message{Kind: Submit, FromPhone: true, Reference: 0x2A, Center: "+91174997001", Peer: "+46708251358", Number: 7}},
		{"from a name, at a time that can't be", data{true, slices.Concat(octets("04 09 D0"), name, octets("00 00 FFFFFFFFFFFFFF 01 41"))}.bytes(),
			Message{Kind: Deliver, Reference: 0x2A, Center: "+91174997001", Peer: "Pesto", Text: "A"}},
		{"taken by the network", octets("03 2A 41 09 01 00 20806291731408"), Message{Kind: Accepted, Reference: 0x2A}},
		{"taken by a phone", octets("02 2A"), Message{Kind: Accepted, FromPhone: true, Reference: 0x2A}},
		{"refused by a phone", octets("04 2A 02 96 00"), Message{Kind: Refused, FromPhone: true, Reference: 0x2A, Cause: 22}},
		{"memory again", octets("06 2A"), Message{Kind: Ready, FromPhone: true, Reference: 0x2A}},
	} {
		got, err := Parse(tc.body)
		if err != nil {
			t.Errorf("%s: %X: %v", tc.name, tc.body, err)
			continue
		}
		if !got.Time.Equal(tc.want.Time) || !slices.Equal(got.Losses, tc.want.Losses) {
			t.Errorf("%s: got %v, lost %q, want %v, %q", tc.name, got.Time, got.Losses, tc.want.Time, tc.want.Losses)
		}
		g, w := got, tc.want
		g.Time, g.Losses, g.Alphabet, g.Data, w.Time, w.Losses = time.Time{}, nil, 0, nil, time.Time{}, nil
		if !equal(g, w) {
			t.Errorf("%s: got\n%+v, want\n%+v", tc.name, g, w)
		}
	}
}

func equal(a, b Message) bool {
	return a.Kind == b.Kind && a.FromPhone == b.FromPhone && a.Reference == b.Reference && a.Cause == b.Cause && a.Center == b.Center &&
		a.Peer == b.Peer && a.Number == b.Number && a.Report == b.Report && a.Text == b.Text && a.Part == b.Part
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	whole := data{true, octets("04 0B 91 13 46 61 00 89 F6 00 00 20 80 62 91 73 14 08 0C C8F71D14969741F977FD07")}.bytes()
	for n := range whole {
		if m, err := Parse(whole[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: got %+v, %v", n, m, err)
		}
	}
	for name, body := range map[string][]byte{
		"message type 7":            octets("07 00"),
		"a delivery from a phone":   data{false, octets("04 0B 91 13 46 61 00 89 F6 00 00 20 80 62 91 73 14 08 01 41")}.bytes(),
		"a submission to a phone":   data{true, octets("01 00 0B 91 64 07 28 15 53 F8 00 00 01 41")}.bytes(),
		"a command":                 data{false, octets("02 00 00 00 00 00 00")}.bytes(),
		"a long address":            data{false, octets("01 00 15 91 00000000000000000000F0 00 00 01 41")}.bytes(),
		"a header without an end":   submit(0x40, 0, 2, octets("05 00")),
		"a header and nothing else": submit(0x40, 0, 0, nil),
		"an error without a cause":  octets("05 00 00"),
	} {
		if m, err := Parse(body); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}

func TestMessagesAreAnswered(t *testing.T) {
	at := time.Date(2026, 11, 24, 10, 20, 30, 0, time.FixedZone("", -int(4.5*3600)))
	for _, tc := range []struct {
		got  []byte
		want string
	}{
		{Message{Kind: Submit, Reference: 0x2A}.Ack(at), "03 2A 41 09 01 00 62114201020389"},
		{Message{Kind: Deliver, Reference: 0x2A}.Ack(at), "02 2A 41 02 00 00"},
		{Message{Kind: Submit, Reference: 0x2A}.Refuse(Unassigned), "05 2A 01 01"},
		{Message{Kind: Deliver, Reference: 0x2A}.Refuse(Internal), "04 2A 01 6F"},
	} {
		if !bytes.Equal(tc.got, octets(tc.want)) {
			t.Errorf("got %X, want %s", tc.got, tc.want)
		}
		if m, err := Parse(tc.got); err != nil || m.Reference != 0x2A || m.Kind != Accepted && m.Kind != Refused {
			t.Errorf("%s: got %+v, %v", tc.want, m, err)
		}
	}
	if got := stamp(putStamp(at)); !got.Equal(at) {
		t.Errorf("%v became %v", at, got)
	}
}

func TestPartsAreJoined(t *testing.T) {
	part := func(a Alphabet, reference uint16, of, number byte, data string) Message {
		s, _ := decode(a, []byte(data))
		return Message{Part: Part{reference, number, of}, Alphabet: a, Data: []byte(data), Text: s}
	}
	for _, tc := range []struct {
		name  string
		parts []Message
		want  string
		all   bool
	}{
		{"none", nil, "", false},
		{"a whole message", []Message{{Text: "hi"}}, "hi", true},
		{"in any order", []Message{part(GSM, 1, 3, 3, "c"), part(GSM, 1, 3, 1, "a"), part(GSM, 1, 3, 2, "b")}, "abc", true},
		{"twice", []Message{part(GSM, 1, 2, 1, "a"), part(GSM, 1, 2, 1, "a"), part(GSM, 1, 2, 2, "b")}, "ab", true},
		{"one is missing", []Message{part(GSM, 1, 3, 1, "a"), part(GSM, 1, 3, 3, "c")}, "ac", false},
		{"one of another message", []Message{part(GSM, 1, 2, 1, "a"), part(GSM, 2, 2, 2, "x")}, "a", false},
		{"a cut pair", []Message{part(UCS2, 1, 2, 1, "\xd8\x3d"), part(UCS2, 1, 2, 2, "\xde\x00")}, "😀", true},
		{"a cut escape", []Message{part(GSM, 1, 2, 1, "a\x1b"), part(GSM, 1, 2, 2, "e")}, "a€", true},
		{"two alphabets", []Message{part(GSM, 1, 2, 1, "a"), part(UCS2, 1, 2, 2, "\x00b")}, "ab", true},
	} {
		if got, all := Join(tc.parts...); got != tc.want || all != tc.all {
			t.Errorf("%s: got %q, %v, want %q, %v", tc.name, got, all, tc.want, tc.all)
		}
	}
}

func TestTheDefaultAlphabetIsWhole(t *testing.T) {
	if len(basic) != 128 {
		t.Fatalf("%d characters", len(basic))
	}
	for c, want := range map[byte]rune{0x00: '@', 0x0D: '\r', 0x10: 'Δ', 0x1A: 'Ξ', 0x1F: 'É', 0x24: '¤', 0x40: '¡', 0x5A: 'Z', 0x5F: '§', 0x60: '¿', 0x7B: 'ä', 0x7F: 'à'} {
		if basic[c] != want {
			t.Errorf("0x%02X is %q, want %q", c, basic[c], want)
		}
	}
	if got := fromGSM([]byte("\x1b\x3c\x1b\x3e\x1b\x28\x1b\x29\x1b\x2f\x1b\x3d\x1b\x40\x1b\x14\x1b\x65\x1b\x61\x1b\x1b")); got != "[]{}\\~|^€a " {
		t.Errorf("the extension table gives %q", got)
	}
}

// What is packed bit by bit, behind headers of any length, is read again.
func TestTextsComeBack(t *testing.T) {
	var letters []rune
	for _, r := range basic {
		if r != '\x1b' && r != '\r' {
			letters = append(letters, r)
		}
	}
	for _, r := range extension {
		letters = append(letters, r)
	}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom(letters), 0, 60).Draw(t, "words")
		var septets []byte
		for _, r := range words {
			septets = append(septets, toGSM(r)...)
		}
		var header []byte
		first := byte(0)
		if n := rapid.IntRange(0, 20).Draw(t, "header"); n > 1 {
			header = append([]byte{byte(n), 0x70, byte(n - 2)}, make([]byte, n-2)...)
			first = 0x40
		}
		ud, length := pack(header, septets)
		got, err := Parse(submit(first, 0, length, ud))
		if err != nil || got.Text != string(words) {
			t.Fatalf("%q: got %q, %v", string(words), got.Text, err)
		}
		wide := utf16.Encode(words)
		ud = nil
		for _, u := range wide {
			ud = append(ud, byte(u>>8), byte(u))
		}
		if got, err = Parse(submit(0, 8, len(ud), ud)); err != nil || got.Text != string(words) {
			t.Fatalf("%q as UCS2: got %q, %v", string(words), got.Text, err)
		}
	})
}

func toGSM(r rune) []byte {
	if i := slices.Index(basic, r); i >= 0 {
		return []byte{byte(i)}
	}
	for c, e := range extension {
		if e == r {
			return []byte{escape, c}
		}
	}
	panic(r)
}

func FuzzParse(f *testing.F) {
	f.Add(data{true, octets("04 0B 91 13 46 61 00 89 F6 00 00 20 80 62 91 73 14 08 0C C8F71D14969741F977FD07")}.bytes())
	f.Add(data{false, octets("11 00 0B 91 64 07 28 15 53 F8 00 00 AA 0A E8329BFD4697D9EC37")}.bytes())
	f.Add(submit(0x40, 8, 8, octets("05 00 03 CC 02 03 0041")))
	f.Add(octets("04 2A 02 96 00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Parse(body)
		if err != nil {
			return
		}
		if !utf8.ValidString(m.Text) || text.Clean(m.Text) != m.Text || text.Clean(m.Peer) != m.Peer || len(m.Text) > 4*len(body)+8 {
			t.Errorf("%X: got %+v", body, m)
		}
		if joined, _ := Join(m, m); m.Part.Of == 0 && joined != m.Text {
			t.Errorf("%X: joined %q", body, joined)
		}
		m.Ack(m.Time)
	})
}

func BenchmarkParse(b *testing.B) {
	body := data{true, octets("04 0B 91 13 46 61 00 89 F6 00 00 20 80 62 91 73 14 08 0C C8F71D14969741F977FD07")}.bytes()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
