package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is one browser: it keeps its cookie and speaks like a browser.
type browser struct {
	*chat
	cookie *http.Cookie
	token  string
	from   string // address of the browser as the door saw it
	name   string
}

func (c *chat) browser() *browser { return &browser{chat: c, from: "127.0.0.1"} }

// join makes a browser that has a name.
func (c *chat) join(name string) *browser {
	c.t.Helper()
	b := c.browser()
	if code, body := b.post("/api/join", map[string]string{"name": name}); code != http.StatusOK {
		c.t.Fatalf("join as %s: %d %s", name, code, body)
	}
	b.name = name
	return b
}

func (b *browser) request(method, path string, body any) *http.Request {
	var r io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(body)
	default:
		r = bytes.NewReader(marshal(body))
	}
	q := httptest.NewRequest(method, "http://localhost:8025"+path, r)
	q.Header.Set("X-Forwarded-For", b.from)
	q.Header.Set("X-Forwarded-Proto", "http")
	q.Header.Set("X-Forwarded-Prefix", "/c/web")
	if method == "POST" {
		q.Header.Set("Origin", "http://localhost:8025")
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("X-Parley-Token", b.token)
	}
	if b.cookie != nil {
		q.AddCookie(b.cookie)
	}
	return q
}

func (b *browser) do(q *http.Request) (int, string) {
	w := httptest.NewRecorder()
	b.host.handler.ServeHTTP(w, q)
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
	var s sessionAnswer
	if json.Unmarshal(w.Body.Bytes(), &s) == nil && s.Token != "" {
		b.token = s.Token
	}
	return w.Code, w.Body.String()
}

func (b *browser) get(path string) (int, string) { return b.do(b.request("GET", path, nil)) }
func (b *browser) post(path string, body any) (int, string) {
	return b.do(b.request("POST", path, body))
}

var nonces struct {
	sync.Mutex
	n int
}

func nonce() string {
	nonces.Lock()
	defer nonces.Unlock()
	nonces.n++
	return fmt.Sprintf("nonce-%08d", nonces.n)
}

// say posts a text and returns the message.
func (b *browser) say(conv, text string) message {
	b.t.Helper()
	code, body := b.post("/api/messages", map[string]any{"conv": conv, "text": text, "nonce": nonce()})
	if code != http.StatusOK {
		b.t.Fatalf("%s says %q in %s: %d %s", b.name, text, conv, code, body)
	}
	return parse[message](b.t, body)
}

// open opens a direct conversation and returns its id.
func (b *browser) open(to string) string {
	b.t.Helper()
	code, body := b.post("/api/open", map[string]string{"to": to})
	if code != http.StatusOK {
		b.t.Fatalf("%s opens %s: %d %s", b.name, to, code, body)
	}
	return parse[convView](b.t, body).ID
}

func (b *browser) state() stateAnswer {
	b.t.Helper()
	code, body := b.get("/api/state")
	if code != http.StatusOK {
		b.t.Fatalf("state: %d %s", code, body)
	}
	return parse[stateAnswer](b.t, body)
}

// conv returns a conversation as the page lists it.
func (b *browser) conv(id string) (convView, bool) {
	b.t.Helper()
	for _, c := range b.state().Conversations {
		if c.ID == id {
			return c, true
		}
	}
	return convView{}, false
}

func parse[T any](t *testing.T, body string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("parse %s: %v", body, err)
	}
	return v
}

// texts lists what a conversation shows.
func texts(list []*message) (all []string) {
	for _, m := range list {
		all = append(all, m.Text)
	}
	return all
}

// listener is an open event stream.
type listener struct {
	t      *testing.T
	events chan sse
	stop   context.CancelFunc
	done   chan struct{}
}

type sse struct{ id, kind, data string }

// listen opens the stream since a number, or resumes after an event id.
func (b *browser) listen(since, lastID string) *listener {
	b.t.Helper()
	q := b.request("GET", "/events?since="+since, nil)
	if lastID != "" {
		q.Header.Set("Last-Event-ID", lastID)
	}
	ctx, stop := context.WithCancel(b.t.Context())
	l := &listener{b.t, make(chan sse, 2000), stop, make(chan struct{})}
	go func() {
		defer close(l.done)
		b.host.handler.ServeHTTP(&streamWriter{header: http.Header{}, to: l.events}, q.WithContext(ctx))
	}()
	b.t.Cleanup(l.close)
	return l
}

func (l *listener) close() {
	l.stop()
	<-l.done
}

// until returns the next event of a kind.
func (l *listener) until(kind string) sse {
	l.t.Helper()
	for {
		select {
		case e := <-l.events:
			if e.kind == kind {
				return e
			}
		case <-time.After(10 * time.Second):
			l.t.Fatalf("no event of kind %s came", kind)
		}
	}
}

// marked waits until a message has a mark.
func (l *listener) marked(seq int64, mark string) message {
	l.t.Helper()
	for {
		if m := parse[message](l.t, l.until("message").data); m.Seq == seq && m.Mark == mark {
			return m
		}
	}
}

// streamWriter takes events apart as they are written.
type streamWriter struct {
	header http.Header
	to     chan sse
}

func (w *streamWriter) Header() http.Header                { return w.header }
func (w *streamWriter) WriteHeader(int)                    {}
func (w *streamWriter) Flush()                             {}
func (w *streamWriter) SetWriteDeadline(_ time.Time) error { return nil }
func (w *streamWriter) Write(p []byte) (int, error) {
	var e sse
	for line := range strings.Lines(string(p)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		}
	}
	w.to <- e
	return len(p), nil
}
