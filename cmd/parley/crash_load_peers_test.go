//go:build linux && peers

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley.im/core/sipedge/uac"
)

// A speaker says numbered texts in the room of a town, one after another, and
// remembers which of them the bridge has taken.
type speaker struct {
	name    string
	network string
	say     func(ctx context.Context, text string) (taken bool)

	taken   map[string]bool // by text: every one that was said; false: refused, or nobody knows
	inOrder []string
	longest time.Duration // until the bridge had answered
	latest  atomic.Int64  // when the latest text that was taken was begun, in nanoseconds since 1970
}

// String is how it went.
func (s *speaker) String() string {
	taken := 0
	for _, yes := range s.taken {
		if yes {
			taken++
		}
	}
	return fmt.Sprintf("%s: %d of %d taken, answered within %v", s.name, taken, len(s.taken), s.longest.Round(time.Millisecond))
}

// run speaks at a pace until stop is closed, and then finishes what it has
// begun to say.
func (s *speaker) run(ctx context.Context, every time.Duration, stop <-chan struct{}) {
	s.taken = map[string]bool{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		text := fmt.Sprintf("%s %06d", s.name, n)
		s.inOrder = append(s.inOrder, text)
		began := time.Now()
		s.taken[text] = s.say(ctx, text)
		s.longest = max(s.longest, time.Since(began))
		if s.taken[text] {
			s.latest.Store(began.UnixNano())
		}
	}
}

// A crowd is the speakers of a town.
type crowd struct {
	speakers []*speaker
	stop     chan struct{}
	all      sync.WaitGroup
}

// speak has two phones, somebody on Matrix and somebody on Slack speak, rate
// texts a second each.
func (tn *town) speak(rate float64) *crowd {
	c := &crowd{stop: make(chan struct{})}
	c.speakers = []*speaker{
		{name: "p1", network: "sip", say: tn.phoneSays()},
		{name: "p2", network: "sip", say: tn.phoneSays()},
		{name: "m1", network: "matrix", say: tn.matrixSays},
		{name: "k1", network: "slack", say: tn.slackSays},
	}
	for _, s := range c.speakers {
		c.all.Go(func() { s.run(tn.t.Context(), time.Duration(float64(time.Second)/rate), c.stop) })
	}
	return c
}

// heard waits until the bridge takes what each of them says, and returns how
// long that took.
func (c *crowd) heard(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(c.speakers, func(s *speaker) bool { return s.latest.Load() < began.UnixNano() }) {
		if <-tick.C; time.Since(began) > settleLimit {
			t.Fatal("the bridge never takes everybody's messages again")
		}
	}
	return time.Since(began)
}

func (c *crowd) silence() {
	close(c.stop)
	c.all.Wait()
}

// phoneSays is a phone that repeats a request over UDP for 32 s, as RFC 3261
// has it.
func (tn *town) phoneSays() func(context.Context, string) bool {
	c, err := uac.Dial(tn.t.Context(), uac.Config{
		Server: at(tn.sip), Network: "udp", From: "sip:alice@127.0.0.1", User: "alice", Password: password("alice"),
	})
	if err != nil {
		tn.t.Fatal(err)
	}
	tn.t.Cleanup(func() { c.Close() })
	return func(ctx context.Context, text string) bool {
		a, err := c.Send(ctx, "sip:town@127.0.0.1", "text/plain", []byte(text))
		return err == nil && a.Code/100 == 2
	}
}

// matrixSays gives the text to the homeserver, which hands it to the bridge
// again and again until that takes it.
func (tn *town) matrixSays(_ context.Context, text string) bool {
	tn.mia.Say(tn.room, text)
	return true
}

// slackSays has Slack send the event again while it is not acknowledged.
func (tn *town) slackSays(ctx context.Context, text string) bool {
	_, body := tn.slack.Event(tn.sue, tn.channel, text, "")
	for range 20 {
		if tn.slack.Push(ctx, body) == nil {
			return true
		}
	}
	return false
}
