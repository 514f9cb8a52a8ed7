package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus"
	"parley.im/bus/bustest"
)

// BenchmarkPublish stores events of 500 bytes, each on disk before Publish
// returns.
func BenchmarkPublish(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("fsync/%d", callers), func(b *testing.B) {
			log := openBench(b, bus.Config{Dir: b.TempDir()})
			var n atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					for i := int(n.Add(1)); i <= b.N; i = int(n.Add(1)) {
						e := bustest.Inbound("sip", "l1", i)
						e.Data = make([]byte, 500)
						if _, err := log.Publish(context.Background(), e); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkNext reads lanes as a re-reader of a parked lane does.
func BenchmarkNext(b *testing.B) {
	log := openBench(b, bus.Config{Durability: bus.Memory})
	const lanes, each = 500, 10
	for i := range lanes * each {
		if _, err := log.Publish(context.Background(), bustest.Outbound("web", fmt.Sprint("l", i%lanes), i)); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		if _, err := log.Next(context.Background(), bus.Outbounds, "web", fmt.Sprint("l", i%lanes), uint64(i%(lanes*each-lanes))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkOpen opens a log of 50,000 events, whose ids it reads.
func BenchmarkOpen(b *testing.B) {
	c := bus.Config{Dir: b.TempDir(), Durability: bus.Interval}
	log := openBench(b, c)
	var all sync.WaitGroup
	for g := range 100 {
		all.Go(func() {
			for i := range 500 {
				if _, err := log.Publish(context.Background(), bustest.Inbound("sip", fmt.Sprint("l", g), i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		log, err := bus.Open(context.Background(), c)
		if err != nil {
			b.Fatal(err)
		}
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func openBench(b *testing.B, c bus.Config) *bus.Bus {
	b.Helper()
	log, err := bus.Open(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	return log
}

// BenchmarkReplay reads a stream as a subscriber outside does, over loopback.
func BenchmarkReplay(b *testing.B) {
	seed, public, err := bus.NewSubscriberKey()
	if err != nil {
		b.Fatal(err)
	}
	log := openBench(b, bus.Config{
		Durability: bus.Memory, Listen: "127.0.0.1:0", Subscribers: []bus.Subscriber{{Name: "archive", Key: public}},
		Log: slog.New(slog.DiscardHandler),
	})
	const events = 5000
	for i := range events {
		e := bustest.Inbound("sip", "l1", i)
		e.Data = make([]byte, 500)
		if _, err := log.Publish(context.Background(), e); err != nil {
			b.Fatal(err)
		}
	}
	r := readable{at: log.Addr(), seeds: map[string][]byte{"archive": seed}}
	archive := r.join(b, "archive")
	n := 0
	for b.Loop() {
		n += len(archive.reads("PARLEY_INBOUND", jetstream.OrderedConsumerConfig{}, events))
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
