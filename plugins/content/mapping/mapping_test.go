package mapping

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/content/markup"
)

var (
	words = Taker{Types: []string{"text/plain"}}
	html  = Taker{Types: []string{"text/html", "text/plain"}}
	files = Taker{Types: []string{"text/html", "text/plain"}, MaxFile: 1 << 20}
)

const links = "https://b.example/files/t0k3n"

// entity reads a message as it stands in a file: headers, an empty line, and
// the body. Lines end with CRLF in what is read.
func entity(s string) Message {
	head, body, _ := strings.Cut(strings.TrimLeft(s, "\n"), "\n\n")
	head = strings.ReplaceAll(head, "\n ", " ")
	return Message{Content: event.Content{
		MediaType: strings.TrimPrefix(head, "Content-Type: "), Data: []byte(strings.ReplaceAll(body, "\n", "\r\n")),
	}}
}

const mixed = `
Content-Type: multipart/mixed; boundary=x

preamble
--x
Content-Type: multipart/alternative; boundary=y

--y
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe *from* here
--y
Content-Type: text/html

<p>Gr&uuml;&szlig;e <b>from</b> here<script>alert(1)</script></p>
--y--
--x
Content-Type: application/octet-stream
Content-Disposition: attachment; filename="../../etc/pass wd.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo!AAAANSUhEUg==
--x--
epilogue
`

