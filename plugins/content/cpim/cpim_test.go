package cpim

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func lines(s ...string) string { return strings.Join(s, "\r\n") }

func TestAMessageIsReadAndItsContentIsNotTouched(t *testing.T) {
	body := "line one\r\n\r\nline three \xff\x00\n"
	for name, sep := range map[string]string{"CRLF": "\r\n", "LF alone": "\n"} {
		text := strings.ReplaceAll(lines(
			`From: "Ann \u00e9" <sip:ann@example.com>`, "To: <sip:bob@example.com>", "DateTime: 2026-01-02T03:04:05Z",
			"Subject:;lang=fr beau temps", `Subject: a\nb`, "NS: imdn <urn:ietf:params:imdn>", "imdn.Message-ID: 34jk",
			"NS: other <urn:other>", "other.Message-ID: not this", "imdn.message-id: nor this", "",
			"Content-Type: text/plain;", "  charset=utf-8", "", ""), "\r\n", sep) + body
		m, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, c := range []struct{ space, header, want string }{
			{"", "From", `"Ann é" <sip:ann@example.com>`}, {"", "Subject", "beau temps"}, {"urn:ietf:params:imdn", "Message-ID", "34jk"},
			{"urn:other", "Message-ID", "not this"}, {"", "Message-ID", ""}, {"", "subject", ""},
		} {
			if got := m.Value(c.space, c.header); got != c.want {
				t.Errorf("%s: %s %s is %q, want %q", name, c.space, c.header, got, c.want)
			}
		}
		if got := m.Values("", "Subject"); !slices.Equal(got, []string{"beau temps", "a\nb"}) {
			t.Errorf("%s: subjects %q", name, got)
		}
		if got := m.Content("content-type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%s: content type %q", name, got)
		}
		if string(m.Body) != body {
			t.Errorf("%s: the body is %q", name, m.Body)
		}
	}
}

func TestWhatIsNoSuchMessageIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":               "",
		"no end of the headers": "From: <sip:a@b>\r\n",
		"no content":            "From: <sip:a@b>\r\n\r\nContent-Type: text/plain",
		"no colon":              "From\r\n\r\n\r\n",
		"space in a name":       "From : x\r\n\r\n\r\n",
		"control":               "From: a\x01b\r\n\r\n\r\n",
		"a long line":           "From: " + strings.Repeat("x", MaxLine) + "\r\n\r\n\r\n",
		"many headers":          strings.Repeat("X: y\r\n", MaxHeaders+1) + "\r\n\r\n",
	} {
		if m, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

// Section 2.3: what is no escape is text.
func TestEscapes(t *testing.T) {
	for raw, want := range map[string]string{
		`a\nb\\c\"d\'`: "a\nb\\c\"d'", `\u00e9t\u00E9`: "été", `\ud83d\ude00!`: "😀!", `\ud83d`: "\uFFFD", `\ud83d\u0041`: "\uFFFDA",
		`"DOM\user" <sip:a@b>`: `"DOM\user" <sip:a@b>`, `a\`: `a\`, `\q\u12`: `\q\u12`, "J\xfcrgen": "J\uFFFDrgen", `\ud83d\`: "\uFFFD\\",
	} {
		m, err := Parse([]byte("Subject: " + raw + "\r\n\r\n\r\n"))
		if got := m.Value("", "Subject"); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", raw, got, err, want)
		}
	}
}

// C02: a name is known within its name space only.
func TestRequiredHeadersThatNobodyKnowsAreNamed(t *testing.T) {
	m, err := Parse([]byte("NS: x <urn:x>\r\nNS: i <urn:imdn>\r\nRequire: x.Secret, i.Message-ID,x.From\r\nRequire: From, y.From, Message-ID\r\n\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]string{"": {"From"}, "urn:imdn": {"Message-ID"}}
	if got := m.Required(known); !slices.Equal(got, []string{"x.Secret", "x.From", "y.From", "Message-ID"}) {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	m := Message{
		Headers: []Header{{Name: "From", Value: "\"Eve\r\nTo: x\" <sip:eve@x>\\"}, {Name: "Subject", Params: "lang=de", Value: "schön\u2028"}, {Name: "To", Value: "\u00a0 x "}},
		MIME:    []Header{{Name: "Content-Type", Value: "text/plain"}},
		Body:    []byte("From: no header\r\n"),
	}
	data, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Headers, m.Headers) || !slices.Equal(got.MIME, m.MIME) || !bytes.Equal(got.Body, m.Body) {
		t.Errorf("got %+v of %q", got, data)
	}
	for _, bad := range []Message{
		{Headers: []Header{{Name: "A b"}}}, {Headers: []Header{{Name: "A", Params: "x\r\ny"}}}, {MIME: []Header{{Name: "A", Value: "x\r\ny"}}},
	} {
		if data, err := bad.Bytes(); err == nil {
			t.Errorf("%+v was written as %q", bad, data)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(lines("From: <sip:a@b>", "NS: imdn <urn:ietf:params:imdn>", `imdn.Message-ID: \u0041`, "", "Content-Type: text/plain", "", "x")))
	f.Add([]byte("Subject:;lang=fr x\n\n\nbody"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		m.Required(nil)
		again, err := m.Bytes()
		if err != nil {
			return // a parameter that Parse takes as it stands
		}
		n, err := Parse(again)
		if err != nil && len(again) > MaxLine {
			return // an escape may be longer than what it stands for
		}
		if err != nil {
			t.Fatalf("%q was written as %q: %v", data, again, err)
		}
		if !slices.Equal(n.Headers, m.Headers) || !slices.Equal(n.MIME, m.MIME) || !bytes.Equal(n.Body, m.Body) {
			t.Fatalf("%+v became %+v", m, n)
		}
	})
}
