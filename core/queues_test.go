package core

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

func TestJobsOfALaneKeepTheirOrder(t *testing.T) {
	q := newQueues(16)
	var mu sync.Mutex
	ran := map[string][]int{}
	want := map[string][]int{}
	for i := range 1000 {
		lanes := []string{fmt.Sprint(i % 3), fmt.Sprint("x", i%7)}
		if i%10 == 0 {
			lanes = append(lanes, lanes[0]) // named twice
		}
		for _, l := range slices.Compact(slices.Sorted(slices.Values(lanes))) {
			want[l] = append(want[l], i)
		}
		q.add(lanes, func() {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range slices.Compact(slices.Sorted(slices.Values(lanes))) {
				ran[l] = append(ran[l], i)
			}
		})
	}
	q.wait()
	for l := range want {
		if !slices.Equal(ran[l], want[l]) {
			t.Errorf("lane %s: got %v, want %v", l, ran[l], want[l])
		}
	}
	if len(q.last) != 0 || len(q.slots) != 0 {
		t.Errorf("%d lanes and %d slots are left", len(q.last), len(q.slots))
	}
}

func TestALaneThatIsStuckStopsNoOther(t *testing.T) {
	q := newQueues(16)
	stuck, seen := make(chan struct{}), make(chan string, 2)
	q.add([]string{"a"}, func() { <-stuck })
	q.add([]string{"a", "b"}, func() { seen <- "behind it" })
	q.add([]string{"c"}, func() { seen <- "another lane" })
	if got := <-seen; got != "another lane" {
		t.Errorf("first came %q", got)
	}
	close(stuck)
	if got := <-seen; got != "behind it" {
		t.Errorf("then came %q", got)
	}
	q.wait()
}
