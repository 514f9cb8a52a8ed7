package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

var errDisk = errors.New("disk is gone")

// memState is a State in memory that can fail before or after a write.
type memState struct {
	mu      sync.Mutex
	entries map[string]sdk.Entry
	next    uint64
	writes  int
	failAt  int  // the write that fails, counted from 1; 0 for none
	applied bool // the failing write comes through nevertheless
	down    bool // after a failure everything fails, as after a crash
}

func newState() *memState { return &memState{entries: map[string]sdk.Entry{}} }

// crashAt makes the nth write from now the last thing that happens.
func (s *memState) crashAt(n int, applied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes, s.failAt, s.applied, s.down = 0, n, applied, false
}

// revive ends the crash.
func (s *memState) revive() { s.crashAt(0, false) }

func (s *memState) write(f func()) error {
	if s.down {
		return errDisk
	}
	s.writes++
	if s.writes != s.failAt {
		f()
		return nil
	}
	if s.applied {
		f()
	}
	s.down = true
	return errDisk
}

func (s *memState) Get(_ context.Context, key string) (sdk.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return sdk.Entry{}, errDisk
	}
	e, ok := s.entries[key]
	if !ok {
		return e, sdk.ErrNotFound
	}
	return e, nil
}

func (s *memState) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(key) > 256 || len(value) > 64<<10 {
		return 0, fmt.Errorf("key of %d or value of %d bytes is too large", len(key), len(value))
	}
	if s.entries[key].Revision != revision {
		return 0, sdk.ErrConflict
	}
	s.next++
	rev := s.next
	return rev, s.write(func() { s.entries[key] = sdk.Entry{Key: key, Value: bytes.Clone(value), Revision: rev} })
}

func (s *memState) Delete(_ context.Context, key string, revision uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[key].Revision != revision || revision == 0 {
		return sdk.ErrConflict
	}
	return s.write(func() { delete(s.entries, key) })
}

func (s *memState) List(_ context.Context, prefix, after string, limit int) ([]sdk.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDisk
	}
	var list []sdk.Entry
	for k, e := range s.entries {
		if strings.HasPrefix(k, prefix) && k > after {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b sdk.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list[:min(limit, len(list))], nil
}

func (s *memState) keys(prefix string) (keys []string) {
	list, _ := s.List(context.Background(), prefix, "", 1<<20)
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	return keys
}

// fakeHost keeps what a connector puts.
type fakeHost struct {
	state   *memState
	handler http.Handler
	mu      sync.Mutex
	answers []error // of the next Puts; then nil
	refuses error   // answer of Accepts
	hold    chan struct{}
	put     chan event.Inbound
}

func newHost(s *memState) *fakeHost {
	return &fakeHost{state: s, put: make(chan event.Inbound, 100)}
}

func (h *fakeHost) Put(ctx context.Context, in event.Inbound) (string, error) {
	if h.hold != nil {
		select {
		case <-h.hold:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	h.put <- in
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.answers) > 0 {
		err := h.answers[0]
		h.answers = h.answers[1:]
		return "", err
	}
	return event.InboundID("web", in.NativeID), nil
}

func (h *fakeHost) Signal(context.Context, event.Typing) error { return nil }
func (h *fakeHost) Report(context.Context, event.Report) error { return nil }
func (h *fakeHost) Accepts(context.Context, event.Address, event.Address) error {
	return h.refuses
}
func (h *fakeHost) State() sdk.State                 { return h.state }
func (h *fakeHost) Media() sdk.Media                 { return h }
func (h *fakeHost) Serve(handler http.Handler) error { h.handler = handler; return nil }
func (h *fakeHost) Log() *slog.Logger                { return slog.New(slog.DiscardHandler) }

func (h *fakeHost) Store(context.Context, string, io.Reader) (event.Content, error) {
	return event.Content{}, errors.New("not needed")
}

func (h *fakeHost) Open(_ context.Context, c event.Content) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(endless{}, c.Size)), nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// chat is one life of the connector.
type chat struct {
	*connector
	t    *testing.T
	host *fakeHost
}

// start opens the connector over a state.
func start(t *testing.T, s *memState, table string) *chat { return startWith(t, newHost(s), table) }

func startWith(t *testing.T, h *fakeHost, table string) *chat {
	t.Helper()
	c := New().(*connector)
	if err := c.Open(t.Context(), sdk.Settings{Instance: "web", JSON: json.RawMessage(table)}, h); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return &chat{c, t, h}
}

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

// from is a delivery to a target from a SIP user.
func from(sender event.Address, target event.Address, id, text string) event.Delivery {
	return event.Delivery{
		ID: id, Kind: event.KindMessage, Target: target, From: sender, Sender: sender, SenderName: "Alice", Attempt: 1,
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
}

func (c *chat) deliver(d event.Delivery) event.Receipt {
	c.t.Helper()
	r, err := c.Deliver(c.t.Context(), d)
	if err != nil {
		c.t.Fatalf("deliver %s: %v", d.ID, err)
	}
	return r
}

const alice = event.Address("sip:alice@127.0.0.1")
