package sipedge

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/core/sipedge/uac"
)

// idleHost takes everything and keeps nothing: what is measured is the edge.
type idleHost struct{ puts atomic.Int64 }

func (h *idleHost) Put(context.Context, event.Inbound) error                       { h.puts.Add(1); return nil }
func (h *idleHost) Stored(string) bool                                             { return false }
func (h *idleHost) Check(context.Context, event.Inbound) error                     { return nil }
func (h *idleHost) Told(context.Context, event.Address, event.Report) error        { return nil }
func (h *idleHost) Composing(context.Context, event.Typing) error                  { return nil }
func (h *idleHost) Body(_ context.Context, c event.Content) (event.Content, error) { return c, nil }
func (h *idleHost) Registered(event.Address)                                       {}

// benchEdge starts an edge on which the clients of this machine have accounts,
// or are a trunk that needs none.
func benchEdge(b *testing.B, h Host, clients int, trunk bool) *started {
	c := Config{Domains: []string{"127.0.0.1"}, Listen: []Listener{{"udp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:0"}}, Limits: Limits{Exempt: home, Transactions: 1 << 18}}
	if trunk {
		c.Trunks = []Trunk{{Name: "bench", Peers: home[:1]}}
	} else {
		for i := range clients {
			c.Accounts = append(c.Accounts, Account{User: fmt.Sprint("u", i), Password: "secret"})
		}
	}
	return run(b, c, h)
}

// drive sends n messages from several clients, each with one outstanding, at
// most rate of them a second if it is not 0, and returns the times to the 202.
func drive(b *testing.B, network, server string, clients, n, rate int) (waits []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var sent atomic.Int64
	var ready []*uac.Client
	for i := range clients {
		user := fmt.Sprint("u", i)
		c, err := uac.Dial(b.Context(), uac.Config{Server: server, Network: network, From: "sip:" + user + "@127.0.0.1", User: user, Password: "secret"})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		ready = append(ready, c)
	}
	body := make([]byte, 200)
	for i := range body {
		body[i] = '.'
	}
	b.ResetTimer()
	began := time.Now()
	for _, c := range ready {
		all.Go(func() {
			var mine []time.Duration
			for {
				i := sent.Add(1)
				if i > int64(n) {
					break
				}
				if rate > 0 {
					<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
				}
				now := time.Now()
				a, err := c.Send(b.Context(), "sip:somebody@127.0.0.1", "text/plain", body)
				if err != nil || a.Code != 202 {
					b.Errorf("%v %v", a, err)
					break
				}
				mine = append(mine, time.Since(now))
			}
			mu.Lock()
			waits = append(waits, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(waits)
	b.ReportMetric(float64(len(waits))/time.Since(began).Seconds(), "msg/s")
	if len(waits) > 0 {
		b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "µs-p99")
	}
	return waits
}

// BenchmarkBesideBare is what the edge makes of the library: validation,
// identity and limits, with and without digest, beside a server that answers 202
// to everything. Nothing is stored.
func BenchmarkBesideBare(b *testing.B) {
	for _, network := range []string{"udp", "tcp"} {
		b.Run(network+"/bare", func(b *testing.B) {
			s, err := uac.StartBare(b.Context(), network, "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			drive(b, network, s.Addr(), 64, b.N, 0)
		})
		for _, how := range []string{"trunk", "digest"} {
			b.Run(network+"/"+how, func(b *testing.B) {
				s := benchEdge(b, &idleHost{}, 64, how == "trunk")
				drive(b, network, map[string]string{"udp": s.udp, "tcp": s.tcp}[network], 64, b.N, 0)
			})
		}
	}
}

// BenchmarkMemory is what 5,000 messages a second over UDP hold for as long as
// their answers may have to be repeated, the clients of the same process
// included: with -benchtime 300000x it takes a minute.
func BenchmarkMemory(b *testing.B) {
	h := &idleHost{}
	s := benchEdge(b, h, 64, true)
	ended, most, kept := make(chan struct{}), uint64(0), 0
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most, kept = max(most, m.HeapInuse), max(kept, s.Stats().Transactions)
			case <-ended:
				return
			}
		}
	})
	drive(b, "udp", s.udp, 64, b.N, 5000)
	close(ended)
	watching.Wait()
	for end := time.Now().Add(40 * time.Second); s.Stats().Transactions > 0 && time.Now().Before(end); {
		<-time.After(100 * time.Millisecond)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(most)/(1<<20), "MiB-most")
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB-after")
	b.ReportMetric(float64(kept), "transactions")
	if n := s.Stats().Transactions; n > 0 {
		b.Errorf("%d transactions are left", n)
	}
}
