package slack

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func TestWhatOvertookOnTheWayIsPutInOrder(t *testing.T) {
	q := newQueue(t.Context())
	var got []string
	for _, ts := range []string{"12.000003", "9.000001", "12.000001"} {
		q.add(spot{"C1", ts}, func(context.Context) { got = append(got, ts) })
	}
	q.wait()
	if want := []string{"9.000001", "12.000001", "12.000003"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAChannelThatIsStuckStopsNoOther(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	q := newQueue(ctx)
	began := make(chan struct{})
	q.add(spot{"C1", "1.1"}, func(work context.Context) { close(began); <-work.Done() })
	<-began
	for i := range maxLine {
		if !q.add(spot{"C1", fmt.Sprintf("2.%d", i)}, func(context.Context) {}) {
			t.Fatalf("only %d wait", i)
		}
	}
	if q.add(spot{"C1", "3.1"}, func(context.Context) { t.Error("it ran") }) {
		t.Error("more is taken than there is place for")
	}
	done := make(chan struct{})
	if !q.add(spot{"C2", "1.1"}, func(context.Context) { close(done) }) {
		t.Error("another channel is stopped")
	}
	<-done
	cancel()
	q.wait()
}
