package text

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"

	"parley.im/plugins/content"
)

// marks are the byte order marks, those first that begin like another. A mark
// tells more than a label does.
var marks = []struct {
	mark string
	enc  encoding.Encoding
}{
	{"\xEF\xBB\xBF", nil},
	{"\xFF\xFE\x00\x00", utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)},
	{"\x00\x00\xFE\xFF", utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)},
	{"\xFF\xFE", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)},
	{"\xFE\xFF", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)},
}

// Decode returns data as valid UTF-8. The label is a charset parameter; ""
// means UTF-8. A byte order mark wins over the label and is left out. With a
// label that nobody knows, or that is wrong for sure, data is read as UTF-8.
// Without a label, and with that of US-ASCII, bytes that are no UTF-8 at all
// are taken for Windows-1252, as most are.
func Decode(data []byte, label string) (string, content.Losses) {
	var losses content.Losses
	for _, m := range marks {
		if rest, ok := bytes.CutPrefix(data, []byte(m.mark)); ok {
			return decode(rest, m.enc, &losses), losses
		}
	}
	enc, known := lookup(label)
	if !known {
		losses.Add(UnknownCharset)
	}
	switch high := hasHigh(data); {
	case (enc == ascii || label == "") && high && !hasUTF8(data):
		losses.Add(GuessedCharset)
		enc = charmap.Windows1252
	case enc == ascii && high:
		losses.Add(WrongCharset)
		enc = nil
	case enc == ascii:
		enc = nil
	}
	return decode(data, enc, &losses), losses
}

// hasUTF8 tells whether there is a character of several bytes.
func hasUTF8(data []byte) bool {
	for len(data) > 0 {
		_, size := utf8.DecodeRune(data)
		if size > 1 {
			return true
		}
		data = data[size:]
	}
	return false
}

// decode reads data in enc, nil for UTF-8.
func decode(data []byte, enc encoding.Encoding, losses *content.Losses) string {
	s := string(data)
	if enc != nil {
		if out, err := enc.NewDecoder().Bytes(data); err == nil {
			s = string(out)
		} else {
			losses.Add(WrongCharset)
		}
		if strings.ContainsRune(s, utf8.RuneError) {
			losses.Add(InvalidBytes)
		}
	}
	if !utf8.ValidString(s) {
		losses.Add(InvalidBytes)
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	return s
}

// ascii stands for US-ASCII, which says nothing about bytes above 0x7F.
var ascii encoding.Encoding = &charmap.Charmap{}

// lookup returns the encoding that a label names, nil for UTF-8, and whether
// the label is known. Names of the Web come first, for they are used most
// loosely; then those of IANA.
func lookup(label string) (encoding.Encoding, bool) {
	label = strings.ToLower(strings.TrimSpace(label))
	switch label {
	case "", "utf-8", "utf8":
		return nil, true
	case "us-ascii", "ascii":
		return ascii, true
	case "cp932", "ms932":
		return japanese.ShiftJIS, true
	case "utf-16", "ucs-2", "iso-10646-ucs-2":
		// RFC 2781, section 4.3: without a mark it is big-endian.
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), true
	case "utf-32":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), true
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), true
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM), true
	}
	// The Web replaces a text in some dangerous charsets by one U+FFFD.
	if enc, name := charset.Lookup(label); enc != nil && name != "replacement" {
		if name == "utf-8" {
			return nil, true
		}
		return enc, true
	}
	if enc, err := ianaindex.MIME.Encoding(label); err == nil && enc != nil {
		return enc, true
	}
	return nil, false
}

func hasHigh(data []byte) bool {
	for _, b := range data {
		if b >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
