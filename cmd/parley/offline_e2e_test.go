package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/core/sipedge/uac"
)

// Two thousand phones are off with five messages each. A phone that is on gets
// its messages meanwhile, and each of the two thousand gets its five in order
// when it registers, although the host was killed in between.
func TestPhonesThatAreOffDelayNobodyAndGetEverythingLater(t *testing.T) {
	const phones, each, senders = 2000, 5, 8
	b := newBridge(t, `"fsync"`, `"interval"`, "[http] ", manyAccounts(phones)+"[http] ")
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()

	live := startInbox(ctx, t, b, "bob", password("bob"))
	before := roundTrip(ctx, t, b, live, "before")
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			c := client(ctx, t, b, fmt.Sprintf("off%d", s), "off-secret")
			for i := range each {
				for p := s; p < phones; p += senders {
					accept(ctx, t, c, fmt.Sprintf("sip:off%d@127.0.0.1", p), fmt.Sprintf("%d", i))
				}
			}
		})
	}
	during := roundTrip(ctx, t, b, live, "during")
	sending.Wait()
	after := roundTrip(ctx, t, b, live, "after")
	t.Logf("a live phone waits %v before, %v while they are written to, %v with %d lanes parked", before, during, after, phones)

	b.crash()
	b.start()
	var arriving sync.WaitGroup
	for s := range 50 {
		arriving.Go(func() {
			for p := s; p < phones; p += 50 {
				got := startInbox(ctx, t, b, fmt.Sprintf("off%d", p), "off-secret").first(ctx, t, each)
				if !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
					t.Errorf("phone %d got %q", p, got)
				}
			}
		})
	}
	arriving.Wait()
}

func manyAccounts(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "[[sip.account]]\nuser = \"off%d\"\npassword = \"off-secret\"\n", i)
	}
	return s.String()
}

func client(ctx context.Context, t *testing.T, b *bridge, user, password string, receive ...func(uac.Message) int) *uac.Client {
	t.Helper()
	c := uac.Config{Server: at(b.sip), Network: "udp", From: "sip:" + user + "@127.0.0.1", User: user, Password: password}
	if len(receive) > 0 {
		c.Receive = receive[0]
	}
	phone, err := uac.Dial(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { phone.Close() })
	return phone
}

func accept(ctx context.Context, t *testing.T, c *uac.Client, to, text string) {
	t.Helper()
	if r, err := c.Send(ctx, to, "text/plain", []byte(text)); err != nil || r.Code != 202 {
		t.Errorf("to %s: %+v, %v", to, r, err)
	}
}

// An inbox is a phone that is on and keeps what it gets.
type inbox struct {
	phone *uac.Client
	got   chan string
}

func startInbox(ctx context.Context, t *testing.T, b *bridge, user, password string) inbox {
	in := inbox{got: make(chan string, 100)}
	in.phone = client(ctx, t, b, user, password, func(m uac.Message) int {
		in.got <- string(m.Body)
		return 200
	})
	if r, err := in.phone.Register(ctx, 10*time.Minute); err != nil || r.Code != 200 {
		t.Errorf("%s does not register: %+v, %v", user, r, err)
	}
	return in
}

// first returns the first n texts.
func (in inbox) first(ctx context.Context, t *testing.T, n int) (texts []string) {
	for len(texts) < n {
		select {
		case s := <-in.got:
			texts = append(texts, s)
		case <-ctx.Done():
			t.Errorf("only %q came", texts)
			return texts
		}
	}
	return texts
}

// roundTrip returns how long messages to a live phone take, in the middle.
func roundTrip(ctx context.Context, t *testing.T, b *bridge, live inbox, text string) time.Duration {
	t.Helper()
	alice := client(ctx, t, b, "alice", password("alice"))
	var took []time.Duration
	for range 21 {
		began := time.Now()
		accept(ctx, t, alice, "sip:bob@127.0.0.1", text)
		if got := live.first(ctx, t, 1); len(got) != 1 || got[0] != text {
			t.Fatalf("bob got %q", got)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2].Round(10 * time.Microsecond)
}
