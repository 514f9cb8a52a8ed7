package uac_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/core/sipedge"
	"parley.im/core/sipedge/uac"
)

const patience = 10 * time.Second

// host takes everything.
type host struct {
	mu         sync.Mutex
	ids        map[string]event.Inbound
	registered chan event.Address
}

func (h *host) Put(_ context.Context, in event.Inbound) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids[in.ID] = in
	return nil
}

func (h *host) Stored(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.ids[id]
	return ok
}

func (h *host) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ids)
}

func (h *host) Check(context.Context, event.Inbound) error                     { return nil }
func (h *host) Told(context.Context, event.Address, event.Report) error        { return nil }
func (h *host) Composing(context.Context, event.Typing) error                  { return nil }
func (h *host) Body(_ context.Context, c event.Content) (event.Content, error) { return c, nil }
func (h *host) Registered(a event.Address)                                     { h.registered <- a }

// edge starts one and returns its addresses by network.
func edge(t testing.TB) (*sipedge.Edge, *host, map[string]string) {
	t.Helper()
	h := &host{ids: map[string]event.Inbound{}, registered: make(chan event.Address, 10)}
	e, err := sipedge.New(sipedge.Config{
		Domains:  []string{"127.0.0.1"},
		Listen:   []sipedge.Listener{{Network: "udp", Address: "127.0.0.1:0"}, {Network: "tcp", Address: "127.0.0.1:0"}},
		Limits:   sipedge.Limits{Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Accounts: []sipedge.Account{{User: "alice", Password: "wonderland"}, {User: "bob", Password: "builder"}},
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-e.Ready():
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	addrs := map[string]string{}
	for _, a := range e.Addrs() {
		network, addr, _ := strings.Cut(a, ":")
		addrs[network] = addr
	}
	return e, h, addrs
}

func dial(t testing.TB, c uac.Config) (*uac.Client, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	client, err := uac.Dial(ctx, c)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	return client, ctx
}

func TestSendAndReceive(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			e, h, addrs := edge(t)
			alice, ctx := dial(t, uac.Config{Server: addrs[network], Network: network, From: "sip:alice@127.0.0.1", Password: "wonderland"})
			for i := range 20 {
				got, err := alice.Send(ctx, "sip:lobby@127.0.0.1", "text/plain", fmt.Appendf(nil, "hello %d", i))
				if err != nil || got.Code != 202 {
					t.Fatalf("%d: %v, %v", i, got, err)
				}
			}
			if h.count() != 20 {
				t.Errorf("%d messages; want 20", h.count())
			}
			came := make(chan uac.Message, 1)
			bob, ctx := dial(t, uac.Config{Server: addrs[network], Network: network, From: "sip:bob@127.0.0.1", Password: "builder",
				Receive: func(m uac.Message) int { came <- m; return 0 }})
			if got, err := bob.Register(ctx, 10*time.Minute); err != nil || got.Code != 200 {
				t.Fatalf("register: %v, %v", got, err)
			}
			if a := <-h.registered; a != "sip:bob@127.0.0.1" {
				t.Errorf("registered %s", a)
			}
			d := event.Delivery{ID: "o1", Target: "sip:bob@127.0.0.1", From: "sip:alice@127.0.0.1", FromName: "Ann",
				Content: event.Content{MediaType: "text/plain", Data: []byte("hi")}}
			if r, err := e.Deliver(ctx, d); err != nil || r.State != event.Delivered {
				t.Fatalf("deliver: %v, %v", r, err)
			}
			if m := <-came; m.From != "sip:alice@127.0.0.1" || m.FromName != "Ann" || m.ContentType != "text/plain" || string(m.Body) != "hi" {
				t.Errorf("got %+v", m)
			}
			if got, err := bob.Register(ctx, 0); err != nil || got.Code != 200 {
				t.Fatalf("unregister: %v, %v", got, err)
			}
			if _, err := e.Deliver(ctx, d); err == nil {
				t.Error("delivered to nobody")
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	_, h, addrs := edge(t)
	for _, network := range []string{"udp", "tcp"} {
		alice, ctx := dial(t, uac.Config{Server: addrs[network], Network: network, From: "sip:alice@127.0.0.1", Password: "wonderland"})
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				if got, err := alice.Send(ctx, "sip:bob@127.0.0.1", "text/plain", fmt.Append(nil, i)); err != nil || got.Code != 202 {
					t.Errorf("%s %d: %v, %v", network, i, got, err)
				}
			})
		}
		all.Wait()
	}
	if h.count() != 128 {
		t.Errorf("%d messages; want 128", h.count())
	}
}

func TestRefusalsAreResponses(t *testing.T) {
	_, _, addrs := edge(t)
	for _, tc := range []struct {
		name string
		c    uac.Config
		code int
	}{
		{"wrong password", uac.Config{From: "sip:alice@127.0.0.1", Password: "guess"}, 401},
		{"no password", uac.Config{From: "sip:alice@127.0.0.1"}, 401},
		{"somebody else's From", uac.Config{From: "sip:bob@127.0.0.1", User: "alice", Password: "wonderland"}, 403},
	} {
		tc.c.Server = addrs["udp"]
		c, ctx := dial(t, tc.c)
		if got, err := c.Send(ctx, "sip:bob@127.0.0.1", "text/plain", []byte("x")); err != nil || got.Code != tc.code || got.Phrase == "" {
			t.Errorf("%s: got %v, %v; want %d", tc.name, got, err, tc.code)
		}
	}
}

func TestNothingIsInjected(t *testing.T) {
	_, _, addrs := edge(t)
	c, ctx := dial(t, uac.Config{Server: addrs["udp"], From: "sip:alice@127.0.0.1", Password: "wonderland"})
	if _, err := c.Send(ctx, "sip:bob@127.0.0.1\r\nX: y", "text/plain", nil); err == nil {
		t.Error("recipient with CRLF was sent")
	}
	if _, err := c.Send(ctx, "sip:bob@127.0.0.1", "text/plain\r\nX: y", nil); err == nil {
		t.Error("type with CRLF was sent")
	}
	if _, err := uac.Dial(ctx, uac.Config{Server: addrs["udp"], From: "sip:a\r\nX@b"}); err == nil {
		t.Error("From with CRLF was taken")
	}
	if _, err := uac.Dial(ctx, uac.Config{Server: addrs["udp"], Network: "sctp", From: "sip:a@b"}); err == nil {
		t.Error("network sctp was taken")
	}
}

// M24: a challenge is answered once, SHA-256 if it is offered, with a new CSeq
// and branch; afterwards credentials go with the request at once.
func TestChallengeIsAnsweredOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	requests := make(chan string, 10)
	answer := make(chan string, 10)
	go serve(l, requests, answer)
	c, ctx := dial(t, uac.Config{Server: l.Addr().String(), Network: "tcp", From: "sip:alice@a", Password: "x"})
	challenge := "407 Proxy\r\nProxy-Authenticate: Digest realm=\"a\", nonce=\"m\", algorithm=MD5, qop=\"auth\"\r\n" +
		"Proxy-Authenticate: Digest realm=\"a\", nonce=\"n\", algorithm=SHA-256, qop=\"auth-int, auth\""
	answer <- challenge
	answer <- challenge
	if got, err := c.Send(ctx, "sip:b@a", "text/plain", nil); err != nil || got.Code != 407 {
		t.Fatalf("got %v, %v", got, err)
	}
	first, second := <-requests, <-requests
	if strings.Contains(first, "Authorization") || !strings.Contains(second, "Proxy-Authorization: Digest") || !strings.Contains(second, "SHA-256") || !strings.Contains(second, "nc=00000001") {
		t.Errorf("first %s\nsecond %s", first, second)
	}
	if !strings.Contains(first, "CSeq: 1 MESSAGE") || !strings.Contains(second, "CSeq: 2 MESSAGE") {
		t.Errorf("first %s\nsecond %s", first, second)
	}
	answer <- "202 Accepted"
	if got, err := c.Send(ctx, "sip:b@a", "text/plain", nil); err != nil || got.Code != 202 {
		t.Fatalf("got %v, %v", got, err)
	}
	if third := <-requests; !strings.Contains(third, "nc=00000002") {
		t.Errorf("third %s", third)
	}
	l.Close()
}

