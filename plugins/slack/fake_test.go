package slack

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/slack/slacktest"
)

const patience = 20 * time.Second

// inProcess is a connector that runs in the test, with a host in memory.
type inProcess struct {
	t        *testing.T
	s        *slacktest.Server
	settings []byte
	c        *connector
	backend  *sdktest.Backend
	url      string // of its HTTP
}

// start opens a connector to a workspace, with settings beside the tokens.
func start(t *testing.T, s *slacktest.Server, settings []byte) *inProcess {
	t.Helper()
	p := &inProcess{t: t, s: s, settings: settings, backend: sdktest.NewBackend()}
	p.open()
	return p
}

// open opens a connector, another one after the one before was killed.
func (p *inProcess) open() {
	p.t.Helper()
	c, h := New().(*connector), &memoryHost{p: p}
	p.c = c
	if err := c.Open(p.t.Context(), sdk.Settings{Instance: "slack", JSON: p.settings}, h); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			p.t.Error(err)
		}
		if h.web != nil {
			h.web.Close()
		}
	})
}

// connected waits until events come in.
func (p *inProcess) connected() *inProcess {
	p.t.Helper()
	p.await("the connections for events", func() bool { return p.s.Connections() == sockets })
	return p
}

// await waits for the workspace.
func (p *inProcess) await(what string, done func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.s.Await(ctx, done); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// got waits until the host has n messages and returns them.
func (p *inProcess) got(n int) []event.Inbound {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.backend.Await(ctx, func() bool { return len(p.backend.Inbounds()) >= n }); err != nil {
		p.t.Fatalf("the host has %d messages, want %d", len(p.backend.Inbounds()), n)
	}
	return p.backend.Inbounds()
}

// memoryHost is the connector's host.
type memoryHost struct {
	p   *inProcess
	web *httptest.Server
	mu  sync.Mutex
}

func (h *memoryHost) Put(ctx context.Context, in event.Inbound) (string, error) {
	in.Origin = "slack"
	return h.p.backend.Put(ctx, in)
}
func (h *memoryHost) Signal(ctx context.Context, t event.Typing) error {
	return h.p.backend.Signal(ctx, t)
}
func (h *memoryHost) Report(ctx context.Context, r event.Report) error {
	return h.p.backend.Report(ctx, r)
}
func (h *memoryHost) Accepts(ctx context.Context, in event.Inbound) error {
	return h.p.backend.Accepts(ctx, in)
}
func (h *memoryHost) State() sdk.State  { return h.p.backend.State() }
func (h *memoryHost) Media() sdk.Media  { return h.p.backend.Media() }
func (h *memoryHost) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }
func (h *memoryHost) Serve(handler http.Handler) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.web = httptest.NewServer(handler)
	h.p.url = h.web.URL
	return nil
}

// from is a message of alice's.
func from(id string, target event.Address, mode event.Mode, text string) event.Delivery {
	return event.Delivery{
		ID: id, Kind: event.KindMessage, Target: target, Mode: mode, Conversation: "c", Attempt: 1,
		Sender: "sip:alice@example.com", SenderName: "Alice", From: "sip:alice@example.com",
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
}

// attempt delivers as the host does: it keeps the thread that is named beside an
// error, and goes on.
func (p *inProcess) attempt(d event.Delivery) (event.Receipt, error) {
	r, err := sdktest.Deliver(p.t.Context(), p.c, d)
	if err == nil || r.Anchor == "" {
		return r, err
	}
	d.Anchor = r.Anchor
	return sdktest.Deliver(p.t.Context(), p.c, d)
}

func (p *inProcess) deliver(d event.Delivery) event.Receipt {
	p.t.Helper()
	r, err := p.attempt(d)
	if err != nil {
		p.t.Fatalf("deliver %s: %v", d.ID, err)
	}
	return r
}
