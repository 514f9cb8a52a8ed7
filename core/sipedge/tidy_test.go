package sipedge

import (
	"bytes"
	"strings"
	"testing"
)

// S20 T01
func TestTidy(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"Via: SIP/2.0/UDP a;branch=b;rport", ""},
		{"Via: SIP/2.0/UDP a;rport=7;branch=b, SIP/2.0/TCP b;RPORT=1", "Via: SIP/2.0/UDP a;rport;branch=b,SIP/2.0/TCP b;RPORT"},
		{"v :  SIP  /  2.0 / UDP \t a ; branch = b", "v: SIP/2.0/UDP a;branch=b"},
		{"Via: SIP/2.0/UDP\r\n a;\r\n\tbranch=b", "Via: SIP/2.0/UDP a;branch=b"},
		{`From: "a ; b = \" , c" < sip:x@y ; z > ; tag = 1`, `From: "a ; b = \" , c" < sip:x@y ; z >;tag=1`},
		{"TO :\r\n sip:a@b ;   tag    = 1", "TO: sip:a@b;tag=1"},
		{"cseq: 0009\r\n  INVITE", "cseq: 0009 INVITE"},
		{"Subject: a ; b = c", ""},
		{"X-Route: a ; rport=7", ""},
		{"no colon ; at = all", ""},
	} {
		head := []byte("MESSAGE sip:a SIP/2.0\r\n" + tc.line + "\r\nX: y\r\n\r\n")
		want := string(head)
		if tc.want != "" {
			want = strings.Replace(want, tc.line, tc.want, 1)
		}
		if got := string(tidy(head)); got != want {
			t.Errorf("%q becomes %q; want %q", tc.line, got, want)
		}
	}
	response := []byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a ; rport=7\r\n\r\n")
	if got := tidy(response); !bytes.Equal(got, response) {
		t.Errorf("a response becomes %q", got)
	}
}

// FuzzTidy: nothing gets longer, no rport keeps a value, lines stay lines, and
// what is tidy stays as it is.
func FuzzTidy(f *testing.F) {
	f.Add([]byte("MESSAGE sip:a SIP/2.0\r\nVia: SIP / 2.0/UDP a;rport=1;x=\"\\\"\r\n ,\" ;rport=2\r\nX : y\r\n\r\n"))
	f.Add([]byte("MESSAGE sip:a SIP/2.0\r\n folded\r\nm:<sip:a> ,\t<sip:b>\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		head, _, ok := split(data)
		if !ok || flaw(head).code != 0 || hasSIP(head) {
			return
		}
		was := bytes.Clone(head)
		neat := tidy(head)
		if !bytes.Equal(was, head) {
			t.Fatal("it was changed in its place")
		}
		if len(neat) > len(head) || !bytes.HasSuffix(neat, endHead) || !bytes.ContainsRune(head, '"') && !bytes.Equal(tidy(neat), neat) {
			t.Errorf("%q becomes %q", head, neat)
		}
		if flaw(neat).code != 0 {
			t.Errorf("%q becomes %q, which has a flaw", head, neat)
		}
		for line := range bytes.SplitSeq(bytes.ToLower(neat), crlf) {
			if bytes.HasPrefix(line, []byte("via:")) && bytes.Contains(line, []byte(";rport=")) {
				t.Errorf("%q keeps the value of an rport", neat)
			}
		}
	})
}
