package counting

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Stats is what /stats answers.
type Stats struct {
	Count int64         `json:"count"` // deliveries since the start or the last POST
	P50   time.Duration `json:"p50"`   // half of those that said when they were sent took at most this
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

func (c *connector) serveStats(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		c.count.Store(0)
		c.delays.forget()
	}
	s := c.delays.stats()
	s.Count = c.count.Load()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

// delays remembers how long the latest messages were under way.
type delays struct {
	mu     sync.Mutex
	latest []time.Duration
	next   int
}

const kept = 1 << 16

// note reads when a message was sent from the start of its body.
func (d *delays) note(body []byte, now time.Time) {
	head, _, _ := bytes.Cut(body[:min(len(body), 32)], []byte(" "))
	sent, err := strconv.ParseInt(string(head), 10, 64)
	if err != nil {
		return
	}
	took := now.Sub(time.Unix(0, sent))
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.latest) < kept {
		d.latest = append(d.latest, took)
		return
	}
	d.latest[d.next] = took
	d.next = (d.next + 1) % kept
}

func (d *delays) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latest, d.next = nil, 0
}

func (d *delays) stats() Stats {
	d.mu.Lock()
	all := slices.Clone(d.latest)
	d.mu.Unlock()
	if len(all) == 0 {
		return Stats{}
	}
	slices.Sort(all)
	last := len(all) - 1
	return Stats{P50: all[last/2], P99: all[last*99/100], Max: all[last]}
}
