package mapping

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		name, encoding, body, want string
		whole                      bool
	}{
		{"none", "8bit", "a=3D\xff", "a=3D\xff", true},
		{"quoted-printable", "Quoted-Printable", "gr=C3=BC=\r\n=C3=9F \t\r\n100=% =zz", "grüß\r\n100=% =zz", true},
		{"controls in quoted-printable", "quoted-printable", "first\x0c second\r\nthird\x7f", "first\x0c second\r\nthird\x7f", true},
		{"a long line of quoted-printable", "quoted-printable", strings.Repeat("word=20", 2000) + "END", strings.Repeat("word ", 2000) + "END", true},
		{"soft ends and blanks", "quoted-printable", "a= \t\r\nb \t\nc=", "ab\nc", true},
		{"base64 in very many blocks", "base64", strings.Repeat("AA==", 1<<18), strings.Repeat("\x00", 1<<18), true},
		{"base64", " base64", "aGVs\r\n bG8=\r\n", "hello", true},
		{"base64 without padding", "base64", "aGVsbG8gd29ybGQ", "hello world", true},
		{"base64 in two blocks", "base64", "aGVsbG8gdw==\r\nb3JsZA==\r\n", "hello world", true},
		{"base64 with what is no letter", "base64", "aGVs*bG8-=", "hello", true},
		{"nothing of base64", "base64", "***", "", false},
		{"half a byte", "base64", "aGVsbG8gd29yb", "hello wor", false},
		{"base64 with a list's words", "base64", "aGVsbG8=\r\n____\r\nTo leave: see below\r\n", "hello\r\n____\r\nTo leave: see below\r\n", false},
	} {
		if got, whole := Decode(tc.encoding, []byte(tc.body)); string(got) != tc.want || whole != tc.whole {
			t.Errorf("%s: %.200q, %v; want %.200q, %v", tc.name, got, whole, tc.want, tc.whole)
		}
	}
}
