package sipedge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley.im/core/sipedge/resolve"
)

// shunned is how long a server that did not answer, or could not be connected
// to, is tried after the others only.
const shunned = 30 * time.Second

// A server is one target of a trunk, and what is known of it.
type server struct {
	target resolve.Target
	up     bool
	since  time.Time     // when it came up or went down
	rtt    time.Duration // of the last answer to OPTIONS
	why    string        // it is down
	until  time.Time     // before then it is tried after the others
	closed bool          // before then it is not tried at all: it said so (RFC 3261, section 21.5.4)
}

// errClosed says that all servers of a trunk asked to be left alone for a
// while.
type errClosed struct{ wait time.Duration }

func (errClosed) Error() string { return "all its servers ask for a pause" }

// located returns all targets of servers that can be reached from here, in
// their order.
func (e *Edge) located(ctx context.Context, servers []resolve.URI) ([]resolve.Target, error) {
	var all []resolve.Target
	var failed []error
	for _, u := range servers {
		some, err := e.resolver.Resolve(ctx, u)
		failed = append(failed, err)
		for _, s := range some {
			if s.Network == "udp" && e.socketFor(s.Addr.Addr()) == "" {
				failed = append(failed, fmt.Errorf("no UDP socket of [sip] listen can send to %s", s.Addr.Addr()))
			} else if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(failed...)
	}
	return all, nil
}

// sorted returns targets as they are to be tried: those that are down last, and
// those that asked for a pause not at all.
func (t *trunk) sorted(all []resolve.Target, now time.Time) ([]resolve.Target, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pause := time.Duration(0)
	open := slices.DeleteFunc(all, func(x resolve.Target) bool {
		s := t.state[x.String()]
		if s == nil || !s.closed || !now.Before(s.until) {
			return false
		}
		if left := s.until.Sub(now); pause == 0 || left < pause {
			pause = left
		}
		return true
	})
	if len(open) == 0 {
		return nil, errClosed{pause}
	}
	slices.SortStableFunc(open, func(a, b resolve.Target) int { return t.rank(a, now) - t.rank(b, now) })
	return open, nil
}

func (t *trunk) rank(x resolve.Target, now time.Time) int {
	if s := t.state[x.String()]; s != nil && (now.Before(s.until) || !s.up && t.Qualify > 0) {
		return 1
	}
	return 0
}

// server returns what is known of a target, and needs mu.
func (t *trunk) server(x resolve.Target) *server {
	s := t.state[x.String()]
	if s == nil {
		s = &server{target: x, up: true, since: time.Now()}
		if len(t.state) >= 1000 { // DNS names others all the time
			clear(t.state)
		}
		t.state[x.String()] = s
	}
	return s
}

// down notes that a server could not be reached, or asked for a pause, and
// tells whether that is news.
func (t *trunk) down(x resolve.Target, why string, pause time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, now := t.server(x), time.Now()
	news := s.up
	if news {
		s.up, s.since = false, now
	}
	s.why, s.closed, s.until = why, pause > 0, now.Add(max(pause, shunned))
	if s.closed {
		s.until = now.Add(pause)
	}
	return news
}

// works notes that a server answers, and tells whether that is news.
func (t *trunk) works(x resolve.Target, rtt time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.server(x)
	news := !s.up
	if news {
		s.up, s.since = true, time.Now()
	}
	s.why, s.until, s.closed = "", time.Time{}, false
	if rtt > 0 {
		s.rtt = rtt
	}
	return news
}

// works notes that a server of a trunk answers. If it did not, what waits for
// the trunk goes on.
func (e *Edge) works(t *trunk, x resolve.Target, rtt time.Duration) {
	if t.works(x, rtt) {
		e.log.Info("server of a trunk answers again", "trunk", t.Name, "server", x)
		for _, a := range t.waited() {
			e.host.Registered(a)
		}
	}
}

// down notes that a server of a trunk does not answer, or asks for a pause.
func (e *Edge) down(t *trunk, x resolve.Target, why error, pause time.Duration) {
	if t.down(x, why.Error(), pause) {
		e.log.Warn("server of a trunk can't be used", "trunk", t.Name, "server", x, "pause", pause, "error", why)
	}
}
