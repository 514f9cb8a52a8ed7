package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"parley.im/core/sipedge/uac"
)

// load is how a server is driven.
type load struct {
	network, server string
	to              string // whom client n writes to: a URI with one %d
	password        string
	people          int // whom each client writes to in turn, if more than one
	clients         int
	time            time.Duration
	count           int           // messages of each client, if not 0
	every           time.Duration // between the starts of a client's messages; 0: as soon as the last is answered
}

// result is what the clients saw.
type result struct {
	accepted int64
	refused  int64 // another answer than 2xx, or none
	took     time.Duration
	waits    []time.Duration // of the accepted, sorted
}

// drive sends from several clients at once, each with one message outstanding,
// as RFC 3428, section 8, asks of a sender.
func drive(ctx context.Context, l load) (sum result, err error) {
	clients := make([]*uac.Client, l.clients)
	for i := range clients {
		user := benchUser(i)
		clients[i], err = uac.Dial(ctx, uac.Config{
			Server: l.server, Network: l.network, From: "sip:" + user + "@127.0.0.1", User: user, Password: l.password,
		})
		if err != nil {
			return sum, err
		}
		defer clients[i].Close()
	}
	var all sync.WaitGroup
	results := make([]result, l.clients)
	began := time.Now()
	for i, c := range clients {
		all.Go(func() { results[i] = l.one(ctx, c, i, began) })
	}
	all.Wait()
	sum.took = time.Since(began)
	for _, r := range results {
		sum.accepted += r.accepted
		sum.refused += r.refused
		sum.waits = append(sum.waits, r.waits...)
	}
	slices.Sort(sum.waits)
	return sum, ctx.Err()
}

// one is a client that sends until the time is over, or its count is reached.
func (l load) one(ctx context.Context, c *uac.Client, n int, began time.Time) (r result) {
	people := make([]string, max(l.people, 1))
	for i := range people {
		people[i] = fmt.Sprintf(l.to, n+i*l.clients)
	}
	start := began.Add(l.every * time.Duration(n) / time.Duration(l.clients))
	for i := 0; (l.count == 0 || i < l.count) && ctx.Err() == nil; i++ {
		rest(ctx, time.Until(start.Add(time.Duration(i)*l.every)))
		now := time.Now()
		if l.time > 0 && now.Sub(began) >= l.time {
			break
		}
		a, err := c.Send(ctx, people[i%len(people)], "text/plain", benchBody(now))
		if err != nil || a.Code/100 != 2 {
			r.refused++
			continue
		}
		r.accepted++
		r.waits = append(r.waits, time.Since(now))
	}
	return r
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

const benchBodySize = 200

// benchBody is a text that begins with when it was sent, for the counting
// connector to read.
func benchBody(at time.Time) []byte {
	body := bytes.Repeat([]byte{'.'}, benchBodySize)
	copy(body, strconv.FormatInt(at.UnixNano(), 10)+" ")
	return body
}

func (r result) rate() float64 { return float64(r.accepted) / r.took.Seconds() }

// quantile returns the time within which that part of the answers came.
func (r result) quantile(q float64) time.Duration {
	if len(r.waits) == 0 {
		return 0
	}
	return r.waits[int(q*float64(len(r.waits)-1))]
}

// brief rounds a time for a table.
func brief(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
