package email

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
)

func file(name, mediaType, data string) event.File {
	return event.File{Name: name, Content: event.Content{MediaType: mediaType, Data: []byte(data)}}
}

func opened(t *testing.T, data []byte) *enmime.Envelope {
	t.Helper()
	e, err := enmime.ReadEnvelope(bytes.NewReader(data))
	if err != nil || slices.ContainsFunc(e.Errors, func(p *enmime.Error) bool { return p.Severe }) {
		t.Fatalf("%v %v\n%.2000s", err, e.Errors, data)
	}
	return e
}

func TestFormatsMakeAMailOfTwoForms(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	d := hello("**now** <script>x</script>")
	d.MediaType = "text/markdown"
	_, m := w.sent(d)
	e := opened(t, m.Data)
	if !strings.HasPrefix(e.GetHeader("Content-Type"), "multipart/alternative") || strings.TrimSpace(e.Text) != "now <script>x</script>" ||
		!strings.Contains(e.HTML, "<p><strong>now</strong> &lt;script&gt;x&lt;/script&gt;</p>") {
		t.Errorf("%s\n%q\n%q", e.GetHeader("Content-Type"), e.Text, e.HTML)
	}
	if !bytes.HasPrefix(m.Data, []byte("Received: ")) {
		t.Errorf("the mail begins %.40q", m.Data)
	}
}

func TestFilesAreAttached(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	large := strings.Repeat("\x00\xffbinary\r\n.\r\n", 100_000)
	kept, err := w.host.Media().Store(t.Context(), "application/pdf", strings.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	d := hello("see **this**")
	d.MediaType = "text/markdown"
	d.Files = []event.File{file("für \"dich\"\r\nX: y.png", "image/png", "png"), {Name: "b.pdf", Content: kept}}
	r, m := w.sent(d)
	e := opened(t, m.Data)
	if strings.TrimSpace(e.Text) != "see this" || !strings.Contains(e.HTML, "<strong>") || len(e.Attachments) != 2 || len(r.Losses) != 0 {
		t.Fatalf("%q, %q, %d attachments", e.Text, e.HTML, len(e.Attachments))
	}
	a, b := e.Attachments[0], e.Attachments[1]
	if a.ContentType != "image/png" || string(a.Content) != "png" || b.FileName != "b.pdf" || string(b.Content) != large {
		t.Errorf("%q %s %d bytes, %q %d bytes", a.FileName, a.ContentType, len(a.Content), b.FileName, len(b.Content))
	}
	if !bytes.HasPrefix(m.Data, []byte("Received: ")) || e.GetHeader("X") != "" {
		t.Errorf("the mail begins %.200q", m.Data)
	}
}

func TestATextIsNotLostWithItsFiles(t *testing.T) {
	w := open(t, mailtest.Options{MaxSize: 20_000}, nil)
	d := hello("see")
	d.Files = []event.File{file("big.bin", "application/octet-stream", strings.Repeat("x", 30_000))}
	r, m := w.sent(d)
	e := opened(t, m.Data)
	if !strings.Contains(e.Text, "see") || !strings.Contains(e.Text, "[file not passed on: big.bin]") || !slices.Equal(r.Losses, []string{string(notAttached)}) {
		t.Errorf("%q, %+v", e.Text, r)
	}
	d.Files = []event.File{{Name: "gone.bin", Content: event.Content{Ref: "gone", Size: 5}}}
	_, m = w.sent(d)
	if e := opened(t, m.Data); !strings.Contains(e.Text, "[file not passed on: gone.bin]") {
		t.Errorf("%q", e.Text)
	}
}

func TestAttachmentsAndFormatsComeIn(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	m := lines("From: bob@example.com", "Message-ID: <q@x>", "Subject: Re: x", "References: <y@z>", "MIME-Version: 1.0",
		"Content-Type: multipart/mixed; boundary=mm", "", "--mm", "Content-Type: multipart/related; boundary=rr", "", "--rr",
		"Content-Type: multipart/alternative; boundary=aa", "",
		"--aa", "Content-Type: text/plain", "", "Yes, *all* of it.", "", "On 2026-11-23 10:00, Alice wrote:", "> Coming?",
		"--aa", "Content-Type: text/html", "", `<div>Yes, <b>all</b> of it.</div><img src="cid:logo"><div>On 2026-11-23 10:00, Alice wrote:</div><blockquote>Coming?</blockquote>`,
		"--aa--", "--rr", "Content-Type: image/png", "Content-ID: <logo>", "Content-Disposition: inline", "Content-Transfer-Encoding: base64", "", "AAAA", "--rr--",
		"--mm", "Content-Type: application/pdf", "Content-Disposition: attachment; filename=\"../plan.pdf\"", "Content-Transfer-Encoding: base64", "", "cGRm", "--mm--")
	if code := w.arrives(answerTo, m); code != 250 {
		t.Fatalf("answer %d", code)
	}
	in := w.host.Inbounds()[0]
	if in.MediaType != "text/markdown;charset=utf-8" || string(in.Data) != "Yes, **all** of it." || len(in.Files) != 1 {
		t.Fatalf("%s %q, %+v", in.MediaType, in.Data, in.Files)
	}
	r, err := w.host.Media().Open(t.Context(), in.Files[0].Content)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, _ := io.ReadAll(r)
	if f := in.Files[0]; f.Name != "../plan.pdf" && f.Name != "plan.pdf" || f.MediaType != "application/pdf" || string(data) != "pdf" || in.Original == "" {
		t.Errorf("%+v %q", f, data)
	}
}
