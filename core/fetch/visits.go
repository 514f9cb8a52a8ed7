package fetch

import (
	"errors"
	"sync"
	"time"

	"parley.im/bus/event"
)

// How long what became of a URL is known, and of how many.
const (
	fetchedFor = 10 * time.Minute
	failedFor  = time.Minute
	maxVisits  = 1000
)

// visits are the URLs that are asked, or were lately.
type visits struct {
	mu  sync.Mutex
	all map[string]*visit
}

// A visit is one fetch. What it brought is there when done is closed.
type visit struct {
	done    chan struct{}
	content event.Content
	err     error
	until   time.Time // it is known; zero while it goes on
}

// enter returns the visit of a URL; first if the caller has to make it.
func (v *visits) enter(url string, now time.Time) (x *visit, first bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x := v.all[url]; x != nil && (x.until.IsZero() || now.Before(x.until)) {
		return x, false
	}
	if len(v.all) >= maxVisits {
		v.forget(now)
	}
	x = &visit{done: make(chan struct{})}
	v.all[url] = x
	return x, true
}

// forget makes room: what is over goes, and if that is not much everything that
// is not under way. The lock is held.
func (v *visits) forget(now time.Time) {
	for _, until := range []time.Time{now, now.Add(fetchedFor + time.Minute)} {
		for url, x := range v.all {
			if !x.until.IsZero() && x.until.Before(until) {
				delete(v.all, url)
			}
		}
		if len(v.all) < maxVisits/2 {
			return
		}
	}
}

// end says what a visit brought. Trouble of our own is not remembered.
func (v *visits) end(x *visit, c event.Content, err error, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x.content, x.err, x.until = c, err, now.Add(fetchedFor)
	switch {
	case errors.Is(err, errOurs):
		x.until = now
	case err != nil:
		x.until = now.Add(failedFor)
	}
	close(x.done)
}