// serve answers requests on one connection.
func serve(l net.Listener, requests chan<- string, answer <-chan string) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var req, copied strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			req.WriteString(line)
			for _, h := range []string{"Via:", "From:", "To:", "Call-ID:", "CSeq:"} {
				if strings.HasPrefix(line, h) {
					copied.WriteString(line)
				}
			}
			if line == "\r\n" {
				break
			}
		}
		requests <- req.String()
		fmt.Fprintf(conn, "SIP/2.0 %s\r\n%sContent-Length: 0\r\n\r\n", <-answer, copied.String())
	}
}

func TestServerThatGoesAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := dial(t, uac.Config{Server: l.Addr().String(), Network: "tcp", From: "sip:alice@a"})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for range 2 {
		if got, err := c.Send(ctx, "sip:b@a", "text/plain", nil); err == nil {
			t.Errorf("got %v", got)
		}
	}
	l.Close()
	if _, err := uac.Dial(ctx, uac.Config{Server: l.Addr().String(), Network: "tcp", From: "sip:alice@a"}); err == nil {
		t.Error("connected to nobody")
	}
}

// BenchmarkSend measures the edge with a host that stores in memory, and this
// client beside it on the same machine.
func BenchmarkSend(b *testing.B) {
	for _, network := range []string{"udp", "tcp"} {
		b.Run(network, func(b *testing.B) {
			_, _, addrs := edge(b)
			alice, _ := dial(b, uac.Config{Server: addrs[network], Network: network, From: "sip:alice@127.0.0.1", Password: "wonderland"})
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					got, err := alice.Send(context.Background(), "sip:bob@127.0.0.1", "text/plain", []byte("hello"))
					if err != nil || got.Code != 202 {
						b.Errorf("%v, %v", got, err)
						return
					}
				}
			})
		})
	}
}
