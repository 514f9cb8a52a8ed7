package web

import (
	"errors"
	"fmt"
	"io"
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
	before := len(c.host.kept)
	for range maxUploads {
		if code, _ := eve.upload("x", "x/y", "x"); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	if code, _ := eve.upload("x", "x/y", "x"); code != http.StatusTooManyRequests || len(c.host.kept) != before+maxUploads {
		t.Errorf("one too many: %d, %d are stored", code, len(c.host.kept)-before)
	}
	q := c.join("bob").request("POST", "/api/files?name=x", io.LimitReader(endless{}, 10))
	q.ContentLength = -1
	if code, _ := eve.do(q); code != http.StatusLengthRequired || len(c.host.kept) != before+maxUploads {
		t.Errorf("of any length: %d", code)
	}
}

// A file that the door would cut off is refused before it comes.
func TestAFileThatTheDoorDoesNotTakeIsRefusedAtOnce(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	q := eve.request("POST", "/api/files?name=x", nil)
	q.Body, q.ContentLength = io.NopCloser(unread{t}), maxUpload+1
	if code, _ := eve.do(q); code != http.StatusRequestEntityTooLarge || len(c.uploads.all) != 0 {
		t.Errorf("%d, %d are on their way", code, len(c.uploads.all))
	}
}

// unread is a body that nobody reads.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("it is read")
	return 0, io.EOF
}

// Few uploads of a person's and from one network are on their way at once, so
// that what is only announced takes no room from anybody else.
func TestUploadsOnTheirWayAreFew(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	u := uploads{}
	reserve := func(person, from string, want error) (id string) {
		t.Helper()
		id, err := u.reserve(person, network(from), maxUpload, now)
		if !errors.Is(err, want) {
			t.Errorf("%s from %s: %v, want %v", person, from, err, want)
		}
		return id
	}
	var ids []string
	for i := range maxComings {
		ids = append(ids, reserve(fmt.Sprint("name", i/maxComing), fmt.Sprintf("2001:db8::%x", i), nil))
	}
	reserve("name0", "192.0.2.1", errComing)     // one person, anywhere
	reserve("another", "2001:db8::9", errComing) // their network, under any name
	reserve("bob", "2001:db8:0:1::9", nil)       // nobody else
	reserve("bob", "192.0.2.2", nil)
	u.keep(ids[0], file{Name: "x"})
	reserve("name0", "2001:db8::9", nil) // one has come in
	u.forget(ids[1:2])
	reserve("another", "2001:db8::9", nil) // one has not
}

// Whoever has more than their share makes room scarce for themselves alone, under
// as many names as they like; only all together reach the bound.
func TestWhatIsNeverSentTakesNoRoomFromOthers(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	u := uploads{}
	fill := func(person func(i int) string, from string) (taken int64, err error) {
		for i := 0; err == nil; i++ {
			var id string
			if id, err = u.reserve(person(i), from, maxUpload, now); err == nil {
				u.keep(id, file{Name: "x"})
				taken += maxUpload
			}
		}
		return taken, err
	}
	many := func(i int) string { return fmt.Sprint("name", i) }
	if taken, err := fill(many, "192.0.2.1"); taken != manyUnsent || !errors.Is(err, errUnsent) {
		t.Errorf("one network has %d, %v", taken, err)
	}
	total := int64(manyUnsent)
	for i := 2; total < maxUnsents; i++ {
		taken, err := fill(func(int) string { return fmt.Sprint("bob", i) }, fmt.Sprint("192.0.2.", i))
		if taken != fairUnsent || !errors.Is(err, errUnsent) {
			t.Fatalf("bob %d has %d, %v", i, taken, err)
		}
		total += taken
	}
	if taken, err := fill(many, "198.51.100.1"); taken != 0 || !errors.Is(err, errUnsent) {
		t.Errorf("beyond the bound of all: %d, %v", taken, err)
	}
	if _, err := u.reserve("name0", "192.0.2.1", maxUpload, now.Add(unsentLasts+1)); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// What is uploaded and never sent stays in Media: it is bounded for each person
// and for all, in number for an hour and in bytes for a day.
func TestWhatIsNeverSentIsBounded(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		size  int64
		every time.Duration // between two uploads
		names int
		most  int // taken within a day
		err   error
	}{
		"many at once":      {1, 0, 1, maxUploads, errUploads},
		"many in a day":     {1, uploadLasts / 8, 1, 8 * 24, nil},
		"large ones":        {maxUpload, 0, 1, 8, errUnsent},
		"large, one by one": {maxUpload, uploadLasts + 1, 1, 8, errUnsent},
		"under many names":  {maxUpload, 0, 1000, 64, errUnsent},
		"small, many names": {0, 0, 100_000, manyUnsent / leastUpload, errUnsent},
	} {
		u, taken, now := uploads{}, 0, begin
		for i := 0; now.Sub(begin) < unsentLasts; i++ {
			id, err := u.reserve(fmt.Sprint(i%tc.names), "192.0.2.1", tc.size, now)
			if err != nil {
				if !errors.Is(err, tc.err) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			u.keep(id, file{Name: "x"})
			taken++
			now = now.Add(tc.every)
		}
		if taken != tc.most {
			t.Errorf("%s: %d are taken, want %d", name, taken, tc.most)
		}
		if _, err := u.reserve("0", "192.0.2.1", tc.size, begin.Add(2*unsentLasts+1)); err != nil || len(u.all) != 1 {
			t.Errorf("%s: days later: %v, %d", name, err, len(u.all))
		}
	}
	u := uploads{}
	for range 10 { // what was sent, or did not come in, does not count
		id, err := u.reserve("eve", "192.0.2.1", maxUpload, begin)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := u.get("eve", []string{id}, begin); ok {
			t.Error("it is there before it is")
		}
		u.keep(id, file{Name: "x"})
		if _, ok := u.get("eve", []string{id}, begin.Add(uploadLasts+1)); ok {
			t.Error("it is there for ever")
		}
		if list, ok := u.get("eve", []string{id}, begin); !ok || list[0].Name != "x" {
			t.Error("it is not there")
		}
		u.forget([]string{id})
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
	fetched := event.Content{MediaType: "image/png", Ref: "delivery:1", Size: 3} // which the host lets go of
	d.Files = append(d.Files, event.File{Name: "c.png", Content: fetched})
	c.deliver(d)
	v, _ := eve.conv("r:lobby")
	m := v.Messages[0]
	if m.HTML != "<p><strong>now</strong></p>" || m.Text != "now" || len(m.Files) != 3 {
		t.Errorf("%+v", m)
	}
	stored, err := c.store.get(t.Context(), "r:lobby", m.Seq)
	if err != nil || stored.Files[1].Ref != kept.Ref || !strings.HasPrefix(stored.Files[2].Ref, "kept") {
		t.Errorf("kept: %+v, %v", stored.Files, err)
	}
	for n, want := range []string{"image/png", "application/octet-stream", "image/png"} {
		if r := eve.fetch("r:lobby", m.Seq, n); r.StatusCode != 200 || r.Header.Get("Content-Type") != want || r.ContentLength != 3 {
			t.Errorf("%d: %d %v", n, r.StatusCode, r.Header)
		}
	}
}
