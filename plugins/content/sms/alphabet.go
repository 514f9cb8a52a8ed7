package sms

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"parley.im/plugins/content"
	"parley.im/plugins/content/text"
)

// An Alphabet is how the words of a message are coded.
type Alphabet uint8

// The alphabets (TS 23.038).
const (
	GSM    Alphabet = iota // the default alphabet of 7 bits, with its extension table
	Octets                 // 8-bit data
	UCS2                   // UTF-16 in big-endian order
)

// basic is the default alphabet (TS 23.038, section 6.2.1); 0x1B leads to the
// extension table.
var basic = []rune("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà")

// extension is what follows 0x1B (TS 23.038, section 6.2.1.1).
var extension = map[byte]rune{
	0x0A: '\n', 0x14: '^', 0x28: '{', 0x29: '}', 0x2F: '\\', 0x3C: '[', 0x3D: '~', 0x3E: ']', 0x40: '|', 0x65: '€',
}

const escape = 0x1B

// decode returns the words in an alphabet, clean.
func decode(a Alphabet, data []byte) (string, content.Losses) {
	var losses content.Losses
	var s string
	switch a {
	case GSM:
		s = fromGSM(data)
	case UCS2:
		s = fromUTF16(data)
		if strings.ContainsRune(s, utf8.RuneError) {
			losses.Add(Invalid)
		}
	default:
		if len(data) > 0 {
			losses.Add(Binary)
		}
		s = string(data)
		if !utf8.Valid(data) {
			s, _ = text.Decode(data, "iso-8859-1")
		}
	}
	return text.Clean(s), losses
}

// fromGSM reads septets, one a byte. What the extension table does not have is
// shown as the default alphabet has it, as the standard says.
func fromGSM(septets []byte) string {
	var b strings.Builder
	for i := 0; i < len(septets); i++ {
		c := septets[i] & 0x7F
		if c != escape {
			b.WriteRune(basic[c])
			continue
		}
		i++
		if i == len(septets) {
			break // half of a character, whose other half is in the next part
		}
		c = septets[i] & 0x7F
		switch r, known := extension[c]; {
		case known:
			b.WriteRune(r)
		case c == escape:
			b.WriteByte(' ')
		default:
			b.WriteRune(basic[c])
		}
	}
	return b.String()
}

// unpack returns n septets, one a byte (TS 23.038, section 6.1.2.1.1).
func unpack(packed []byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		at, shift := i*7/8, i*7%8
		v := uint16(packed[at]) >> shift
		if shift > 1 {
			v |= uint16(packed[at+1]) << (8 - shift)
		}
		out[i] = byte(v) & 0x7F
	}
	return out
}

// fromUTF16 reads pairs of octets; a last one without its pair is replaced.
func fromUTF16(data []byte) string {
	units := make([]uint16, 0, len(data)/2+1)
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, uint16(data[0])<<8|uint16(data[1]))
	}
	if len(data) == 1 {
		units = append(units, utf8.RuneError)
	}
	return string(utf16.Decode(units))
}

// Join returns the words of a message from its parts, which may come in any
// order and more than once, and whether all are there. A character that was cut
// between two parts is whole again. Parts of another reference than the first
// one's are passed over.
func Join(parts ...Message) (words string, complete bool) {
	if len(parts) == 0 || parts[0].Part.Of == 0 {
		if len(parts) == 0 {
			return "", false
		}
		return parts[0].Text, true
	}
	first := parts[0].Part
	found := make([]*Message, first.Of)
	for i, p := range parts {
		if p.Part.Reference == first.Reference && p.Part.Of == first.Of && p.Part.Number > 0 && int(p.Part.Number) <= len(found) && found[p.Part.Number-1] == nil {
			found[p.Part.Number-1] = &parts[i]
		}
	}
	var b strings.Builder
	complete = true
	var data []byte
	for i, p := range found {
		if p == nil {
			complete = false
			continue
		}
		data = append(data, p.Data...)
		if i+1 < len(found) && found[i+1] != nil && found[i+1].Alphabet == p.Alphabet {
			continue // a character may go on there
		}
		s, _ := decode(p.Alphabet, data)
		b.WriteString(s)
		data = nil
	}
	return b.String(), complete
}
