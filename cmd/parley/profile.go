package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profiled does the work and writes a CPU profile of it to the file, if one is
// named. The file is read with "go tool pprof".
func profiled(path string, work func() error) error {
	if path == "" {
		return work()
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--cpu-profile: %w", err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("--cpu-profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return work()
}
