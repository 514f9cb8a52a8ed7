package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A phone sends words and a picture: another phone gets them as they came, the
// chat gets the words and a link, which works without the password of the door
// over a restart, and no longer once the sender is erased.
func TestAPictureFromAPhone(t *testing.T) {
	t.Parallel()
	b := newBridge(t, `links  = ""`, `links  = "http://127.0.0.1:8025/"`)
	bob := newUDPPhone(b, "bob")
	sample, err := os.ReadFile(filepath.Join("testdata", "mime", "phone-picture.eml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(sample), "\n\n")
	b.sends("alice", "sip:lobby@127.0.0.1", "multipart/mixed;boundary=b", body)
	if got := bob.contains("Content-Disposition: inline; filename=cat.png"); got.Text != body {
		t.Errorf("the phone got %q", got.Text)
	}
	id := b.says(`msg=delivered connector=web message=(\w+)`)[1]
	out, bad, code := b.cli("", "trace", "--config", b.config, id)
	if code != 0 || !strings.Contains(out, `lost="file as link"`) {
		t.Errorf("trace: %d %q %q", code, out, bad)
	}
	late := joinChat(t, b.web, "late")
	shown := late.texts("Look at this")
	link := regexp.MustCompile(`^Look at this\s+cat\.png \(image/png, \d+ bytes\): (http://127\.0\.0\.1:\d+/f/[\w-]+/0\.2/cat\.png)$`).FindStringSubmatch(strings.Join(shown, "|"))
	if link == nil {
		t.Fatalf("the chat shows %q", shown)
	}
	late.stop()
	get := func(url string) (int, string, http.Header) {
		t.Helper()
		r, err := http.Get(url)
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
	b.crash()
	b.start()
	if status, data, h := get(link[1]); status != 200 || !strings.HasPrefix(data, "\x89PNG") || h.Get("Content-Type") != "image/png" ||
		!strings.HasPrefix(h.Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %q %v", status, data, h)
	}
	if status, _, _ := get(strings.Replace(link[1], "/f/", "/f/A", 1)); status != 404 {
		t.Errorf("a guessed link: %d", status)
	}
	if _, bad, code := b.cli("", "erase", "--config", b.config, "--yes", "sip:alice@127.0.0.1"); code != 0 {
		t.Fatal(bad)
	}
	if status, _, _ := get(link[1]); status != 410 {
		t.Errorf("after the sender was erased: %d", status)
	}
}

// What somebody writes with formats reaches a phone in words, and a link lasts.
func TestMarkdownReachesAPhoneInWords(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	bob := newUDPPhone(b, "bob")
	ann := joinChat(t, b.web, "ann")
	b.sends("alice", "sip:lobby@127.0.0.1", "text/html", "<p>Now: <b>go</b><script>x</script></p>")
	ann.sees("Now: go", func(m chatMessage) bool { return m.HTML == "<p>Now: <strong>go</strong></p>" })
	bob.sees("<p>Now: <b>go</b><script>x</script></p>") // from phone to phone as it came
}