// S11 C10 C11: what becomes of a message in forms and structures of all kinds.
func TestMap(t *testing.T) {
	for name, tc := range map[string]struct {
		from   string
		taker  Taker
		links  string
		typ    string
		want   string
		files  []string
		losses content.Losses
	}{
		"words as words":              {"Content-Type: text/plain\n\nhello", html, "", "text/plain;charset=utf-8", "hello", nil, nil},
		"no type is plain text":       {"Content-Type: \n\nhello", html, "", "text/plain;charset=utf-8", "hello", nil, nil},
		"words where HTML alone goes": {"Content-Type: text/plain\n\na < b", Taker{Types: []string{"text/html"}}, "", "text/html;charset=utf-8", "<p>a &lt; b</p>", nil, nil},
		"Markdown as HTML":            {"Content-Type: text/markdown\n\n**hello**", html, "", "text/html;charset=utf-8", "<p><strong>hello</strong></p>", nil, nil},
		"Markdown as words":           {"Content-Type: text/markdown\n\n**hello**", words, "", "text/plain;charset=utf-8", "hello", nil, content.Losses{markup.EmphasisRemoved}},
		"words keep their spaces":     {"Content-Type: text/plain\n\n  a\n\n\n * b \n\tc", words, "", "text/plain;charset=utf-8", "  a\n\n\n * b \n\tc", nil, nil},
		"the best form": {"Content-Type: text/markdown\n\n**hello**", Taker{Types: []string{string(markup.Slack), "text/html"}}, "",
			"text/vnd.slack.mrkdwn;charset=utf-8", "*hello*", nil, nil},
		"HTML is cleaned":          {"Content-Type: text/html\n\n<b onclick=x>hi</b><script>bad()</script>", html, "", "text/html;charset=utf-8", "<p><strong>hi</strong></p>", nil, content.Losses{markup.ActiveRemoved}},
		"unknown kinds of text":    {"Content-Type: text/x-poem\n\nhello", words, "", "text/plain;charset=utf-8", "hello", nil, nil},
		"what is taken as it came": {"Content-Type: text/x-poem\n\n\x00\xff", Taker{Types: []string{"text/*"}}, "", "text/x-poem", "\x00\xff", nil, nil},
		"a nested mail":            {mixed, files, "", "text/html;charset=utf-8", "<p>Grüße <strong>from</strong> here</p>", []string{"pass wd.png image/png"}, content.Losses{markup.ActiveRemoved}},
		"in words, with a link": {mixed, words, links, "text/plain;charset=utf-8",
			"Grüße *from* here\n\npass wd.png (image/png, 16 bytes): https://b.example/files/t0k3n/0.2/pass%20wd.png", nil, content.Losses{FileAsLink}},
		"in words alone": {mixed, words, "", "text/plain;charset=utf-8",
			"Grüße *from* here\n\n[file not passed on: pass wd.png (image/png, 16 bytes)]", nil, content.Losses{FileNotPassed}},
		"a picture":           {"Content-Type: image/png\n\n\x89PNG\r\n\x1a\n", files, "", "text/plain;charset=utf-8", "", []string{"file.png image/png"}, nil},
		"a picture that lies": {"Content-Type: image/png\n\n<html><script>x</script>", files, "", "text/plain;charset=utf-8", "", []string{"file.html text/html; charset=utf-8"}, nil},
		"CPIM":                {"Content-Type: message/cpim\n\nFrom: <im:a@b>\n\nContent-Type: text/html\n\n<i>hi</i>", html, "", "text/html;charset=utf-8", "<p><em>hi</em></p>", nil, nil},
		"signed": {"Content-Type: multipart/signed; boundary=x; protocol=\"application/pkcs7-signature\"\n\n--x\nContent-Type: text/plain\n\nmine\n--x\nContent-Type: application/pkcs7-signature\n\nMIIB\n--x--\n",
			words, "", "text/plain;charset=utf-8", "mine", nil, content.Losses{SignatureRemoved}},
		"a part of an unknown kind of multipart": {"Content-Type: multipart/x-new; boundary=x\n\n--x\n\none\n--x\n\ntwo\n--x--\n", words, "", "text/plain;charset=utf-8", "one\n\ntwo", nil, nil},
		"cut off":                                {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n\ntwo", words, "", "text/plain;charset=utf-8", "one\n\ntwo", nil, content.Losses{Broken}},
		"without a boundary":                     {"Content-Type: multipart/mixed\n\n--x\n\none\n--x--", files, "", "text/plain;charset=utf-8", "", []string{"file multipart/mixed"}, content.Losses{Broken}},
		"an empty alternative": {"Content-Type: multipart/alternative; boundary=x\n\n--x\n\none\n--x\nContent-Type: text/html\n\n<p> </p>\n--x--\n", html, "",
			"text/plain;charset=utf-8", "one", nil, nil},
		"a reference": {"Content-Type: message/external-body; access-type=URL; URL=\"https://f.example/ a.png\"\n\nContent-Type: image/png\n\n", words, "",
			"text/plain;charset=utf-8", "image/png: https://f.example/a.png", nil, nil},
		"a file of an RCS device": {"Content-Type: application/vnd.gsma.rcs-ft-http+xml\n\n<file><file-info type=\"thumbnail\"><data url=\"https://f.example/t\"/></file-info><file-info type=\"file\"><file-size>2048</file-size><file-name>a.jpg</file-name><content-type>image/jpeg</content-type><data url=\"https://f.example/1\" until=\"2026-01-02T03:04:05Z\"/></file-info></file>",
			words, "", "text/plain;charset=utf-8", "a.jpg (image/jpeg, 2 KB): https://f.example/1 until 2026-01-02 03:04 UTC", nil, nil},
		"a contact": {"Content-Type: text/vcard\n\nBEGIN:VCARD\nVERSION:3.0\nFN:Ann Lee\nTEL:+4312345\nEND:VCARD\n", files, "",
			"text/plain;charset=utf-8", "Contact: Ann Lee\nTelephone: +4312345", []string{"file.vcf text/vcard"}, content.Losses{ContactAsText}},
		"a place": {"Content-Type: application/vnd.gsma.rcspushlocation+xml\n\n<rcsenvelope xmlns:gml=\"http://www.opengis.net/gml\"><rcspushlocation id=\"a\" label=\"the &lt;pub>\"><gml:Point><gml:pos>48.2 16.37</gml:pos></gml:Point></rcspushlocation></rcsenvelope>",
			words, "", "text/plain;charset=utf-8", "Location: the <pub>, 48.2,16.37\nhttps://www.openstreetmap.org/?mlat=48.2&mlon=16.37", nil, content.Losses{LocationAsText}},
		"a place that lies": {"Content-Type: application/vnd.gsma.rcspushlocation+xml\n\n<rcspushlocation id=\"a\" label=\"x&#10;Pay\u202e now\"><pos>1 2</pos></rcspushlocation>",
			words, "", "text/plain;charset=utf-8", "Location: x Pay now, 1,2\nhttps://www.openstreetmap.org/?mlat=1&mlon=2", nil, content.Losses{LocationAsText}},
		"a reference that lies": {"Content-Type: message/external-body; access-type=URL; URL=\"https://x.example/\xff\"\n\nContent-Type: a\x1b[2J\xff/b\n\n", words, "",
			"text/plain;charset=utf-8", "a\uFFFD[2j\uFFFD/b: https://x.example/\uFFFD", nil, nil},
		"a file of an RCS device that lies": {"Content-Type: application/vnd.gsma.rcs-ft-http+xml\n\n<file><file-info type=\"file\"><file-size>1</file-size><file-name>a&#10;b</file-name><content-type>x/y&#10;&#x202e;z</content-type><data url=\"https://f.example/&#10;Pay now: https://evil.example\"/></file-info></file>",
			words, "", "text/plain;charset=utf-8", "ab (x/y, 1 bytes): https://f.example/Paynow:https://evil.example", nil, nil},
		"an invitation": {"Content-Type: multipart/alternative; boundary=x\n\n--x\n\nCome!\n--x\nContent-Type: text/html\n\n<b>Come!</b>\n--x\nContent-Type: text/calendar\n\nBEGIN:VCALENDAR\n--x--\n",
			files, "", "text/html;charset=utf-8", "<p><strong>Come!</strong></p>", []string{"file.ics text/calendar"}, nil},
		"parameters without quotes": {"Content-Type: multipart/mixed; boundary=----=_Part_1\n\n------=_Part_1\nContent-Type: text/plain; charset=iso-8859-1; name=my file.txt\n\nK\xf6ln\n------=_Part_1\nContent-Type: image/png\nContent-Disposition: attachment; filename=my plan.png\n\n\x89PNG\r\n\x1a\n\n------=_Part_1--\n",
			files, "", "text/plain;charset=utf-8", "Köln", []string{"my plan.png image/png"}, nil},
		"a name in a charset of its own": {"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: image/png; name=\"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\"\n\n\x89PNG\r\n\x1a\n\n--x--\n",
			files, "", "text/plain;charset=utf-8", "", []string{"日本 image/png"}, nil},
		"Outlook's words for a picture": {"Content-Type: multipart/related; boundary=x\n\n--x\n\nsee [cid:p1@01D], not [cid:p2@01D]\n--x\nContent-Type: image/png; name=p.png\nContent-ID: <p1@01D>\n\n\x89PNG\r\n\x1a\n\n--x--\n",
			files, "", "text/plain;charset=utf-8", "see [p.png], not [cid:p2@01D]", []string{"p.png image/png"}, nil},
		"a part whose header can't be read": {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nfirst\n--x\nContent-Disposition attachment\n\nsecond\n--x\n\nthird\n--x--\n",
			files, "", "text/plain;charset=utf-8", "first", []string{"file multipart/mixed"}, content.Losses{Broken}},
		"a type without its semicolon": {"Content-Type: text/html charset=utf-8\n\n<b>hi</b>", html, "", "text/html;charset=utf-8", "<p><strong>hi</strong></p>", nil, nil},
		"a receipt among others":       {"Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Type: message/imdn+xml\n\n<imdn/>\n--x--\n", words, "", "text/plain;charset=utf-8", "one", nil, nil},
	} {
		m := entity(tc.from)
		m.Links = tc.links
		out, losses, err := Map(m, tc.taker)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, f := range out.Files {
			got = append(got, f.Name+" "+f.MediaType)
		}
		body := strings.ReplaceAll(string(out.Data), "\r\n", "\n")
		if out.MediaType != tc.typ || body != tc.want || !slices.Equal(got, tc.files) || !slices.Equal(losses, tc.losses) {
			t.Errorf("%s: got %s\n%q\nfiles %q, losses %q;\nwant %s\n%q\nfiles %q, losses %q", name, out.MediaType, body, got, losses, tc.typ, tc.want, tc.files, tc.losses)
		}
	}
}

func TestWhatCantBeMapped(t *testing.T) {
	for name, tc := range map[string]struct {
		from  string
		taker Taker
		want  error
	}{
		"no text taken":               {"Content-Type: text/plain\n\nhi", Taker{Types: []string{"image/png"}}, ErrType},
		"encrypted":                   {"Content-Type: multipart/encrypted; boundary=x\n\n--x--", files, ErrEncrypted},
		"S/MIME":                      {"Content-Type: application/pkcs7-mime\n\nMII", files, ErrEncrypted},
		"S/MIME, no matter how large": {"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n\n", files, ErrEncrypted},
		"encrypted inside":            {"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: application/pkcs7-mime\n\nMII\n--x--", files, ErrEncrypted},
		"too long for words":          {"Content-Type: text/plain\n\n" + strings.Repeat("word ", 100), Taker{Types: []string{"text/plain"}, MaxBytes: 100}, ErrSize},
		"a file nobody gets":          {"Content-Type: video/mp4\n\nx", words, ErrType},
		"too large as it was":         {"Content-Type: image/png\n\n" + strings.Repeat("x", 101), Taker{Types: []string{"image/png"}, MaxBytes: 100}, ErrSize},
	} {
		if _, _, err := Map(entity(tc.from), tc.taker); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

// C03: what a target takes as it is keeps its bytes, so that signatures hold.
func TestC03WhatIsTakenStaysAsItCame(t *testing.T) {
	body := []byte("--x\r\nContent-Type: text/plain\r\n\r\nhello \r\n--x\r\n\r\n\x00\xff--x--")
	for _, types := range [][]string{nil, {"*/*"}, {"text/plain", "multipart/signed"}, {"multipart/*"}} {
		m := Message{Content: event.Content{MediaType: `Multipart/Signed; boundary="x"`, Data: body}}
		out, losses, err := Map(m, Taker{Types: types})
		if err != nil || len(losses) > 0 || !bytes.Equal(out.Data, body) || out.MediaType != m.MediaType {
			t.Errorf("%q: %q %q %v", types, out.Data, losses, err)
		}
	}
}

func TestALongTextGoesBesideItsBeginning(t *testing.T) {
	long := strings.Repeat("All work and no play. ", 50) + "The end."
	m := Message{Content: event.Content{MediaType: "text/plain", Data: []byte(long)}}
	out, losses, err := Map(m, Taker{Types: []string{"text/plain"}, MaxBytes: 300, MaxFile: 2000})
	if err != nil || len(out.Data) > 300 || !strings.HasPrefix(string(out.Data), "All work and no play. All") || len(out.Files) != 1 ||
		string(out.Files[0].Data) != long || !slices.Contains(losses, TextShortened) {
		t.Errorf("%q, %d files, %q, %v", out.Data, len(out.Files), losses, err)
	}
	m.Links = links
	out, _, err = Map(m, Taker{Types: []string{string(markup.Slack)}, MaxBytes: 300})
	if err != nil || len(out.Data) > 300 || !strings.Contains(string(out.Data), links+"/text/message.txt") {
		t.Errorf("%q, %v", out.Data, err)
	}
	m.Data = []byte(strings.Repeat(long, 400)) // more than a document may have
	if out, _, err = Map(m, html); err != nil || len(out.Data) != len(m.Data) && !strings.Contains(string(out.Data), links) {
		t.Errorf("%d bytes: %v", len(out.Data), err)
	}
	if out, _, err = Map(m, Taker{Types: []string{"text/html"}}); err != nil || !strings.Contains(string(out.Data), links+"/text/message.txt") {
		t.Errorf("%d bytes: %v", len(out.Data), err)
	}
	m.Files = []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Data: []byte("x")}}}
	m.Note = "[corrected]"
	for _, taker := range []Taker{words, html} { // beside other things
		out, _, err = Map(m, taker)
		if err != nil || !strings.HasPrefix(string(out.Data), "[corrected]") && !strings.HasPrefix(string(out.Data), "<p>[corrected]") || !strings.Contains(string(out.Data), "All work") {
			t.Errorf("%.40q: %v", out.Data, err)
		}
	}
	m.Files, m.Note = nil, ""
	m.Data = []byte(long)
	whole, err := Part(m, "text")
	if err != nil || string(whole.Data) != long {
		t.Errorf("%q, %v", whole.Data, err)
	}
}

