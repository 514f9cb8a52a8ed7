package sipedge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley.im/bus/event"
)

// slow has all requests answered 200 after a while, but those to 0 never.
func (f *far) slow(after time.Duration) {
	go func() {
		for h := range f.heard {
			if header1(h.text, "To") != "<sip:0@pbx.example.net>" {
				time.AfterFunc(after, func() { h.reply("200 OK") })
			}
		}
	}()
}

// outRun keeps one message under way to each of n addresses for a time, and
// returns how long each took.
func outRun(b *testing.B, s *started, n int, lasts time.Duration) (took []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var serial atomic.Int64
	end := time.Now().Add(lasts)
	for i := range n {
		all.Go(func() {
			var mine []time.Duration
			for first := true; first || time.Now().Before(end); first = false {
				d := by(fmt.Sprint("bench", serial.Add(1)))
				d.Target = event.Address(fmt.Sprintf("sip:%d@pbx.example.net", i+1))
				began := time.Now()
				if _, err := s.Deliver(context.Background(), d); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

// What goes out by a trunk, by how many addresses there are, each with one
// message under way, and how long the far side takes to answer.
func BenchmarkOut(b *testing.B) {
	for _, network := range []string{"udp", "tcp"} {
		for _, n := range []int{1, 100, 10000} {
			for _, after := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 3 * time.Second} {
				b.Run(fmt.Sprintf("%s/%d/%s", network, n, after), func(b *testing.B) {
					f := newFar(b, network, "", nil)
					f.slow(after)
					_, s := outward(b, Trunk{Servers: []string{f.uri(network)}})
					s.patience = answerWait
					for b.Loop() {
						began := time.Now()
						took := outRun(b, s, n, 3*time.Second)
						b.ReportMetric(float64(len(took))/time.Since(began).Seconds(), "msg/s")
						b.ReportMetric(min(float64(n)/after.Seconds(), 1e6), "at-most/s")
						b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
					}
				})
			}
		}
	}
}

// One address that never answers, beside 100 that do.
func BenchmarkOutBesideABlackHole(b *testing.B) {
	for _, hole := range []bool{false, true} {
		b.Run(fmt.Sprintf("hole=%t", hole), func(b *testing.B) {
			f := newFar(b, "udp", "", nil)
			f.slow(time.Millisecond)
			_, s := outward(b, Trunk{Servers: []string{f.uri("udp")}})
			s.patience = answerWait
			for b.Loop() {
				if hole {
					d := by("hole")
					d.Target = "sip:0@pbx.example.net"
					go s.Deliver(context.Background(), d)
				}
				took := outRun(b, s, 100, 5*time.Second)
				b.ReportMetric(float64(len(took))/5, "msg/s")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			}
		})
	}
}
