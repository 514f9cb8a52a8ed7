package sdktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// Backend is a host in memory: what a connector may ask of the bridge. It
// outlives the connector's process, so that a second one finds what the first
// has left. Its methods may be called from several goroutines.
type Backend struct {
	mu      sync.Mutex
	busy    error
	puts    []event.Inbound
	signals []event.Typing
	reports []event.Report
	refuse  map[event.Address]bool
	changed chan struct{}
	state   memory
	media   store
}

// NewBackend returns a Backend that has everything still before it.
func NewBackend() *Backend {
	return &Backend{changed: make(chan struct{}), refuse: map[event.Address]bool{}}
}

// SetBusy has Put fail with err, such as sdk.ErrBusy, until it is set to nil.
func (b *Backend) SetBusy(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = err
}

// Refuse has Accepts and Put refuse a recipient.
func (b *Backend) Refuse(recipient event.Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse[recipient] = true
}

// Inbounds returns what came in, each native id once.
func (b *Backend) Inbounds() []event.Inbound {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.puts)
}

// Reports returns what the connector has reported.
func (b *Backend) Reports() []event.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reports)
}

// Signals returns who has been composing.
func (b *Backend) Signals() []event.Typing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.signals)
}

// Await waits until done is true, asking it whenever the connector has said
// something. done may call the Backend's methods.
func (b *Backend) Await(ctx context.Context, done func() bool) error {
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell wakes Await. b.mu is held.
func (b *Backend) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Put keeps in, once for each native id.
func (b *Backend) Put(_ context.Context, in event.Inbound) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy != nil {
		return "", b.busy
	}
	if b.refuse[in.Recipient] {
		return "", sdk.ErrRefused
	}
	in.ID = event.InboundID(in.Origin, in.NativeID)
	known := func(old event.Inbound) bool { return old.ID == in.ID }
	if !slices.ContainsFunc(b.puts, known) {
		b.puts = append(b.puts, in)
		b.tell()
	}
	return in.ID, nil
}

// Signal keeps t.
func (b *Backend) Signal(_ context.Context, t event.Typing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signals = append(b.signals, t)
	b.tell()
	return nil
}

// Report keeps r.
func (b *Backend) Report(_ context.Context, r event.Report) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, r)
	b.tell()
	return nil
}

// Accepts takes everybody but those that were to be refused.
func (b *Backend) Accepts(_ context.Context, in event.Inbound) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse[in.Recipient] {
		return fmt.Errorf("%w: no such recipient", sdk.ErrRefused)
	}
	return nil
}

// State is kept as long as the Backend.
func (b *Backend) State() sdk.State { return &b.state }

// Media is kept as long as the Backend.
func (b *Backend) Media() sdk.Media { return &b.media }

// memory is an sdk.State.
type memory struct {
	mu       sync.Mutex
	revision uint64
	entries  map[string]sdk.Entry
}

func (m *memory) Get(_ context.Context, key string) (sdk.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok {
		return sdk.Entry{}, sdk.ErrNotFound
	}
	return e, nil
}

func (m *memory) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key].Revision != revision {
		return 0, sdk.ErrConflict
	}
	if m.entries == nil {
		m.entries = map[string]sdk.Entry{}
	}
	m.revision++
	m.entries[key] = sdk.Entry{Key: key, Value: bytes.Clone(value), Revision: m.revision}
	return m.revision, nil
}

func (m *memory) Delete(_ context.Context, key string, revision uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; !ok || e.Revision != revision {
		return sdk.ErrConflict
	}
	delete(m.entries, key)
	return nil
}

func (m *memory) List(_ context.Context, prefix, after string, limit int) ([]sdk.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []sdk.Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) && key > after {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b sdk.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list[:min(len(list), max(limit, 0))], nil
}

// store is an sdk.Media: bodies by their hash.
type store struct {
	mu     sync.Mutex
	bodies map[string][]byte
}

func (s *store) Store(_ context.Context, mediaType string, r io.Reader) (event.Content, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return event.Content{}, err
	}
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bodies == nil {
		s.bodies = map[string][]byte{}
	}
	s.bodies[name] = data
	return event.Content{MediaType: mediaType, Ref: name, SHA256: name, Size: int64(len(data))}, nil
}

func (s *store) Open(_ context.Context, c event.Content) (io.ReadCloser, error) {
	if c.Ref == "" {
		return io.NopCloser(bytes.NewReader(c.Data)), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.bodies[c.Ref]
	if !ok {
		return nil, sdk.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}
