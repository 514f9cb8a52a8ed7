//go:build linux && peers

package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var soakTime = flag.Duration("soak.time", 15*time.Second, "how long people speak while faults strike at random")

// soaked is the configuration of a host that keeps little: what it keeps for
// hours would hide a leak.
var soaked = []string{
	`bodies = "0" `, `bodies = "1m" `,
	`ids    = 2000000`, `ids    = 5000`,
	"[plugins.slack]", "[plugins.slack]\npace = { every = \"1ms\" }",
}

// TestPeersSoak has one host live through faults at random, all but its own
// death, and looks at what it holds: "make soak" for half an hour, "make
// test-peers" for some seconds, in which they strike one after another.
func TestPeersSoak(t *testing.T) {
	usual := parley // looks for races, which takes memory of its own
	parley = buildPlain(t)
	t.Cleanup(func() { parley = usual })
	s := &scene{length: *crashFault, town: newTown(t, soaked...)}
	newUDPPhone(s.bridge, "alice") // nobody is away: what waits would have to be kept
	audited := s.audit()
	c := s.speak(*crashRate)
	var chosen []fault
	for _, f := range faults() {
		if !f.external && !f.ends && !f.small {
			chosen = append(chosen, f)
		}
	}
	var all []holding
	strikes := map[string]int{}
	began := time.Now()
	for next := began; time.Since(began) < *soakTime; {
		<-time.After(peace)
		f := chosen[rand.IntN(len(chosen))]
		strikes[f.name]++
		f.strike(s)
		if time.Now().Before(next) {
			continue
		}
		c.heard(t) // nothing is wrong now
		all = append(all, s.holds(time.Since(began)))
		t.Log(all[len(all)-1])
		next = next.Add(max(*soakTime/30, 5*time.Second))
	}
	c.heard(t)
	c.silence()
	t.Log(c.speakers, strikes)
	for d, sum := range s.settle(c, settleLimit) {
		t.Logf("%s: %d taken, %d lost, %d twice, %d mails twice, %d out of order", d, sum.taken, sum.lost, sum.twice, sum.mails, sum.order)
		if sum.lost > 0 || sum.twice > 0 || sum.order > 0 {
			t.Error("that should be 0")
		}
	}
	if audited() == 0 {
		t.Error("the books could never be read")
	}
	grown(t, all)
}

// A holding is what the host and its connectors hold at a moment.
type holding struct {
	at                                        time.Duration
	goroutines, files, memory, children, disk float64
}

func (h holding) String() string {
	return fmt.Sprintf("%4v: %3.0f goroutines, %3.0f descriptors, %5.1f MB RSS, connectors %5.1f MB RSS, %5.1f MB on disk",
		h.at.Round(time.Second), h.goroutines, h.files, h.memory, h.children, h.disk)
}

const megabyte = 1 << 20

func (s *scene) holds(at time.Duration) holding {
	s.t.Helper()
	text, err := s.metrics(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	h := holding{
		at: at, goroutines: figure(text, "go_goroutines"), files: figure(text, "process_open_fds"),
		memory: figure(text, "process_resident_memory_bytes") / megabyte,
	}
	for _, pid := range family(s.cmd.Process.Pid)[1:] {
		h.children += mb(memory(pid).rss)
	}
	err = filepath.WalkDir(filepath.Join(s.dir, "data"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what goes away meanwhile is not there
		}
		if info, err := d.Info(); err == nil {
			h.disk += float64(info.Size()) / megabyte
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
	return h
}

// figure returns a metric without labels.
func figure(text, name string) float64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return n
		}
	}
	return 0
}

// grown compares the second quarter of the time with the last: what begins by
// filling its buffers is full by then.
func grown(t *testing.T, all []holding) {
	t.Helper()
	quarter := len(all) / 4
	if quarter < 3 {
		t.Log("that was too short to see anything grow")
		return
	}
	early, late := all[quarter:2*quarter], all[len(all)-quarter:]
	for _, m := range []struct {
		name  string
		of    func(holding) float64
		slack float64 // that a median may differ by
	}{
		{"goroutines", func(h holding) float64 { return h.goroutines }, 20},
		{"descriptors", func(h holding) float64 { return h.files }, 10},
		{"the host's memory in MB", func(h holding) float64 { return h.memory }, 20},
		{"the connectors' memory in MB", func(h holding) float64 { return h.children }, 40},
	} {
		before, after := median(early, m.of), median(late, m.of)
		t.Logf("%s: %.1f in the second quarter, %.1f in the last", m.name, before, after)
		if after > before*1.1+m.slack {
			t.Errorf("%s grew", m.name)
		}
	}
}

func median(list []holding, of func(holding) float64) float64 {
	values := make([]float64, len(list))
	for i, h := range list {
		values[i] = of(h)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
