// Package webhook is the far side of the example connectors, as a network for
// the conformance suite: a URL that takes messages as JSON, once for each
// Idempotency-Key, and a voice that posts JSON to the connector. It can refuse,
// be slow to answer and be away.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/sdktest"
)

// Target is where the suite's deliveries go.
const Target = event.Address("hook:team")

// Network is a webhook receiver on a loopback port. Its methods may be called
// from several goroutines.
type Network struct {
	token   string
	address string

	mu     sync.Mutex
	server *http.Server // nil while it is away
	texts  []string     // in the order in which they came
	keys   map[string]bool
	limit  time.Duration
	held   chan struct{} // closed to let answers go; nil when they need not wait
	came   chan struct{} // told of each message that is held
}

// Listen starts the receiver. Close ends it.
func Listen() (*Network, error) {
	n := &Network{token: rand.Text(), keys: map[string]bool{}, address: "127.0.0.1:0"}
	return n, n.listen()
}

func (n *Network) listen() error {
	l, err := net.Listen("tcp", n.address)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	n.address = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(n.take), ReadHeaderTimeout: time.Minute}
	n.server = server
	go func() { _ = server.Serve(l) }() // it returns when the server is closed
	return nil
}

// Close ends the receiver.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		_ = n.server.Close()
		n.server = nil
	}
}

// Options returns what the suite needs to test a connector with this network.
func (n *Network) Options(command ...string) sdktest.Options {
	settings, err := json.Marshal(map[string]string{"url": "http://" + n.address + "/", "token": n.token})
	if err != nil {
		panic(err) // two strings
	}
	return sdktest.Options{Command: command, Settings: settings, Target: Target, Network: n, Once: true}
}

// message is what is posted, either way.
type message struct {
	ID     string `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	Thread string `json:"thread,omitempty"`
	Text   string `json:"text"`
}

func (n *Network) take(w http.ResponseWriter, r *http.Request) {
	var m message
	key := r.Header.Get("Idempotency-Key")
	err := json.NewDecoder(r.Body).Decode(&m)
	switch {
	case r.Header.Get("Authorization") != "Bearer "+n.token:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case err != nil || key == "" || key != m.ID || event.Address(m.To) != Target || m.Thread == "":
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	held, limit := n.keep(key, m.Text)
	if limit > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(limit/time.Second)))
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if held != nil {
		<-held
	}
}

// keep keeps a message, unless there is a limit, and tells whether its answer
// has to wait.
func (n *Network) keep(key, text string) (held <-chan struct{}, limit time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.limit > 0 {
		return nil, n.limit
	}
	if !n.keys[key] {
		n.keys[key] = true
		n.texts = append(n.texts, text)
	}
	if n.held != nil {
		select {
		case n.came <- struct{}{}:
		default:
		}
	}
	return n.held, 0
}

// Arrived returns how many messages contain part.
func (n *Network) Arrived(ctx context.Context, part string) (int, error) {
	list, err := n.Shown(ctx, part)
	return len(list), err
}

// Shown returns the texts that contain part, in the order in which they came.
func (n *Network) Shown(_ context.Context, part string) (list []string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.texts {
		if strings.Contains(t, part) {
			list = append(list, t)
		}
	}
	return list, nil
}

// Say posts a message to the connector.
func (n *Network) Say(ctx context.Context, door *http.Client, id, text string) error {
	body, err := json.Marshal(message{ID: id, From: "hook:bob", To: string(Target), Text: text})
	if err != nil {
		return err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://door/in", bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+n.token)
	resp, err := door.Do(q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	why, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", resp.Status, why)
	}
	return err
}

// Hold keeps the answers back.
func (n *Network) Hold() (arrived <-chan struct{}, release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := make(chan struct{})
	n.held, n.came = held, make(chan struct{}, 1)
	return n.came, sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.held = nil
		close(held)
	})
}

// Limit refuses messages with 429.
func (n *Network) Limit(after time.Duration) (lift func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limit = after
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.limit = 0
	}
}

// Break closes the port; mending opens it again.
func (n *Network) Break() (mend func() error) {
	n.Close()
	return func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.listen()
	}
}
