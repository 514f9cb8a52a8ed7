package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley.im/plugins/content/mapping"
)

//go:generate go test -run ^TestWhatArrives$ -update .

// samples are messages as clients write them, in testdata/mime.
var samples = []struct{ file, what string }{
	{"plain", "`text/plain`"},
	{"latin1", "`text/plain` in another charset"},
	{"flowed", "`text/plain; format=flowed` (RFC 3676)"},
	{"markdown", "`text/markdown`"},
	{"html", "`text/html`"},
	{"hostile", "`text/html` that is hostile"},
	{"slack", "mrkdwn of Slack"},
	{"matrix", "HTML of Matrix"},
	{"gmail", "`multipart/alternative`, as Gmail writes it"},
	{"outlook", "`multipart/related` with a picture, as Outlook writes it"},
	{"applemail", "`multipart/alternative` with a file, as Apple Mail writes it"},
	{"linphone-text", "`message/cpim` (RFC 3862), as Linphone writes it"},
	{"linphone-file", "`application/vnd.gsma.rcs-ft-http+xml` (RCS, Linphone)"},
	{"external", "`message/external-body` (RFC 2017)"},
	{"phone-picture", "`multipart/mixed`: text and a picture"},
	{"picture", "`image/png`"},
	{"signed", "`multipart/signed`"},
	{"encrypted", "`multipart/encrypted` (PGP)"},
	{"smime", "`application/pkcs7-mime` that is encrypted (S/MIME)"},
	{"smime-signed", "`application/pkcs7-mime` that is signed, text and signature in one"},
	{"sms", "`application/vnd.3gpp.sms`"},
	{"sms-broken", "`application/vnd.3gpp.sms` that is cut off"},
	{"contact", "`text/vcard`"},
	{"location", "`application/vnd.gsma.rcspushlocation+xml`"},
	{"unknown", "a type that nobody knows"},
	{"broken", "a MIME structure that is cut off"},
	{"long", "70 KB of text"},
}

// networks are the columns of the table.
var networks = []struct {
	name, title, links string
	accept             []string
}{
	{"sip", "phone, text only", "", nil},
	{"sip-linked", "phone, text only, with `files.links`", "https://chat.example.com/f/TOKEN", nil},
	{"sip-html", "phone that takes HTML", "https://chat.example.com/f/TOKEN", []string{"text/html"}},
	{"web", "web chat", "https://chat.example.com/f/TOKEN", nil},
	{"matrix", "Matrix", "", nil},
	{"slack", "Slack", "", nil},
	{"email", "mail", "", nil},
}

// TestWhatArrives compares every sample in every network with its golden file,
// and docs/mime.md with the table of them.
func TestWhatArrives(t *testing.T) {
	var table strings.Builder
	table.WriteString("| from \\ to |")
	for _, n := range networks {
		table.WriteString(" " + n.title + " |")
	}
	table.WriteString("\n|---" + strings.Repeat("|---", len(networks)) + "|\n")
	for _, s := range samples {
		data, err := os.ReadFile(filepath.Join("testdata", "mime", s.file+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		table.WriteString("| " + s.what + " |")
		for _, n := range networks {
			network, _, _ := strings.Cut(n.name, "-")
			taker, err := takerOf(network, n.accept)
			if err != nil {
				t.Fatal(err)
			}
			text, err := preview(data, taker, n.links)
			if err != nil {
				text = err.Error() + "\n"
			}
			golden(t, filepath.Join("testdata", "mime", s.file+"."+n.name+".golden"), text)
			table.WriteString(" " + cell(data, taker, n.links) + " |")
		}
		table.WriteString("\n")
	}
	within(t, filepath.Join("..", "..", "docs", "mime.md"), table.String())
}

// cell says in short what becomes of a message.
func cell(data []byte, taker mapping.Taker, links string) string {
	m := mapping.Entity(data)
	m.Links = links
	out, losses, err := mapping.Map(m, taker)
	if err != nil {
		return "refused"
	}
	form := map[string]string{
		"text/plain": "text", "text/html": "HTML", "text/vnd.slack.mrkdwn": "mrkdwn", "text/vnd.matrix.html": "Matrix HTML",
	}[strings.SplitN(out.MediaType, ";", 2)[0]]
	switch n := len(out.Files); {
	case form == "":
		form = "as it came"
	case len(out.Data) == 0 && n > 0:
		form = fmt.Sprintf("%d file", n)
	case n > 0:
		form += fmt.Sprintf(" + %d file", n)
	}
	if len(losses) > 0 {
		form += "; lost: " + lossList(losses)
	}
	return form
}

func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != text {
		t.Errorf("%s (%v): got\n%s\nwant\n%s", path, err, text, want)
	}
}

// within compares what stands between the marks of a document.
func within(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- made by TestWhatArrives -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(string(data), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no marks", path)
	}
	whole := head + begin + text + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(data) != whole {
		t.Errorf("%s is not what the code does: go generate ./cmd/parley", path)
	}
}
