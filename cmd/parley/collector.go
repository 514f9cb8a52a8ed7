package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// collectLess lets a small heap grow to four times what is in use before the
// collector runs, instead of twice: some megabytes more for less work a message.
// The larger what is in use, the nearer to twice; see percent. The variable
// GOGC, if set, stands.
func collectLess() {
	if os.Getenv("GOGC") != "" {
		return
	}
	now := mostPercent
	debug.SetGCPercent(now)
	afterCollections(func() {
		if next := percent(inUse()); next-now > 10 || now-next > 10 {
			now = next
			debug.SetGCPercent(now)
		}
	})
}

const (
	mostPercent = 300
	goPercent   = 100       // Go's default
	generous    = 128 << 20 // bytes up to which the heap may be more than twice what is in use
)

// percent returns by how much the heap may grow beyond the bytes in use.
func percent(inUse uint64) int {
	if inUse <= generous/(1+mostPercent/100) {
		return mostPercent
	}
	return max(int(generous*100/inUse)-100, goPercent)
}

// inUse returns what was in use when the collector had run last.
func inUse() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

// afterCollections calls f some time after each run of the collector: what
// nobody holds is gone by then.
func afterCollections(f func()) {
	runtime.AddCleanup(new([16]byte), func(struct{}) {
		f()
		afterCollections(f)
	}, struct{}{})
}