// The link to the whole text leads to the one of which there is the beginning,
// also where another form says something else, and below other words.
func TestTheWholeTextIsTheSame(t *testing.T) {
	long := strings.Repeat("All work and no play. ", 50) + "The end."
	m := entity("Content-Type: multipart/alternative; boundary=x\n\n--x\n\n" + long + "\n--x\nContent-Type: text/html\n\n<p>" + strings.Repeat("Much fun. ", 90) + "</p>\n--x--\n")
	m.Links, m.Note = links, "[corrected]"
	for _, tc := range []struct {
		taker       Taker
		begin, path string
	}{
		{Taker{Types: []string{"text/plain"}, MaxBytes: 300}, "[corrected]\n\nAll work", "plain"},
		{Taker{Types: []string{"text/html", "text/plain"}, MaxBytes: 300}, "[corrected]\n\nMuch fun", "text"},
		{Taker{Types: []string{"text/plain"}, MaxBytes: 300, MaxFile: 2000}, "[corrected]\n\nAll work", ""},
	} {
		out, _, err := Map(m, tc.taker)
		if err != nil || !strings.HasPrefix(string(out.Data), tc.begin) || len(out.Data) > 300 {
			t.Errorf("%q, %v", out.Data, err)
		}
		if tc.path == "" {
			if len(out.Files) != 1 || string(out.Files[0].Data) != long {
				t.Errorf("beside it: %+v", out.Files)
			}
			continue
		}
		whole, err := Part(Message{Content: m.Content}, tc.path)
		if !strings.Contains(string(out.Data), links+"/"+tc.path+"/message.txt") || err != nil || !strings.HasPrefix(string(whole.Data), strings.TrimPrefix(tc.begin, "[corrected]\n\n")) {
			t.Errorf("%q leads to %.40q, %v", out.Data, whole.Data, err)
		}
	}
}

