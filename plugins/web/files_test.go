package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

// upload sends a file as the page does, and returns its id.
func (b *browser) upload(name, kind, data string) (code int, id string) {
	b.t.Helper()
	q := b.request("POST", "/api/files?name="+url.QueryEscape(name), data)
	q.Header.Set("Content-Type", kind)
	code, body := b.do(q)
	if code != http.StatusOK {
		return code, body
	}
	return code, parse[struct{ ID string }](b.t, body).ID
}

// fetch asks for a file of a message.
func (b *browser) fetch(conv string, seq int64, n int) *http.Response {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.host.handler.ServeHTTP(w, b.request("GET", "/api/file?"+url.Values{
		"conv": {conv}, "seq": {strconv.FormatInt(seq, 10)}, "n": {strconv.Itoa(n)},
	}.Encode(), nil))
	return w.Result()
}

func TestFilesGoWithWhatIsSaid(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	_, id := eve.upload("../pl\u202ean.png", "image/png", "png")
	code, body := eve.post("/api/messages", map[string]any{"conv": "r:lobby", "text": "", "nonce": nonce(), "files": []string{id}})
	if code != http.StatusOK {
		t.Fatal(code, body)
	}
	in := <-c.host.put
	if len(in.Files) != 1 || in.Files[0].MediaType != "image/png" || in.Files[0].Ref != "kept0" || len(in.Data) != 0 {
		t.Errorf("put %+v", in)
	}
	v, _ := bob.conv("r:lobby")
	m := v.Messages[0]
	if len(m.Files) != 1 || m.Files[0].Ref != "" || m.Files[0].SHA256 != "" || m.Files[0].Size != 3 || strings.ContainsRune(m.Files[0].Name, '\u202e') || strings.Contains(body, "kept0") {
		t.Errorf("shown: %+v", m.Files)
	}
	r := bob.fetch("r:lobby", m.Seq, 0)
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") ||
		!strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") || r.ContentLength != 3 {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	for _, tc := range []struct {
		who  *browser
		conv string
		seq  int64
		n    int
		want int
	}{
		{bob, "r:lobby", m.Seq, 1, 404}, {bob, "r:lobby", m.Seq, -1, 404}, {bob, "r:lobby", m.Seq + 1, 0, 404}, {bob, "r:attic", m.Seq, 0, 404},
		{c.browser(), "r:lobby", m.Seq, 0, 401},
	} {
		if r := tc.who.fetch(tc.conv, tc.seq, tc.n); r.StatusCode != tc.want {
			t.Errorf("%s %d %d: %d, want %d", tc.conv, tc.seq, tc.n, r.StatusCode, tc.want)
		}
	}
}

func TestFilesOfOthersAreNotSentNorSeen(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob, mallory := c.join("eve"), c.join("bob"), c.join("mallory")
	_, id := eve.upload("a.txt", "text/html", "secret")
	say := func(who *browser, conv string) int {
		code, _ := who.post("/api/messages", map[string]any{"conv": conv, "text": "x", "nonce": nonce(), "files": []string{id}})
		return code
	}
	if code := say(mallory, "r:lobby"); code != http.StatusConflict {
		t.Errorf("mallory sends eve's file: %d", code)
	}
	pair := eve.open("@bob")
	if code := say(eve, pair); code != http.StatusOK {
		t.Fatal(code)
	}
	v, _ := bob.conv(pair)
	seq := v.Messages[0].Seq
	if r := bob.fetch(pair, seq, 0); r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("bob: %d %v", r.StatusCode, r.Header)
	}
	if r := mallory.fetch(pair, seq, 0); r.StatusCode != 404 {
		t.Errorf("mallory reads it: %d", r.StatusCode)
	}
	delete(c.host.kept, "kept0")
	if r := bob.fetch(pair, seq, 0); r.StatusCode != http.StatusGone {
		t.Errorf("gone: %d", r.StatusCode)
	}
}

func TestUploadsAreLimitedAndThePagesOwn(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	if code, _ := eve.upload("big", "x/y", strings.Repeat("x", 1<<20+1)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", code)
	}
	for name, change := range map[string]func(*http.Request){
		"another site": func(q *http.Request) { q.Header.Set("Origin", "https://evil.example") },
		"no token":     func(q *http.Request) { q.Header.Del("X-Parley-Token") },
		"nobody":       func(q *http.Request) { q.Header.Del("Cookie") },
	} {
		q := eve.request("POST", "/api/files?name=x", "x")
		change(q)
		if code, _ := eve.do(q); code != http.StatusForbidden && code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
	u := uploads{}
	now := time.Unix(1_800_000_000, 0)
	for range maxUploads {
		if _, err := u.add("eve", file{}, now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.add("eve", file{}, now); err == nil {
		t.Error("more than enough are kept")
	}
	if _, err := u.add("eve", file{}, now.Add(uploadLasts+1)); err != nil {
		t.Errorf("old ones stand in the way: %v", err)
	}
}

func TestDeliveredFilesAndFormatsAreShown(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	d := from(alice, "web:room/lobby", "d1", `<b onclick=x>now</b><script>bad()</script>`)
	d.MediaType = "text/html"
	kept, err := c.host.Store(t.Context(), "application/pdf", strings.NewReader("pdf"))
	if err != nil {
		t.Fatal(err)
	}
	d.Files = []event.File{{Name: "a.png", Content: event.Content{MediaType: "image/png", Data: []byte("png")}}, {Name: "b.pdf", Content: kept}}
	c.deliver(d)
	v, _ := eve.conv("r:lobby")
	m := v.Messages[0]
	if m.HTML != "<p><strong>now</strong></p>" || m.Text != "now" || len(m.Files) != 2 {
		t.Errorf("%+v", m)
	}
	for n, want := range []string{"image/png", "application/octet-stream"} {
		if r := eve.fetch("r:lobby", m.Seq, n); r.StatusCode != 200 || r.Header.Get("Content-Type") != want || r.ContentLength != 3 {
			t.Errorf("%d: %d %v", n, r.StatusCode, r.Header)
		}
	}
}
