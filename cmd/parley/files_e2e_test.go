package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"parley.im/plugins/content/transfer"
)

// A phone sends words and a picture: another phone gets them as they came, the
// chat gets both. What the chat adds reaches a phone as a link, which works
// over a restart, and no longer once its sender is erased.
func TestPicturesOfPhonesAndOfTheChat(t *testing.T) {
	t.Parallel()
	b := newBridge(t, `links  = ""`, `links  = "http://127.0.0.1:8025/"`)
	bob := newUDPPhone(b, "bob")
	ann := joinChat(t, b.web, "ann")
	sample, err := os.ReadFile(filepath.Join("testdata", "mime", "phone-picture.eml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(sample), "\n\n")
	b.sends("alice", "sip:lobby@127.0.0.1", "multipart/mixed;boundary=b", body)
	if got := bob.contains("Content-Disposition: inline; filename=cat.png"); got.Text != body {
		t.Errorf("the phone got %q", got.Text)
	}
	m := ann.sees("Look at this", func(m chatMessage) bool { return len(m.Files) == 1 })
	file := fmt.Sprintf("%sapi/file?conv=%s&seq=%d&n=0", ann.base, m.Conv, m.Seq)
	png, err := base64.StdEncoding.DecodeString(regexp.MustCompile(`iVBOR[\w+/=]+`).FindString(body))
	if err != nil {
		t.Fatal(err)
	}
	if status, data, _ := fetched(t, &ann.web, file); status != 200 || data != string(png) || m.Files[0].Name != "cat.png" {
		t.Errorf("%d %q %+v", status, data, m.Files)
	}

	ann.sayWith("r:lobby", "and this", "dog.png", png)
	got := bob.contains("and this")
	link := regexp.MustCompile(`^and this\s+dog\.png \(image/png, \d+ bytes\): (http://127\.0\.0\.1:\d+/f/[\w-]+/f1/dog\.png)$`).FindStringSubmatch(got.Text)
	if link == nil {
		t.Fatalf("the phone shows %q", got.Text)
	}
	id := b.says(`msg=stored message=(\w+) origin=web`)[1]
	b.says(`msg=delivered connector=sip message=\w+ inbound=` + id)
	if out, bad, code := b.cli("", "trace", "--config", b.config, id); code != 0 || !strings.Contains(out, `lost="file as link"`) {
		t.Errorf("trace: %d %q %q", code, out, bad)
	}
	b.crash()
	b.start()
	if status, data, h := fetched(t, http.DefaultClient, link[1]); status != 200 || data != string(png) || h.Get("Content-Type") != "image/png" ||
		!strings.HasPrefix(h.Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %q %v", status, data, h)
	}
	if status, _, _ := fetched(t, http.DefaultClient, strings.Replace(link[1], "/f/", "/f/A", 1)); status != 404 {
		t.Errorf("a guessed link: %d", status)
	}
	if _, bad, code := b.cli("", "erase", "--config", b.config, "--yes", "web:u/ann"); code != 0 {
		t.Fatal(bad)
	}
	if status, _, _ := fetched(t, http.DefaultClient, link[1]); status != 410 {
		t.Errorf("after the sender was erased: %d", status)
	}
}

// fetched is the answer to a GET.
func fetched(t *testing.T, client *http.Client, url string) (int, string, http.Header) {
	t.Helper()
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data), r.Header
}

// sayWith says something with a file, as the page does.
func (p *person) sayWith(conv, text, name string, data []byte) {
	p.t.Helper()
	r, err := http.NewRequest("POST", p.base+"api/files?name="+name, bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "image/png")
	r.Header.Set("Origin", strings.SplitN(p.base, "/c/", 2)[0])
	r.Header.Set("X-Parley-Token", p.csrf)
	var up struct{ ID string }
	p.do(r, &up)
	p.post("api/messages", map[string]any{"conv": conv, "text": text, "nonce": "nonce-" + name, "files": []string{up.ID}}, nil)
}

// What a phone sends with formats is shown with them in the chat, and goes to
// another phone as it came.
func TestFormatsOfPhones(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	bob := newUDPPhone(b, "bob")
	ann := joinChat(t, b.web, "ann")
	b.sends("alice", "sip:lobby@127.0.0.1", "text/html", "<p>Now: <b>go</b><script>x</script></p>")
	ann.sees("Now: go", func(m chatMessage) bool { return m.HTML == "<p>Now: <strong>go</strong></p>" })
	bob.sees("<p>Now: <b>go</b><script>x</script></p>")
}

// A file that a phone has put on a server outside comes along where the server
// may be asked, and only there.
func TestFilesThatPhonesName(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "image/png")
		fmt.Fprint(w, "\x89PNG\r\n\x1a\n"+r.URL.Path)
	}))
	defer s.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	b := newBridge(t, "fetch  = []", `fetch  = ["127.0.0.1:`+port+`", "127.0.0.0/8"]`)
	ann := joinChat(t, b.web, "ann")
	doc := transfer.File{Name: "cat.png", MediaType: "image/png", Size: 12, URL: s.URL + "/1?key=secret"}
	b.sends("alice", "sip:lobby@127.0.0.1", transfer.MediaType, string(doc.XML()))
	m := ann.sees("", func(m chatMessage) bool { return len(m.Files) == 1 && m.Files[0].Name == "cat.png" })
	if status, data, _ := fetched(t, &ann.web, fmt.Sprintf("%sapi/file?conv=%s&seq=%d&n=0", ann.base, m.Conv, m.Seq)); status != 200 || data != "\x89PNG\r\n\x1a\n/1" {
		t.Errorf("%d %q", status, data)
	}
	b.says(`msg="file fetched" .* host=127.0.0.1:` + port + ` type=image/png size=10`)
	doc.URL = strings.Replace(doc.URL, "127.0.0.1", "localhost", 1)
	b.sends("alice", "sip:lobby@127.0.0.1", transfer.MediaType, string(doc.XML()))
	ann.sees("cat.png (image/png, 12 bytes): "+doc.URL, nil)
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := b.count("secret[^-]"); n > 0 {
		t.Errorf("the log has the whole URL")
	}
}
