package bus_test

import (
	"context"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/bustest"
)

// A reader that is given up while it is being made can be made at once again,
// although the server may still be removing the one before. Everything comes
// again from the start, in order.
func TestAReaderThatWasGivenUpIsMadeAgain(t *testing.T) {
	b := open(t, bus.Config{Dir: t.TempDir(), Durability: bus.Interval})
	publish := func(n int) {
		t.Helper()
		if _, err := b.Publish(t.Context(), bustest.Inbound("sip", "lane", n)); err != nil {
			t.Fatal(err)
		}
	}
	publish(0)
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
		if c, err := b.Consume(ctx, bus.ConsumeConfig{Name: "reader", Stream: bus.Inbounds}); err == nil {
			c.Close()
		}
		cancel()
		c, err := b.Consume(t.Context(), bus.ConsumeConfig{Name: "reader", Stream: bus.Inbounds})
		if err != nil {
			t.Fatalf("after it was given up %d times: %v", i+1, err)
		}
		publish(i + 1) // what the server has handed to the one before shows by this
		for want := uint64(1); want <= 2; want++ {
			if m, err := c.Next(t.Context()); err != nil || m.Seq != want {
				t.Fatalf("after it was given up %d times it hands out %+v, %v, want %d", i+1, m, err, want)
			}
		}
		c.Close()
	}
}