// Every link in a message leads to what it names.
func TestLinksLeadToTheirParts(t *testing.T) {
	m := entity(mixed)
	m.Links = links
	m.Files = []event.File{{Name: "plan.pdf", Content: event.Content{MediaType: "application/pdf", Ref: "r1", SHA256: "s", Size: 9}}}
	out, _, err := Map(m, words)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, piece := range strings.Split(string(out.Data), links+"/")[1:] {
		path, _, _ := strings.Cut(piece, "/")
		f, err := Part(m, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		got = append(got, f.Name+" "+f.MediaType+" "+f.Ref+" "+strconv.Itoa(len(f.Data)))
	}
	if want := []string{"pass wd.png image/png  16", "plan.pdf application/pdf r1 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, path := range []string{"", "0.9", "f0", "f2", "f-1", "x", "0.2.1", "../0"} {
		if f, err := Part(m, path); !errors.Is(err, ErrNoPart) {
			t.Errorf("%q: %+v, %v", path, f, err)
		}
	}
	if f, err := Part(Message{Content: event.Content{MediaType: "image/png", Ref: "r", Size: 5 << 20}}, "0"); err != nil || f.Ref != "r" || f.Name != "file.png" {
		t.Errorf("%+v, %v", f, err)
	}
}

// What was signed may be a file with a name, or encoded.
func TestSignedEntities(t *testing.T) {
	for name, want := range map[string]string{
		"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=offer.pdf\r\n\r\n%PDF-1.4": "offer.pdf",
		"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=":                                                    "hello",
		"no header\r\n\r\nat all": "no header\n\nat all",
	} {
		m := Message{Content: event.Content{MediaType: "application/pkcs7-mime; smime-type=signed-data", Data: sign(name)}}
		out, losses, err := Map(m, files)
		got := string(out.Data)
		if len(out.Files) > 0 {
			got = out.Files[0].Name
		}
		if err != nil || got != want || !slices.Contains(losses, SignatureRemoved) {
			t.Errorf("%q: %q, %q, %v", name, got, losses, err)
		}
	}
}

// sign puts an entity where a signature of RFC 5652 would be.
func sign(entity string) []byte {
	value := func(tag byte, in ...[]byte) []byte {
		all := slices.Concat(in...)
		return append([]byte{tag, 0x82, byte(len(all) >> 8), byte(len(all))}, all...)
	}
	text := value(0xA0, value(0x04, []byte(entity)))
	signed := value(0x30, []byte{2, 1, 1}, []byte{0x31, 0}, value(0x30, []byte{6, 1, 0x2A}, text))
	return value(0x30, []byte("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02"), value(0xA0, signed))
}

func TestNamesOfFilesAreHarmless(t *testing.T) {
	for raw, want := range map[string]string{
		"a.txt": "a.txt", "/etc/passwd": "passwd", `C:\x\b.doc`: "b.doc", "..": "file", "": "file", "a\r\nb": "ab",
		"gnp\u202Eexe.a": "gnpexe.a", " . x . ": "x", "a:b|c": "a_b_c", "\xff": "_", "dir/": "file", "tab\there": "tabhere",
	} {
		if got := fileName(raw, "x/y"); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
	long := fileName(strings.Repeat("ä", 200)+".pdf", "")
	if len(long) > maxName || !strings.HasSuffix(long, "ä.pdf") || !utf8.ValidString(long) {
		t.Errorf("%q", long)
	}
}

func TestDeepAndWideStructuresAreLimited(t *testing.T) {
	deep := "text"
	typ := "text/plain"
	for i := range 20 {
		b := "b" + strconv.Itoa(i)
		deep = "--" + b + "\r\nContent-Type: " + typ + "\r\n\r\n" + deep + "\r\n--" + b + "--"
		typ = "multipart/mixed; boundary=" + b
	}
	out, losses, err := Map(Message{Content: event.Content{MediaType: typ, Data: []byte(deep)}}, files)
	if err != nil || !slices.Contains(losses, TooDeep) || len(out.Files) != 1 || !strings.Contains(string(out.Files[0].Data), "text") {
		t.Errorf("%q, %d files, %q, %v", out.Data, len(out.Files), losses, err)
	}
	wide := strings.Repeat("--x\r\n\r\none\r\n", 3*MaxParts) + "--x--"
	out, losses, err = Map(Message{Content: event.Content{MediaType: "multipart/mixed; boundary=x", Data: []byte(wide)}}, files)
	if err != nil || !slices.Contains(losses, TooDeep) || len(out.Files) != 1 || string(out.Files[0].Data) != wide {
		t.Errorf("%d bytes, %d files, %q, %v", len(out.Data), len(out.Files), losses, err)
	}
	inner := strings.Repeat("--y\r\n\r\none\r\n", MaxParts/2) + "--y--"
	wide = "--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n" + inner + strings.Repeat("\r\n--x\r\n\r\ntwo", MaxParts/2+9) + "\r\n--x--"
	m := Message{Content: event.Content{MediaType: "multipart/mixed; boundary=x", Data: []byte(wide)}}
	if out, losses, err = Map(m, files); err != nil || !slices.Contains(losses, TooDeep) {
		t.Errorf("%d files, %q, %v", len(out.Files), losses, err)
	}
	if n := strings.Count(string(out.Data), "two") + len(out.Files); n != MaxParts/2+9 {
		t.Errorf("%d of %d parts", n, MaxParts/2+9)
	}
}

// What it takes to read alternatives in alternatives grows with their size, not
// with two to the power of their depth.
func TestAlternativesAreReadOnce(t *testing.T) {
	costs := func(depth int) float64 {
		body, typ := "<p>hello</p>", "text/html"
		for i := range depth {
			b := "b" + strconv.Itoa(i)
			body = "--" + b + "\r\n\r\nhello\r\n--" + b + "\r\nContent-Type: " + typ + "\r\n\r\n" + body + "\r\n--" + b + "--"
			typ = "multipart/alternative; boundary=" + b
		}
		m := Message{Content: event.Content{MediaType: typ, Data: []byte(body)}}
		return testing.AllocsPerRun(3, func() {
			if out, _, err := Map(m, html); err != nil || string(out.Data) != "<p>hello</p>" {
				t.Fatalf("%d deep: %q, %v", depth, out.Data, err)
			}
		})
	}
	if few, many := costs(2), costs(8); many > 8*few {
		t.Errorf("2 deep: %.0f allocations, 8 deep: %.0f", few, many)
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		typ    string
		taker  Taker
		linked bool
		want   error
	}{
		{"text/plain", words, false, nil},
		{"TEXT/HTML; charset=x", words, false, nil},
		{"multipart/mixed; boundary=x", words, false, nil},
		{"video/mp4", words, false, ErrType},
		{"video/mp4", words, true, nil},
		{"video/mp4", files, false, nil},
		{"video/mp4", Taker{}, false, nil},
		{"multipart/encrypted", words, true, ErrEncrypted},
		{"multipart/encrypted", Taker{Types: []string{"text/plain", "multipart/encrypted"}}, true, nil},
		{"text/plain", Taker{Types: []string{"video/mp4"}}, true, ErrType},
	} {
		if err := Check(tc.typ, tc.taker, tc.linked); !errors.Is(err, tc.want) {
			t.Errorf("%s to %q: %v, want %v", tc.typ, tc.taker.Types, err, tc.want)
		}
	}
	if got := (Taker{Types: []string{"text/vnd.slack.mrkdwn", "text/plain"}}).Accept(false); !slices.Equal(got, []string{"message/cpim", "multipart/*", "text/html", "text/markdown", "text/plain"}) {
		t.Error(got)
	}
}

// growth bounds the output: markup's, and what stands for files.
func growth(n int) int { return markup.Growth*n + (MaxParts+2)*(markup.Spare+maxName*3+len(links)+100) }

func FuzzMap(f *testing.F) {
	f.Add("multipart/mixed; boundary=x", []byte(strings.ReplaceAll(mixed, "\n", "\r\n")), byte(0))
	f.Add("text/html", []byte("<p>x<img src=x onerror=y>"), byte(1))
	f.Add("message/external-body; access-type=URL; url=\"https://f.example/a%0Ab\"", []byte("\r\n"), byte(2))
	f.Add("message/cpim", []byte("From: <im:a>\r\n\r\nContent-Type: text/plain\r\n\r\nx"), byte(2))
	f.Add("message/external-body; access-type=URL; url=\"https://f.example/\xff\"", []byte("Content-Type: a\x1b\xff/b\r\n\r\n"), byte(0))
	f.Add("application/vnd.gsma.rcs-ft-http+xml", []byte("<file><file-info type=\"file\"><file-size>1</file-size><data url=\"https://x&#10;y\"/></file-info></file>"), byte(0))
	f.Add("application/pkcs7-mime", []byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80"), byte(0))
	f.Add("text/x-vcard", []byte("BEGIN:VCARD\nFN;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:=C3=\n=BC\nEND:VCARD"), byte(2))
	f.Add("text/vcard", []byte("BEGIN:VCARD\r\nFN:x\r\nEND:VCARD"), byte(3))
	f.Add("application/pidf+xml", []byte("<a><pos>1 2</pos></a>"), byte(4))
	f.Add("multipart/related; boundary=x", []byte("--x\r\nContent-Transfer-Encoding: base64\r\n\r\n"+base64.StdEncoding.EncodeToString([]byte("hello"))+"\r\n--x--"), byte(5))
	takers := []Taker{words, html, files, {Types: []string{string(markup.Slack)}, MaxBytes: 400}, {Types: []string{string(markup.Matrix), "text/plain"}}, {Types: []string{"text/markdown"}, MaxFile: 10}}
	f.Fuzz(func(t *testing.T, typ string, body []byte, which byte) {
		m := Message{Content: event.Content{MediaType: typ, Data: body}}
		m.Fetched = map[string]event.Content{"https://f.example/a%0Ab": {MediaType: "image/png", Data: []byte("x")}}
		if which&8 != 0 {
			m.Links = links
		}
		taker := takers[int(which&7)%len(takers)]
		out, _, err := Map(m, taker)
		if err != nil {
			return
		}
		if !utf8.Valid(out.Data) || len(out.Data) > growth(len(body)) || taker.MaxBytes > 0 && int64(len(out.Data)) > taker.MaxBytes {
			t.Fatalf("%d bytes became %d: %q", len(body), len(out.Data), out.Data)
		}
		if form := markup.Form(bare(out.MediaType)); !form.Known() || !slices.Contains(taker.Types, string(form)) {
			t.Fatalf("it became %s", out.MediaType)
		}
		for _, file := range out.Files {
			if int64(len(file.Data)) > taker.MaxFile || file.Name == "" || fileName(file.Name, "") != file.Name {
				t.Fatalf("a file %q of %d bytes", file.Name, len(file.Data))
			}
		}
	})
}

func BenchmarkPlainToMatrix(b *testing.B) {
	m := Message{Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte("Shall we meet at the usual place at eight? Bring the plans.")}}
	benchmark(b, m, Taker{Types: []string{string(markup.Matrix), "text/plain"}})
}

func BenchmarkHTMLToMarkdown(b *testing.B) {
	row := "<p>Dear <b>all</b>, the <a href=\"https://example.com/plan?a=1&amp;b=2\">plan</a> is <i>ready</i>.</p><ul><li>one</li><li>two</li></ul>"
	m := Message{Content: event.Content{MediaType: "text/html;charset=utf-8", Data: []byte(strings.Repeat(row, 4096/len(row)+1)[:4096])}}
	benchmark(b, m, Taker{Types: []string{"text/markdown"}})
}

func BenchmarkMailToSlack(b *testing.B) {
	benchmark(b, entity(mixed), Taker{Types: []string{string(markup.Slack)}, MaxFile: 1 << 20})
}

func benchmark(b *testing.B, m Message, t Taker) {
	b.ReportAllocs()
	b.SetBytes(int64(len(m.Data)))
	for b.Loop() {
		if _, _, err := Map(m, t); err != nil {
			b.Fatal(err)
		}
	}
}
