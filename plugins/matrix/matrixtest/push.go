package matrixtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// again is how long the homeserver waits before it repeats a transaction.
const again = 10 * time.Millisecond

// pusher is what waits for the application service.
type pusher struct {
	events    []json.RawMessage
	ephemeral []json.RawMessage
	wake      chan struct{}
	client    *http.Client
	base      string
	done      []Transaction
	busy      bool // one is under way
}

// Transaction is one that was answered with 200.
type Transaction struct {
	ID   string
	Body []byte
}

func (p *pusher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Connect has the homeserver push to the application service at a base URL,
// such as http://127.0.0.1:8025/c/matrix. Until then what happens waits.
// client may be nil.
func (s *Server) Connect(base string, client *http.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client == nil {
		client = http.DefaultClient
	}
	s.pusher.base, s.pusher.client = base, client
	s.pusher.poke()
}

// push pushes until ctx ends: one transaction after the other, each until it
// is answered with 200. Matrix specification, application services, "Pushing
// events".
func (s *Server) push(ctx context.Context) {
	for {
		t, ok := s.next()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-s.pusher.wake:
			}
			continue
		}
		for !s.deliver(ctx, t) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(again):
			}
		}
	}
}

// next makes a transaction of what waits.
func (s *Server) next() (Transaction, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pusher
	if p.client == nil || len(p.events)+len(p.ephemeral) == 0 {
		return Transaction{}, false
	}
	n := min(len(p.events), 100)
	body := map[string]any{"events": p.events[:n:n], "ephemeral": p.ephemeral}
	if n == 0 {
		body["events"] = []json.RawMessage{}
	}
	t := Transaction{s.id("t"), marshal(body)}
	p.events, p.ephemeral, p.busy = p.events[n:], nil, true
	return t, true
}

func (s *Server) deliver(ctx context.Context, t Transaction) bool {
	s.mu.Lock()
	client, base := s.pusher.client, s.pusher.base
	s.mu.Unlock()
	if err := s.Push(ctx, client, base, t); err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pusher.done, s.pusher.busy = append(s.pusher.done, t), false
	s.tell()
	return true
}

// Push pushes one transaction once. It returns an error unless the answer is
// 200, when a homeserver would repeat it.
func (s *Server) Push(ctx context.Context, client *http.Client, base string, t Transaction) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPut, base+"/_matrix/app/v1/transactions/"+t.ID, bytes.NewReader(t.Body))
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+s.reg.ServerToken)
	q.Header.Set("Content-Type", "application/json")
	res, err := client.Do(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("transaction %s: %s %s %w", t.ID, res.Status, data, err)
	}
	return nil
}

// Transactions returns those that were answered with 200, in order.
func (s *Server) Transactions() []Transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Transaction(nil), s.pusher.done...)
}

// Settled waits until everything was pushed and answered.
func (s *Server) Settled(ctx context.Context) error {
	return s.Await(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.pusher.events)+len(s.pusher.ephemeral) == 0 && !s.pusher.busy
	})
}
