package email

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
)

const alternative = "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=bb"

// brokenMails are mails as they are met, sound and broken, and what people are
// to read of them.
var brokenMails = []struct {
	name string
	mail string
	want string
	cut  bool
}{
	{"plain", lines("Subject: x", "", "hi"), "hi", false},
	{"no header", lines("", "hi"), "hi", false},
	{"only LF", "Subject: x\nContent-Type: text/plain\n\nhi\nthere\n", "hi\nthere", false},
	{"UTF-8", lines("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", "grüße"), "grüße", false},
	{"Latin-1", lines("Content-Type: text/plain; charset=iso-8859-1", "", "gr\xfc\xdfe"), "grüße", false},
	{"raw Latin-1 without a charset", lines("Subject: x", "", "gr\xfc\xdfe"), "grüße", false},
	{"gb2312", lines("Content-Type: text/plain; charset=gb2312", "Content-Transfer-Encoding: base64", "", "xOO6ww=="), "你好", false},
	{"unknown charset", lines("Content-Type: text/plain; charset=x-unheard-of", "", "hi"), "hi", false},
	{"quoted-printable", lines("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", "gr=C3=BC=C3=9Fe and=", " more"), "grüße and more", false},
	{"broken quoted-printable", lines("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", "100=% sure =ZZ"), "100=% sure =ZZ", false},
	{"broken base64", lines("Content-Type: text/plain", "Content-Transfer-Encoding: base64", "", "aGVsbG8gd29y!bGQ="), "hello world", false},
	{"unknown encoding", lines("Content-Type: text/plain", "Content-Transfer-Encoding: x-odd", "", "hi"), "hi", false},
	{"broken content type", lines("Content-Type: text/plain; charset=\"utf-8; ;;=", "", "hi"), "hi", false},
	{"empty content type", lines("Content-Type:", "", "hi"), "hi", false},
	{"a header line without colon", lines("Subject: x", "this is no field", "Content-Type: text/plain", "", "hi"), "hi", false},
	{"an mbox line", lines("From bob@example.com Mon Nov 23 10:00:00 2026", "Subject: x", "", "hi"), "hi", false},
	{"a first line that is indented", lines(" odd", "Subject: x", "", "hi"), "hi", false},
	{"alternative", lines(alternative, "", "--bb", "Content-Type: text/plain", "", "plain", "--bb", "Content-Type: text/html", "", "<b>rich</b>", "--bb--"), "plain", false},
	{"alternative with an empty text", lines(alternative, "", "--bb", "Content-Type: text/plain", "", " ", "--bb", "Content-Type: text/html", "", "<p>rich</p>", "--bb--"), "rich", true},
	{"HTML", lines("Content-Type: text/html; charset=utf-8", "", "<style>p{}</style><p>rich &amp; <b>bold</b></p><script>alert(1)</script>"), "rich & bold", true},
	{"not ended multipart", lines(alternative, "", "--bb", "Content-Type: text/plain", "", "plain"), "plain", false},
	{"missing boundary", lines("MIME-Version: 1.0", "Content-Type: multipart/mixed", "", "plain"), "plain", true},
	{"boundary that never comes", lines("MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=zz", "", "plain text all the same"), "plain text all the same", true},
	{"format=flowed", lines("Content-Type: text/plain; format=flowed", "", "one ", "line", "another", "-- ", "Bob"), "one line\nanother", true},
	{"format=flowed, delsp", lines("Content-Type: text/plain; format=flowed; delsp=yes", "", "wo ", "rd"), "word", false},
	{"attachment", lines("MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=bb", "", "--bb", "Content-Type: text/plain", "", "see", "--bb",
		"Content-Type: image/png", "Content-Disposition: attachment; filename=\"a.png\"", "Content-Transfer-Encoding: base64", "", "AAAA", "--bb--"), "see +a.png", false},
	{"only an attachment", lines("MIME-Version: 1.0", "Content-Type: application/pdf; name=\"b.pdf\"", "Content-Disposition: attachment; filename=\"b.pdf\"", "Content-Transfer-Encoding: base64", "", "AAAA"), " +b.pdf", false},
	{"calendar", lines(alternative, "", "--bb", "Content-Type: text/plain", "", "invited", "--bb", "Content-Type: text/calendar; method=REQUEST", "", "BEGIN:VCALENDAR", "--bb--"), "invited +text/calendar", false},
	{"TNEF", lines("MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=bb", "", "--bb", "Content-Type: text/plain", "", "see", "--bb",
		"Content-Type: application/ms-tnef; name=winmail.dat", "Content-Transfer-Encoding: base64", "", "eJ8+", "--bb--"), "see +winmail.dat", false},
	{"S/MIME signed", lines("MIME-Version: 1.0", "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=bb", "", "--bb", "Content-Type: text/plain", "", "signed", "--bb",
		"Content-Type: application/pkcs7-signature; name=smime.p7s", "Content-Transfer-Encoding: base64", "", "AAAA", "--bb--"), "signed", true},
	{"S/MIME, text and signature in one", lines("Content-Type: application/x-pkcs7-mime; smime-type=signed-data; name=smime.p7m", "Content-Transfer-Encoding: base64", "", opaque), "The offer stands until Friday, as agreed with Zoë.", true},
	{"S/MIME encrypted", lines("Content-Type: application/pkcs7-mime", "Content-Transfer-Encoding: base64", "", "MIIBdwYJKoZIhvcNAQcD"), "[This mail is encrypted; it can't be read here.]", true},
	{"encrypted", lines("Content-Type: multipart/encrypted; boundary=bb", "", "--bb", "", "x", "--bb--"), "[This mail is encrypted; it can't be read here.]", true},
	{"binary rubbish", lines("Subject: x", "", "\x00\x01\x02\x03\x04\x05\x06\x07"), unreadable, true},
	{"all in the subject", lines("Subject: =?utf-8?q?on_my_way?=", "", ""), "on my way", false},
	{"nothing at all", "", "[This mail is empty.]", false},
	{"a quoted answer", lines("Subject: Re: x", "", "Yes.", "", "On 2026-11-23 10:00, Alice wrote:", "> Coming?"), "Yes.", true},
	{"a forwarded one", lines("Subject: Fwd: x", "", "See.", "", "On 2026-11-23 10:00, Alice wrote:", "> Coming?"), "See.\n\nOn 2026-11-23 10:00, Alice wrote:\n> Coming?", false},
	{"controls", lines("Subject: x", "", "a\x1b[31mred\x07 b\x00c"), "a[31mred bc", false},
	{"thousands of parts", lines("Content-Type: multipart/mixed; boundary=b0", "") + strings.Repeat("--b0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n", 5000), "", true},
}

