package conversation

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"parley.im/bus/event"
)

// memory is a bucket that counts its writes and can fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	writes int
	fail   error
	stored bool // although it fails
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
	if m.fail == nil || m.stored {
		m.writes++
		m.values[key] = v
	}
	return m.fail
}

func TestAnAnswerInTheThreadFindsTheConversation(t *testing.T) {
	ctx, m := t.Context(), &memory{values: map[string][]byte{}}
	s := NewStore(m)
	desk := Known{Route: "support", Mode: event.ModeDesk, Correspondent: "sip:carol@example.com"}
	for range 3 { // the same again costs nothing
		if err := s.Remember(ctx, "token", desk); err != nil {
			t.Fatal(err)
		}
		if err := s.SetAnchor(ctx, "slack", "token", "slack:T/C", "1700.1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{s, NewStore(m)} { // and after a restart
		if err := s.Remember(ctx, "token", desk); err != nil || m.writes != 3 {
			t.Errorf("%d writes (%v), want 3: the conversation, the thread, the anchor", m.writes, err)
		}
		want := Thread{"token", "slack:T/C", desk}
		if got, found, err := s.ByThread(ctx, "slack", "1700.1"); err != nil || !found || got != want {
			t.Errorf("ByThread: %+v, %v, %v", got, found, err)
		}
		if a, err := s.Anchor(ctx, "slack", "token", "slack:T/C"); err != nil || a != "1700.1" {
			t.Errorf("Anchor: %q, %v", a, err)
		}
		if _, found, err := s.ByThread(ctx, "other", "1700.1"); found || err != nil {
			t.Errorf("a thread of another connector is found: %v", err)
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

// look returns a value of a store.
func look(ctx context.Context, s *Store, key string) (value string, found bool, err error) {
	found, err = s.get(ctx, key, &value)
	return value, found, err
}

func TestAWriteThatMayHaveBeenStoredIsReadAgain(t *testing.T) {
	ctx, m := t.Context(), &memory{values: map[string][]byte{}}
	s := NewStore(m)
	if err := s.set(ctx, "1", "old"); err != nil {
		t.Fatal(err)
	}
	m.stored, m.fail = true, errors.New("no answer")
	if err := s.set(ctx, "1", "new"); err == nil {
		t.Fatal("no error")
	}
	if got, _, err := look(ctx, s, "1"); got != "new" || err != nil {
		t.Errorf("the message is %q (%v), the bucket has new", got, err)
	}
}

// However many write and read at once, and however little is kept in memory,
// what the store says at last is what the bucket has.
func TestTheStoreSaysWhatTheBucketHas(t *testing.T) {
	ctx, m := t.Context(), &memory{values: map[string][]byte{}}
	s := &Store{newCache(m, 2)}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				id := string(rune('a' + n%3))
				if err := s.set(ctx, id, id+strconv.Itoa(i)); err != nil {
					t.Error(err)
				}
				if got, found, err := look(ctx, s, id); err != nil || !found || got[:1] != id {
					t.Errorf("%s is %q, %v, %v", id, got, found, err)
				}
			}
		})
	}
	all.Wait()
	if len(s.known) > 2 {
		t.Errorf("%d values are kept in memory, want 2 at most", len(s.known))
	}
	for _, id := range []string{"a", "b", "c"} {
		got, _, err := look(ctx, s, id)
		want, _, _ := look(ctx, NewStore(m), id)
		if got != want || err != nil {
			t.Errorf("%s is %q (%v), the bucket has %q", id, got, err, want)
		}
	}
}

func TestAValueThatIsNoneOfOurs(t *testing.T) {
	m := &memory{values: map[string][]byte{}}
	m.values["1"] = []byte("{")
	if _, found, err := look(t.Context(), NewStore(m), "1"); found || err == nil {
		t.Errorf("found %v, error %v", found, err)
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

func TestAConversationThatIsNotRememberedHasNoThread(t *testing.T) {
	ctx, m := t.Context(), &memory{values: map[string][]byte{}}
	s := NewStore(m)
	if err := s.SetAnchor(ctx, "web", "room", "web:room/x", "first"); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Anchor(ctx, "web", "room", "web:room/x"); a != "" || err != nil || m.writes != 0 {
		t.Errorf("a room goes on in thread %q: %v, %d writes", a, err, m.writes)
	}
}

func TestEarlierThreadsAreKnownForAWhile(t *testing.T) {
	ctx, s := t.Context(), NewStore(&memory{values: map[string][]byte{}})
	if err := s.Remember(ctx, "token", Known{Route: "r"}); err != nil {
		t.Fatal(err)
	}
	earlier := func() string {
		list, err := s.Earlier(ctx, "slack", "token", "slack:T/U")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, ",")
	}
	if list, err := s.Earlier(ctx, "slack", "token", "slack:T/U"); len(list) != 0 || err != nil {
		t.Errorf("before there was one: %q, %v", list, err)
	}
	for i, want := range []string{"", "0,", "1,0,", "2,1,0,", "3,2,1,"} {
		if err := s.SetAnchor(ctx, "slack", "token", "slack:T/U", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		if got := earlier(); got != want {
			t.Errorf("behind %d: %q, want %q", i, got, want)
		}
	}
	if err := s.SetAnchor(ctx, "slack", "token", "slack:T/U", "2"); err != nil {
		t.Fatal(err)
	}
	if got, want := earlier(), "4,3,1,"; got != want {
		t.Errorf("back in an earlier one: %q, want %q", got, want)
	}
}
