package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"parley.im/plugins/sdk"
)

// listStep is how many entries are read at once: at most 3 MiB.
const listStep = 48

var errNoMessage = errors.New("no such message; it may be older than the history that is kept")

// A store keeps the conversations. State is the truth; a conversation that is
// in use is held in memory as well, at most the history that is kept.
type store struct {
	state sdk.State
	hub   *hub
	keep  int
	log   *slog.Logger
	mu    sync.Mutex
	convs map[string]*conversation
	known map[string]bool // participations that are certainly in State
}

type conversation struct {
	loading sync.Mutex
	loaded  bool
	posting sync.Mutex // one post from a page at once, for their order and for Nonce
	marking sync.Mutex // one change of a message at once
	mu      sync.Mutex
	list    []*message // by Seq
}

func newStore(s sdk.State, h *hub, keep int, log *slog.Logger) *store {
	return &store{state: s, hub: h, keep: keep, log: log, convs: map[string]*conversation{}, known: map[string]bool{}}
}

// conversation returns a conversation, read from State at first use.
func (s *store) conversation(ctx context.Context, id string) (*conversation, error) {
	s.mu.Lock()
	c := s.convs[id]
	if c == nil {
		c = &conversation{}
		s.convs[id] = c
	}
	s.mu.Unlock()
	c.loading.Lock()
	defer c.loading.Unlock()
	if c.loaded {
		return c, nil
	}
	list, err := s.load(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read conversation: %w", err)
	}
	c.list, c.loaded = list, true
	return c, nil
}

func (s *store) load(ctx context.Context, id string) ([]*message, error) {
	var list []*message
	err := each(ctx, s.state, "m/"+id+"/", func(e sdk.Entry) error {
		m, err := decodeMessage(e.Value)
		if err != nil {
			s.log.Error("stored message not shown", "key", e.Key, "err", err)
			return nil
		}
		m.revision = e.Revision
		list = append(list, m)
		return nil
	})
	return list, err
}

// each calls f for every entry whose key begins with prefix, in key order.
func each(ctx context.Context, s sdk.State, prefix string, f func(sdk.Entry) error) error {
	for after := ""; ; {
		list, err := s.List(ctx, prefix, after, listStep)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			if err := f(e); err != nil {
				return err
			}
			after = e.Key
		}
	}
}

// overwrite puts value whatever the revision is now: this connector is the
// only writer, and an earlier write of it may have come through unnoticed.
func overwrite(ctx context.Context, s sdk.State, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := s.Put(ctx, key, value, revision)
	if !errors.Is(err, sdk.ErrConflict) {
		return rev, err
	}
	e, err := s.Get(ctx, key)
	if errors.Is(err, sdk.ErrNotFound) {
		return s.Put(ctx, key, value, 0)
	}
	if err != nil {
		return 0, err
	}
	return s.Put(ctx, key, value, e.Revision)
}

// add makes m, whose Seq was begun by the caller, durable and shows it. Adding
// a message that is there already changes nothing. It finishes rev in any
// case.
func (s *store) add(ctx context.Context, m *message, rev int64) (err error) {
	var shown *message
	defer func() { s.hub.finish(rev, shown) }()
	c, err := s.conversation(ctx, m.Conv)
	if err != nil {
		return err
	}
	if c.find(m.Seq) != nil {
		return nil
	}
	m.Rev = rev
	if m.revision, err = overwrite(ctx, s.state, messageKey(m.Conv, m.Seq), m.encode(), 0); err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	if c.insert(m) {
		shown = m
	}
	s.trim(ctx, c)
	return nil
}

// mark changes the mark of a message, if that is news.
func (s *store) mark(ctx context.Context, conv string, seq int64, mark, reason string) error {
	_, err := s.change(ctx, conv, seq, func(m *message, _ int64) (*message, error) { return m.marked(mark, reason), nil })
	return err
}

func bySeq(m *message, seq int64) int { return int(min(max(m.Seq-seq, -1), 1)) }

func (c *conversation) find(seq int64) *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(c.list, seq, bySeq); ok {
		return c.list[i]
	}
	return nil
}

// insert reports whether m is new.
func (c *conversation) insert(m *message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, there := slices.BinarySearchFunc(c.list, m.Seq, bySeq)
	if !there {
		c.list = slices.Insert(c.list, i, m)
	}
	return !there
}

func (c *conversation) replace(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(c.list, m.Seq, bySeq); ok {
		c.list[i] = m
	}
}

// byNonce finds what a page has already said, among the last messages.
func (c *conversation) byNonce(from, nonce string) *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range slices.Backward(c.list) {
		if m.Nonce == nonce && string(m.From) == from {
			return m
		}
	}
	return nil
}

// before returns the last n messages with a Seq below seq and whether there
// are more; what is older than since is left out of direct conversations.
func (c *conversation) before(seq, since int64, n int) (list []*message, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end, _ := slices.BinarySearchFunc(c.list, seq, bySeq)
	start, _ := slices.BinarySearchFunc(c.list, since, bySeq)
	start = min(start, end)
	from := max(start, end-n)
	return append([]*message{}, c.list[from:end]...), from > start
}

// changed returns what has a Rev above rev, and counts what is unread.
func (c *conversation) changed(rev int64) (list []*message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.list {
		if m.Rev > rev {
			list = append(list, m)
		}
	}
	return list
}

// unread counts what others have said after read.
func (c *conversation) unread(read int64, self string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.list, read+1, bySeq)
	for _, m := range c.list[i:] {
		if string(m.From) != self {
			n++
		}
	}
	return n
}

func containsReason(all, reason string) bool {
	return slices.Contains(strings.Split(all, "\n"), reason)
}

// get returns a message, or nil when there is none.
func (s *store) get(ctx context.Context, conv string, seq int64) (*message, error) {
	if names, everybody := members(conv); len(names) == 0 && !everybody {
		return nil, nil
	}
	c, err := s.conversation(ctx, conv)
	if err != nil {
		return nil, err
	}
	return c.find(seq), nil
}
