package sipedge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// hop is where a request goes: to whom, through which proxies, and along which
// path the first of them is reached.
type hop struct {
	Contact string   // the Request-URI
	Routes  []string `json:",omitempty"` // URIs of the proxies on the way (RFC 3261, section 16.12; RFC 3327), the first first
	Path    path

	part   string // of a text that goes in several requests: ".1.3"
	turn   int    // how many requests for the same delivery were answered before
	branch string // tells apart the requests of one turn, which differ only by their way
}

var (
	errSilent = errors.New("no final response in time")
	errGone   = errors.New("its connection is gone")
	errSocket = errors.New("no UDP socket to send from") // our own trouble, not the far side's
)

// exchange sends a request along a path and returns the final response. It
// never opens a connection.
func (e *Edge) exchange(ctx context.Context, req *sip.Request, p path) (*sip.Response, error) {
	if !p.alive() {
		return nil, errGone
	}
	if p.Network == "udp" && req.Laddr.IP == nil {
		return nil, errSocket
	}
	tx, err := e.ua.TransactionLayer().NewClientTransaction(ctx, req)
	switch {
	case err != nil && p.Network == "udp":
		return nil, fmt.Errorf("%w: %w", errSocket, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	defer tx.Terminate()
	if p.flow != nil && flowOf(tx.Connection()) != p.flow {
		return nil, errGone
	}
	if err := tx.Init(); err != nil {
		return nil, err
	}
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, nil
			}
		case <-tx.Done():
			return nil, tx.Err()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// turns let one message at a time go to an address: while there is no final
// response to one, no other is sent (RFC 3428, section 8).
type turns struct {
	mu  sync.Mutex
	all map[event.Address]*turn
}

type turn struct {
	token chan struct{} // held by whose turn it is
	users int
}

// take waits for the turn of an address and returns what ends it.
func (t *turns) take(ctx context.Context, to event.Address) (end func(), err error) {
	mine, leave := t.line(to)
	select {
	case mine.token <- struct{}{}:
		return func() { <-mine.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("an earlier message is still under way: %w", ctx.Err())
	}
}

// tryTake takes the turn of an address if nobody has it.
func (t *turns) tryTake(to event.Address) (end func(), ok bool) {
	mine, leave := t.line(to)
	select {
	case mine.token <- struct{}{}:
		return func() { <-mine.token; leave() }, true
	default:
		leave()
		return nil, false
	}
}

// line returns the turn of an address, and what gives up one's place in it.
func (t *turns) line(to event.Address) (mine *turn, leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine = t.all[to]; mine == nil {
		mine = &turn{token: make(chan struct{}, 1)}
		t.all[to] = mine
	}
	mine.users++
	return mine, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.all, to)
		}
	}
}
