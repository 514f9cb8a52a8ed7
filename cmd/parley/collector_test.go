package main

import (
	"runtime"
	"testing"
	"time"
)

func TestALargeHeapGrowsLess(t *testing.T) {
	for in, want := range map[uint64]int{0: 300, 4 << 20: 300, 32 << 20: 300, 40 << 20: 220, 64 << 20: 100, 1 << 30: 100} {
		if got := percent(in); got != want {
			t.Errorf("with %d MB in use it may grow by %d %%, want %d", in>>20, got, want)
		}
	}
}

func TestEachCollectionIsTold(t *testing.T) {
	told := make(chan uint64)
	afterCollections(func() { told <- inUse() })
	for range 3 {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for late := time.After(patience); ; runtime.GC() {
			select {
			case live := <-told:
				if live == 0 {
					t.Error("nothing is in use")
				}
			case <-tick.C:
				continue
			case <-late:
				t.Fatal("a collection was not told")
			}
			break
		}
	}
	go func() { // those that are still to come
		for range told {
		}
	}()
}