// TestBrokenMailsAreRead: E12.
func TestBrokenMailsAreRead(t *testing.T) {
	for _, tc := range brokenMails {
		t.Run(tc.name, func(t *testing.T) {
			c := readLetter([]byte(tc.mail)).content()
			for _, f := range c.files {
				c.text += " +" + called(f)
			}
			if tc.want == "" {
				tc.want = c.text
			}
			if c.text != tc.want || c.cut != tc.cut || c.text == "" {
				t.Errorf("read as %q, cut %v\nwant %q, %v", c.text, c.cut, tc.want, tc.cut)
			}
		})
	}
}

// TestTheWholeMailIsKept where what is passed on is less: E11.
func TestTheWholeMailIsKept(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	m := lines("From: bob@example.com", "Message-ID: <q@x>", "Subject: Re: x", "References: <y@z>", "", "Yes.", "", "On 2026-11-23 10:00, Alice wrote:", "> Coming?")
	if code := w.arrives(answerTo, m); code != 250 {
		t.Fatalf("answer %d", code)
	}
	in := w.host.Inbounds()[0]
	r, err := w.host.Media().Open(t.Context(), event.Content{Ref: in.Original})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	whole, err := io.ReadAll(r)
	if err != nil || string(whole) != m || string(in.Data) != "Yes." {
		t.Errorf("kept %q, %v; passed on %q", whole, err, in.Data)
	}
}

