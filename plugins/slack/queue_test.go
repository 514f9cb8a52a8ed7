package slack

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func TestWhatOvertookOnTheWayIsPutInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q := newQueue(ctx)
	var got []string
	done := make(chan struct{}, 10)
	for _, ts := range []string{"12.000003", "9.000001", "12.000001"} {
		q.add(ctx, spot{"C1", ts}, func(context.Context) { got = append(got, ts); done <- struct{}{} })
	}
	q.wait()
	if want := []string{"9.000001", "12.000001", "12.000003"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAChannelThatIsStuckStopsNoOther(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	q := newQueue(ctx)
	q.add(ctx, spot{"C1", "1.1"}, func(work context.Context) { <-work.Done() })
	q.add(ctx, spot{"C1", "1.2"}, func(context.Context) {})
	done := make(chan struct{})
	q.add(ctx, spot{"C2", "1.1"}, func(context.Context) { close(done) })
	<-done
	for i := range maxQueued - 2 { // all places are taken
		q.add(ctx, spot{"C1", fmt.Sprintf("2.%d", i)}, func(context.Context) {})
	}
	full, stop := context.WithCancel(ctx)
	stop()
	if q.add(full, spot{"C3", "1.1"}, func(context.Context) { t.Error("it ran") }) {
		t.Error("more is taken than there is place for")
	}
	cancel()
	q.wait()
}
