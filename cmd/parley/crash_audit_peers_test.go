//go:build linux && peers

package main

import (
	"context"
	"regexp"
	"strings"
	"time"
)

// audit reads the host's books every second, whenever it answers, until stop
// is called: nothing may be missing in them. It returns how often it could.
func (s *scene) audit() (stop func() (times int)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan int)
	go func() {
		times := 0
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- times
				return
			case <-tick.C:
			}
			text, err := s.metrics(ctx)
			if err != nil {
				continue // it is down, or stopped
			}
			times++
			for _, wrong := range unbalanced(text) {
				s.t.Errorf("the books do not balance: %s", wrong)
			}
		}
	}()
	return func() int {
		cancel()
		return <-done
	}
}

var books = regexp.MustCompile(`^parley_(in|out)bound_missing\{[^}]*\} (.*)$`)

// unbalanced returns the metrics that say that something is missing, or that
// there are no books.
func unbalanced(text string) (list []string) {
	found := 0
	for line := range strings.Lines(text) {
		m := books.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		found++
		if m[2] != "0" {
			list = append(list, strings.TrimSpace(line))
		}
	}
	if found == 0 {
		return []string{"none are kept"}
	}
	return list
}
