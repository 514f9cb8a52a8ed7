// Package bustest is the conformance suite of the bus: what every stage relies
// on, run against the embedded server and an external one alike.
package bustest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

// Setup says how the suite gets at the log under test.
type Setup struct {
	// Open returns an empty log. It is closed by the suite.
	Open func(t *testing.T) *bus.Bus
	// Reopen closes b and opens the same log again. It is nil for a log that
	// keeps nothing.
	Reopen func(t *testing.T, b *bus.Bus) *bus.Bus
}

// Run runs the suite; each test has a log of its own.
func Run(t *testing.T, s Setup) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, b *bus.Bus)
	}{
		{"an event comes back as it was published", comesBack},
		{"sequences rise in the order of publishing", order},
		{"the same id again is a success with the first sequence", idempotent},
		{"many callers with one id store it once", sameIDAtOnce},
		{"many callers with many ids are all stored once", manyAtOnce},
		{"an event that cannot be stored is refused for good", invalid},
		{"a caller gets its answer by its deadline", deadline},
		{"a body above the inline limit is kept in Media", largeBody},
		{"a lane is read by its next and its last", lanes},
		{"a missing sequence is not found", missing},
		{"a consumer gets its connector's events in order", consumeInOrder},
		{"what is not acknowledged comes again", redelivery},
		{"a consumer goes on where it stopped", resume},
		{"a consumer that waits gets what comes, and ends with its context", consumeWaits},
		{"what a consumer works on does not come again", working},
		{"a bucket has revisions", revisions},
		{"of many who create a key one succeeds", createOnce},
		{"a bucket lists its keys in order", listing},
		{"a bucket takes any key and refuses what is too large", bucketLimits},
		{"media come back as they were stored", mediaRoundTrip},
		{"subscribers see an event once it is stored, in order", tailAfterCommit},
		{"a signal is seen and not stored", signals},
		{"the figures add up", stats},
		{"a closed bus says so", closed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := s.Open(t)
			t.Cleanup(func() { b.Close() })
			tc.test(t, b)
		})
	}
	if s.Reopen == nil {
		return
	}
	t.Run("everything is there when it is opened again", func(t *testing.T) { reopen(t, s) })
}

const patience = 20 * time.Second

// within bounds a test that would otherwise hang.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Inbound returns an Inbound for tests: by connector, on lane, with an id made
// of both and n.
func Inbound(connector, lane string, n int) event.Inbound {
	e := event.Inbound{
		ID:   event.InboundID(connector, lane, fmt.Sprint(n)),
		Time: time.Date(2026, 1, 2, 3, 4, 5, n, time.UTC), Lane: lane,
	}
	e.Kind, e.Sender, e.Recipient = event.KindMessage, "sip:ann@example.com", "sip:lobby@example.com"
	e.Origin, e.NativeID = connector, fmt.Sprint(n)
	e.MediaType, e.Data = "text/plain", fmt.Appendf(nil, "message %d", n)
	return e
}

// Outbound returns the Outbound of Inbound("sip", lane, n) for connector.
func Outbound(connector, lane string, n int) event.Outbound {
	in := Inbound("sip", lane, n)
	target := event.Address(connector + ":room/lobby")
	return event.Outbound{
		ID: event.OutboundID(in.ID, target, 1), Time: in.Time, Inbound: in.ID, Connector: connector,
		Target: target, From: in.Sender, Generation: 1, Lane: lane,
		Envelope: in.Envelope, Content: in.Content,
	}
}

func publish(t *testing.T, b *bus.Bus, e event.Event) uint64 {
	t.Helper()
	seq, err := b.Publish(within(t), e)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func consume(t *testing.T, b *bus.Bus, c bus.ConsumeConfig) *bus.Consumer {
	t.Helper()
	k, err := b.Consume(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func next(t *testing.T, k *bus.Consumer) *bus.Message {
	t.Helper()
	m, err := k.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bucket(t *testing.T, b *bus.Bus) *bus.Bucket {
	t.Helper()
	k, err := b.Bucket(within(t), "test")
	if err != nil {
		t.Fatal(err)
	}
	return k
}