func TestNamesOfAuthors(t *testing.T) {
	for field, want := range map[string]string{
		"Bob <b@x.test>":                       "Bob",
		"=?utf-8?b?SsO8cmdlbg==?= <b@x.test>":  "Jürgen",
		"=?iso-8859-1?q?J=FCrgen?= <b@x.test>": "Jürgen",
		"J\xfcrgen <b@x.test>":                 "Jürgen",
		"Jürgen <b@x.test>":                    "Jürgen",
		`"Bob, the \"B\"" <b@x.test>`:          `Bob, the "B"`,
		"b@x.test":                             "",
		"b@x.test (Bob)":                       "Bob",
		"<b@x.test>":                           "",
		"Bob\r\n <b@x.test>":                   "Bob",
	} {
		_, name, err := readLetter([]byte("From: " + field + "\r\n\r\n")).from()
		if err != nil || name != want {
			t.Errorf("From: %q is %q, %v; want %q", field, name, err, want)
		}
	}
}

// opaque is a text with the signature around it (RFC 8551, section 3.5.2), made
// by OpenSSL.
const opaque = "MIICHgYJKoZIhvcNAQcCoIICDzCCAgsCAQExDTALBglghkgBZQMEAgEwbwYJKoZIhvcNAQcBoGIEYENvbnRlbnQtVHlwZTogdGV4dC9wbGFpbjsgY2hhcnNldD11dGYtOA0KDQpUaGUgb2ZmZXIgc3RhbmRzIHVudGlsIEZyaWRheSwgYXMgYWdyZWVkIHdpdGggWm/Dqy4NCjGCAYQwggGAAgEBMDIwGjEYMBYGA1UEAwwPYW5uQGV4YW1wbGUuY29tAhRou88A9w3MlIFOm+a/uPIiYtrOvzALBglghkgBZQMEAgGggeQwGAYJKoZIhvcNAQkDMQsGCSqGSIb3DQEHATAcBgkqhkiG9w0BCQUxDxcNMjYxMTMwMTE0MDUxWjAvBgkqhkiG9w0BCQQxIgQgt+3dbh+/9+qhWy/LiftrhzVgFX7hIEZD7VAkEw/3YV4weQYJKoZIhvcNAQkPMWwwajALBglghkgBZQMEASowCwYJYIZIAWUDBAEWMAsGCWCGSAFlAwQBAjAKBggqhkiG9w0DBzAOBggqhkiG9w0DAgICAIAwDQYIKoZIhvcNAwICAUAwBwYFKw4DAgcwDQYIKoZIhvcNAwICASgwCgYIKoZIzj0EAwIERzBFAiEA/kxPbLldJYrCgq3/jcYTU7PSxRcPzfQi3z4Y29FpUK4CIBUFVZYJuD7/E08qKHBLBShRbKscZSH431mL8Hy7H344"

// FuzzInbound: whatever a mail server hands over is read, in bounds and
// without a word that could do harm.
func FuzzInbound(f *testing.F) {
	for _, tc := range brokenMails {
		if len(tc.mail) < 10_000 {
			f.Add([]byte(tc.mail))
		}
	}
	f.Add([]byte(fromBob(answerTo, base64.StdEncoding.EncodeToString([]byte("hi")))))
	f.Add([]byte("Authentication-Results: mx; dmarc=pass (a \\) b) header.from=\"x\"\r\nFrom: <a@x>\r\n\r\n"))
	f.Add([]byte("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nA: b\r\n\r\nAction: failed\r\n--b--"))
	n := ourNames()
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := readLetter(raw)
		c := l.content()
		if c.text == "" && len(c.files) == 0 || !utf8.ValidString(c.text+c.markdown) || strings.IndexFunc(c.text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) >= 0 {
			t.Errorf("text %q", c.text)
		}
		l.automatic(n, false)
		l.vouched("mx")
		l.sent()
		n.ours(l)
		o, _ := l.report()
		id := l.messageID()
		_, name, err := l.from()
		if err == nil {
			from, _, _ := l.from()
			_, _ = spellings(from)
		}
		for _, s := range []string{id, name, l.subject(), language(l), o.detail} {
			if !utf8.ValidString(s) || len(s) > 2*maxWords+100 || strings.IndexFunc(s, unicode.IsControl) >= 0 {
				t.Errorf("words %q", s)
			}
		}
	})
}
