package conversation

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// memory is a bucket that counts its writes and can fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	writes int
	fail   error
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		return v, nil
	}
	return nil, ErrNotFound
}

func (m *memory) Set(_ context.Context, key string, v []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.writes++
	m.values[key] = v
	return nil
}

func TestAnAnswerInTheThreadFindsTheConversation(t *testing.T) {
	ctx, m := t.Context(), &memory{values: map[string][]byte{}}
	s := NewStore(m)
	desk := Known{Route: "support", Correspondent: "sip:carol@example.com"}
	for range 3 { // the same again costs nothing
		if err := s.Remember(ctx, "token", desk); err != nil {
			t.Fatal(err)
		}
		if err := s.SetAnchor(ctx, "slack", "token", "slack:T/C", "1700.1"); err != nil {
			t.Fatal(err)
		}
	}
	if m.writes != 3 {
		t.Errorf("%d writes, want 3: the conversation, the thread, the anchor", m.writes)
	}
	for _, s := range []*Store{s, NewStore(m)} { // and after a restart
		k, token, found, err := s.ByThread(ctx, "slack", "slack:T/C", "1700.1")
		if err != nil || !found || token != "token" || k != desk {
			t.Errorf("ByThread: %+v, %q, %v, %v", k, token, found, err)
		}
		if a, err := s.Anchor(ctx, "slack", "token", "slack:T/C"); err != nil || a != "1700.1" {
			t.Errorf("Anchor: %q, %v", a, err)
		}
		if _, _, found, err := s.ByThread(ctx, "slack", "slack:T/D", "1700.1"); found || err != nil {
			t.Errorf("a thread of another channel is found: %v", err)
		}
		if a, err := s.Anchor(ctx, "other", "token", "slack:T/C"); a != "" || err != nil {
			t.Errorf("another connector has the anchor %q: %v", a, err)
		}
	}
}

func TestAWriteThatFailsIsNotRemembered(t *testing.T) {
	ctx, m := t.Context(), &memory{values: map[string][]byte{}, fail: errors.New("disk full")}
	s := NewStore(m)
	if err := s.Remember(ctx, "token", Known{Route: "r"}); err == nil {
		t.Fatal("no error")
	}
	m.fail = nil
	if err := s.Remember(ctx, "token", Known{Route: "r"}); err != nil || m.writes != 1 {
		t.Errorf("the second try: %v, %d writes", err, m.writes)
	}
}

func TestTokens(t *testing.T) {
	a, b := NewTokens([]byte("one key")), NewTokens([]byte("another"))
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-z:/@.]{0,6}`)
		x, y, z := part.Draw(t, "x"), part.Draw(t, "y"), part.Draw(t, "z")
		token := a.Conversation(x, []string{y, z})
		if strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") != "" || len(token) != 26 {
			t.Fatalf("token %q is not fit for a subject", token)
		}
		if token != NewTokens([]byte("one key")).Conversation(x, []string{y, z}) {
			t.Fatal("a token changes")
		}
		if token == b.Conversation(x, []string{y, z}) {
			t.Fatal("a token does not depend on the key")
		}
		if y != "" && token == a.Conversation(x+y[:1], []string{y[1:], z}) {
			t.Fatal("a token does not depend on where its parts end")
		}
	})
}
