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
	"slices"
	"strings"
	"sync"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
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
	news    chan struct{}
}

func newState() *memState {
	return &memState{entries: map[string]sdk.Entry{}, news: make(chan struct{}, 1)}
}

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
	defer func() {
		select {
		case s.news <- struct{}{}:
		default:
		}
	}()
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
	kept    map[string][]byte
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
func (h *fakeHost) Accepts(context.Context, event.Inbound) error {
	return h.refuses
}
func (h *fakeHost) State() sdk.State                 { return h.state }
func (h *fakeHost) Media() sdk.Media                 { return h }
func (h *fakeHost) Serve(handler http.Handler) error { h.handler = handler; return nil }
func (h *fakeHost) Log() *slog.Logger                { return slog.New(slog.DiscardHandler) }

// Store keeps at most 1 MB, and says of more what the host says.
func (h *fakeHost) Store(_ context.Context, mediaType string, r io.Reader) (event.Content, error) {
	data, err := io.ReadAll(r)
	if err == nil && len(data) > 1<<20 {
		err = event.Permanent(errors.New("the file is too large"))
	}
	if err != nil {
		return event.Content{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept == nil {
		h.kept = map[string][]byte{}
	}
	ref := fmt.Sprintf("kept%d", len(h.kept))
	h.kept[ref] = data
	return event.Content{MediaType: mediaType, Ref: ref, SHA256: "sum", Size: int64(len(data))}, nil
}

func (h *fakeHost) Open(_ context.Context, c event.Content) (io.ReadCloser, error) {
	h.mu.Lock()
	data, ok := h.kept[c.Ref]
	h.mu.Unlock()
	switch {
	case c.Ref == "":
		return io.NopCloser(bytes.NewReader(c.Data)), nil
	case ok:
		return io.NopCloser(bytes.NewReader(data)), nil
	case strings.HasPrefix(c.Ref, "kept"):
		return nil, sdk.ErrNotFound
	}
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

// from is a delivery to a target from a SIP user.
func from(sender event.Address, target event.Address, id, text string) event.Delivery {
	return event.Delivery{
		ID: id, Kind: event.KindMessage, Target: target, From: sender, Sender: sender, SenderName: "Alice", Attempt: 1,
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
}

func (c *chat) deliver(d event.Delivery) event.Receipt {
	c.t.Helper()
	r, err := sdktest.Deliver(c.t.Context(), c.connector, d)
	if err != nil {
		c.t.Fatalf("deliver %s: %v", d.ID, err)
	}
	return r
}

const alice = event.Address("sip:alice@127.0.0.1")
