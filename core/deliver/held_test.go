package deliver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

func TestWhatAParkedLaneHasNotSettledNeverAgesOut(t *testing.T) {
	var on atomic.Bool
	f := newFar(func(d event.Delivery, _ int) error {
		if d.Target == "far:phone" && !on.Load() {
			return event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("not registered"))
		}
		return nil
	})
	b := newBench(t, f, nil)
	for i, id := range ids("p", 6) {
		b.message(id, "c", "phone")
		b.message(ids("r", 6)[i], "d", "room")
	}
	f.sees(t, 6)
	b.parked(1)
	b.seen.about(t, "r005", event.Delivered)
	old := bus.Keep{Now: time.Now().Add(365 * 24 * time.Hour), Messages: time.Hour, Statuses: time.Hour,
		Held: func(ctx context.Context) (uint64, error) { return Held(ctx, b.bus) }}
	trim := func() uint64 {
		t.Helper()
		done, err := b.bus.Trim(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		return done[slices.IndexFunc(done, func(x bus.Trimmed) bool { return x.Stream == bus.Outbounds })].First
	}
	if first := trim(); first != 1 {
		t.Fatalf("the log begins at %d; 1 is parked", first)
	}
	b.restart()
	b.parked(1)
	on.Store(true)
	b.stage.Wake("far:phone")
	got := slices.DeleteFunc(f.sees(t, 12), func(id string) bool { return strings.HasPrefix(id, "r") })
	want(t, got, ids("p", 6))
	b.parked(0)
	b.until("the end of what is settled", func() bool { return trim() == 13 })
	b.message("after", "c", "phone")
	b.seen.about(t, "after", event.Delivered)
}
