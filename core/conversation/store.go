package conversation

import (
	"context"
	"errors"

	"parley.im/bus/event"
)

// ErrNotFound is what a Bucket returns for a key it does not have.
var ErrNotFound = errors.New("not found")

// Bucket is the durable key-value store that a Store needs. Set returns when
// the value is stored.
type Bucket interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
}

// Known is what is remembered of a conversation.
type Known struct {
	Route         string        `json:"route"`
	Mode          event.Mode    `json:"mode"`
	Correspondent event.Address `json:"correspondent,omitempty"` // its SIP user, or the address of the room
}

// Thread is what a thread of a connector belongs to.
type Thread struct {
	Conversation string        `json:"conversation"`
	Place        event.Address `json:"place"` // the target that it stands at
	Known
}

// Store remembers conversations. Its methods may be called from several
// goroutines, and all writes may be repeated: what does not change costs none.
type Store struct{ *cache }

// NewStore returns a store on a bucket that nobody else writes to.
func NewStore(b Bucket) *Store { return &Store{newCache(b, maxCached)} }

// Remember keeps what a conversation is.
func (s *Store) Remember(ctx context.Context, conversation string, k Known) error {
	return s.set(ctx, "conversation/"+conversation, k)
}

// anchors are the threads of a conversation at a target, the newest first.
type anchors []string

// maxAnchors is how many threads are kept beside the newest.
const maxAnchors = 3

// Anchor returns the thread in which a conversation goes on at a target, or ""
// if none is known.
func (s *Store) Anchor(ctx context.Context, connector, conversation string, target event.Address) (string, error) {
	var list anchors
	_, err := s.get(ctx, anchorKey(connector, conversation, target), &list)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0], nil
}

// Earlier returns where a conversation went on before, the latest first: a few
// threads, and "" for the time without one.
func (s *Store) Earlier(ctx context.Context, connector, conversation string, target event.Address) ([]string, error) {
	var list anchors
	_, err := s.get(ctx, anchorKey(connector, conversation, target), &list)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return append(list[1:], ""), nil
}

// SetAnchor remembers the thread in which a conversation goes on at a target,
// so that later messages join it, and answers in it find the conversation. The
// second is written first: an anchor in use can always be answered. Only a
// conversation that is remembered has threads.
func (s *Store) SetAnchor(ctx context.Context, connector, conversation string, target event.Address, anchor string) error {
	var k Known
	found, err := s.get(ctx, "conversation/"+conversation, &k)
	if err != nil || !found {
		return err
	}
	if err := s.set(ctx, threadKey(connector, anchor), Thread{conversation, target, k}); err != nil {
		return err
	}
	var list anchors
	if _, err := s.get(ctx, anchorKey(connector, conversation, target), &list); err != nil {
		return err
	}
	return s.set(ctx, anchorKey(connector, conversation, target), list.with(anchor))
}

// with returns the list with anchor as the newest.
func (list anchors) with(anchor string) anchors {
	next := anchors{anchor}
	for _, a := range list {
		if a != anchor && len(next) <= maxAnchors {
			next = append(next, a)
		}
	}
	return next
}

// ByThread returns what a connector's thread belongs to.
func (s *Store) ByThread(ctx context.Context, connector, anchor string) (t Thread, found bool, err error) {
	found, err = s.get(ctx, threadKey(connector, anchor), &t)
	return t, found, err
}

// The parts of a key that come from outside are hashed: keys are short and
// hold no personal data.
func anchorKey(connector, conversation string, target event.Address) string {
	return "anchor/" + connector + "/" + conversation + "/" + digest(string(target))
}

func threadKey(connector, anchor string) string {
	return "thread/" + connector + "/" + digest(anchor)
}

func digest(parts ...string) string { return Tokens{}.name("key", parts...) }
