package counting

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// Sending is what a POST to /send asks for: messages into the bridge, as if
// people of this network had written them.
type Sending struct {
	From   string        `json:"from"`   // of person n: an address with one %d
	To     string        `json:"to"`     // whom person n writes to, with one %d
	People int           `json:"people"` // who write at once, each with one message under way
	Rate   int           `json:"rate"`   // messages a second in all; 0: as fast as the host takes them
	Time   time.Duration `json:"time"`   // how long
	Bytes  int           `json:"bytes"`  // of each body; it begins with the time of sending
}

// Sent is what it answers when the time is over.
type Sent struct {
	Stored int64         `json:"stored"`
	Failed int64         `json:"failed"`
	Took   time.Duration `json:"took"`
	P50    time.Duration `json:"p50"` // from Put until the host has stored it
	P99    time.Duration `json:"p99"`
}

func (c *connector) serveSend(w http.ResponseWriter, r *http.Request) {
	var s Sending
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&s)
	if err != nil || s.People < 1 || s.People > 10_000 || s.Bytes < 0 || s.Bytes > 1<<16 {
		http.Error(w, "this is no Sending", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.run(r.Context(), c.host))
}

func (s Sending) run(ctx context.Context, host sdk.Host) (sum Sent) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var waits []time.Duration
	began := time.Now()
	for n := range s.People {
		all.Go(func() {
			took, failed := s.person(ctx, host, n, began)
			mu.Lock()
			defer mu.Unlock()
			waits, sum.Failed = append(waits, took...), sum.Failed+failed
		})
	}
	all.Wait()
	sum.Stored, sum.Took = int64(len(waits)), time.Since(began)
	slices.Sort(waits)
	if last := len(waits) - 1; last >= 0 {
		sum.P50, sum.P99 = waits[last/2], waits[last*99/100]
	}
	return sum
}

// person writes until the time is over, at her share of the rate.
func (s Sending) person(ctx context.Context, host sdk.Host, n int, began time.Time) (took []time.Duration, failed int64) {
	var every time.Duration
	if s.Rate > 0 {
		every = time.Second * time.Duration(s.People) / time.Duration(s.Rate)
	}
	next := began.Add(every * time.Duration(n) / time.Duration(s.People))
	for i := 0; ctx.Err() == nil; i++ {
		if wait := time.Until(next); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
		next = next.Add(every)
		now := time.Now()
		if now.Sub(began) >= s.Time {
			break
		}
		if _, err := host.Put(ctx, s.message(n, i, now)); err != nil {
			failed++
			continue
		}
		took = append(took, time.Since(now))
	}
	return took, failed
}

func (s Sending) message(n, i int, now time.Time) event.Inbound {
	body := strconv.AppendInt(make([]byte, 0, s.Bytes+32), now.UnixNano(), 10)
	body = append(body, ' ')
	for len(body) < s.Bytes {
		body = append(body, '.')
	}
	return event.Inbound{
		Envelope: event.Envelope{
			NativeID: fmt.Sprintf("%d-%d-%d", now.UnixNano(), n, i), Sender: event.Address(fmt.Sprintf(s.From, n)),
			Recipient: event.Address(fmt.Sprintf(s.To, n)),
		},
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: body},
	}
}
