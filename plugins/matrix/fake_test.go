package matrix

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

// logBuffer is a log that tests read.
type logBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{}
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.b.Write(p)
}

func (l *logBuffer) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// await waits until the log has a line with part.
func (l *logBuffer) await(t testing.TB, part string) {
	t.Helper()
	l.awaitCount(t, part, 1)
}

// awaitCount waits until the log has n lines with part.
func (l *logBuffer) awaitCount(t testing.TB, part string, n int) {
	t.Helper()
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if l.count(part) >= n {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("the log never said %q", part)
		case <-time.After(20 * time.Second):
			t.Fatalf("the log never said %q:\n%s", part, l.b.String())
		}
	}
}

// host is a host in memory with a door of its own.
type host struct {
	*sdktest.Backend
	log   *logBuffer
	door  *httptest.Server
	media sdk.Media // instead of the Backend's
}

func (h *host) Media() sdk.Media {
	if h.media != nil {
		return h.media
	}
	return h.Backend.Media()
}

func (h *host) Log() *slog.Logger { return slog.New(slog.NewTextHandler(h.log, nil)) }

func (h *host) Serve(handler http.Handler) error {
	h.door = httptest.NewServer(handler)
	return nil
}

// bridge is a connector that is open, between a host and a homeserver.
type bridge struct {
	*connector
	*host
	t  testing.TB
	hs *matrixtest.Server
}

func settingsOf(hs *matrixtest.Server) json.RawMessage {
	data, _ := json.Marshal(map[string]string{"homeserver": hs.URL, "domain": hs.Domain, "registration": hs.Registration})
	return data
}

// start opens a connector at a host that may have been used before, and waits
// until the homeserver knows it.
func start(t testing.TB, hs *matrixtest.Server, b *sdktest.Backend, places ...event.Address) *bridge {
	t.Helper()
	br := open(t, hs, b, places...)
	br.host.log.await(t, "homeserver reached")
	return br
}

func open(t testing.TB, hs *matrixtest.Server, b *sdktest.Backend, places ...event.Address) *bridge {
	t.Helper()
	h := &host{Backend: b, log: &logBuffer{changed: make(chan struct{})}}
	c := New().(*connector)
	c.askAgain = 5 * time.Millisecond
	if err := c.Open(t.Context(), sdk.Settings{Instance: "matrix", JSON: settingsOf(hs), Places: places}, h); err != nil {
		t.Fatal(err)
	}
	br := &bridge{c, h, t, hs}
	t.Cleanup(br.close)
	hs.Connect(h.door.URL, nil)
	return br
}

func (b *bridge) close() {
	if err := b.connector.Close(b.t.Context()); err != nil {
		b.t.Error(err)
	}
	b.host.door.Close()
}

func newHomeserver(t testing.TB) *matrixtest.Server {
	t.Helper()
	return matrixtest.New(t, matrixtest.Options{})
}

// to returns a delivery of a text.
func to(target event.Address, mode event.Mode, id, text string) event.Delivery {
	return event.Delivery{
		ID: id, Kind: event.KindMessage, Target: target, From: "sip:alice@example.com", FromName: "Alice",
		Sender: "sip:alice@example.com", Mode: mode, Sent: time.Now(), Attempt: 1,
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
}

const alice = "@_parley_sip_alice_example.com:hs.org"

// deliver delivers and expects that to go well. As the host does, it comes again
// when more follows, and keeps the anchor.
func (b *bridge) deliver(d event.Delivery) event.Receipt {
	b.t.Helper()
	r, err := sdktest.Deliver(b.t.Context(), b.connector, d)
	for errors.Is(err, errFollow) {
		d = next(d, r)
		r, err = sdktest.Deliver(b.t.Context(), b.connector, d)
	}
	if err != nil {
		b.t.Fatalf("deliver %s: %v", d.ID, err)
	}
	return r
}

// next is d as the host hands it over again.
func next(d event.Delivery, r event.Receipt) event.Delivery {
	d.Attempt++
	d.Anchor = cmp.Or(r.Anchor, d.Anchor)
	return d
}

// settled waits until all that happened was pushed.
func (b *bridge) settled() {
	b.t.Helper()
	if err := b.hs.Settled(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// asked returns how many requests of the connector had part in them.
func (b *bridge) asked(part string) (n int) {
	for _, q := range b.hs.Asked() {
		if strings.Contains(q, part) {
			n++
		}
	}
	return n
}

// texts returns the texts of what came in.
func (b *bridge) texts() (list []string) {
	b.settled()
	for _, in := range b.Inbounds() {
		list = append(list, string(in.Data))
	}
	return list
}

func bodies(list []matrixtest.Event) (all []string) {
	for _, e := range list {
		all = append(all, e.Text())
	}
	return all
}
