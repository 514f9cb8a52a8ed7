package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// A participation says that somebody takes part in a conversation.
type participation struct {
	Peer   event.Address `json:"peer,omitempty"`
	Opened int64         `json:"opened"`
	Read   int64         `json:"read,omitempty"` // Seq up to which the person has read
}

func participationKey(person, conv string) string { return "p/" + person + "/" + conv }

// takePart records that person talks with peer in conv, before the first
// message stands there: else nobody could find it.
func (s *store) takePart(ctx context.Context, person, conv string, peer event.Address, now int64) error {
	key := participationKey(person, conv)
	s.mu.Lock()
	known := s.known[key]
	s.mu.Unlock()
	if known {
		return nil
	}
	_, err := s.state.Put(ctx, key, marshal(participation{Peer: peer, Opened: now}), 0)
	if err != nil && !errors.Is(err, sdk.ErrConflict) {
		return fmt.Errorf("open conversation: %w", err)
	}
	s.mu.Lock()
	s.known[key] = true
	s.mu.Unlock()
	return nil
}

// reopen records that a person asked for a conversation anew: it is listed
// although nothing was said since they took the name.
func (s *store) reopen(ctx context.Context, person, conv string, peer event.Address, now int64) error {
	return s.changePart(ctx, person, conv, func(p *participation) bool {
		p.Peer, p.Opened = peer, now
		return true
	})
}

// read records how far a person has read and reports whether that is news.
func (s *store) read(ctx context.Context, person, conv string, seq int64) (news bool, err error) {
	err = s.changePart(ctx, person, conv, func(p *participation) bool {
		news = seq > p.Read
		p.Read = max(p.Read, seq)
		return news
	})
	return news, err
}

func (s *store) changePart(ctx context.Context, person, conv string, change func(*participation) bool) error {
	p, revision, err := s.part(ctx, person, conv)
	if err != nil || !change(&p) {
		return err
	}
	_, err = overwrite(ctx, s.state, participationKey(person, conv), marshal(p), revision)
	return err
}

func (s *store) part(ctx context.Context, person, conv string) (p participation, revision uint64, err error) {
	e, err := s.state.Get(ctx, participationKey(person, conv))
	if errors.Is(err, sdk.ErrNotFound) {
		return p, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &p)
	}
	return p, e.Revision, err
}

// parts returns the direct conversations of a person by their id.
func (s *store) parts(ctx context.Context, person string) (map[string]participation, error) {
	prefix := "p/" + person + "/"
	all := map[string]participation{}
	err := each(ctx, s.state, prefix, func(e sdk.Entry) error {
		var p participation
		if err := json.Unmarshal(e.Value, &p); err != nil {
			return fmt.Errorf("%s: %w", e.Key, err)
		}
		all[strings.TrimPrefix(e.Key, prefix)] = p
		return nil
	})
	return all, err
}
