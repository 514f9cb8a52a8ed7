package main

import (
	"os"
	"runtime/debug"
)

// collectLess lets the heap of the host grow to four times what is in use
// before the collector runs, instead of twice: some megabytes more for less
// work a message. The variable GOGC, if set, stands.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
}
