package sipedge

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/core/sipedge/resolve"
)

// qualifyPatience is how long a server may take to answer OPTIONS.
const qualifyPatience = 5 * time.Second

// tend has the servers of trunks asked whether they are there, and keeps the
// registrations, until ctx ends.
func (e *Edge) tend(ctx context.Context) {
	var tending sync.WaitGroup
	defer tending.Wait()
	under := map[any]context.CancelFunc{}
	for {
		wanted := map[any]func(context.Context){}
		for _, t := range *e.trunks.Load() {
			if t.Qualify > 0 && len(t.servers) > 0 {
				wanted[t] = func(ctx context.Context) { e.watchTrunk(ctx, t) }
			}
		}
		for _, w := range *e.registrations.Load() {
			wanted[w] = func(ctx context.Context) { e.keepRegistered(ctx, w) }
		}
		for one, end := range under {
			if wanted[one] == nil {
				end()
				delete(under, one)
			}
		}
		for one, work := range wanted {
			if under[one] == nil {
				each, end := context.WithCancel(ctx)
				under[one] = end
				tending.Go(func() { work(each) })
			}
		}
		select {
		case <-e.changed:
		case <-ctx.Done():
			for _, end := range under {
				end()
			}
			return
		}
	}
}

// change has tend look at the trunks and registrations again.
func (e *Edge) change() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// watchTrunk asks the servers of a trunk again and again (RFC 3261, section 11).
func (e *Edge) watchTrunk(ctx context.Context, t *trunk) {
	tick := time.NewTicker(t.Qualify)
	defer tick.Stop()
	for {
		e.qualify(ctx, t)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// qualify asks all servers of a trunk at once.
func (e *Edge) qualify(ctx context.Context, t *trunk) {
	all, err := e.located(ctx, t.servers)
	t.trouble(err)
	var asking sync.WaitGroup
	for _, x := range all {
		asking.Go(func() {
			began := time.Now()
			res, err := e.alive(ctx, t, x)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				e.down(t, x, fmt.Errorf("OPTIONS: %w", err), 0)
			case res.StatusCode == 503:
				e.down(t, x, fmt.Errorf("OPTIONS: it answered 503"), wait(res))
			default: // any other answer comes from a server that works
				e.works(t, x, time.Since(began))
			}
		})
	}
	asking.Wait()
}

// alive asks one server.
func (e *Edge) alive(ctx context.Context, t *trunk, x resolve.Target) (*sip.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, min(qualifyPatience, e.patience), errSilent)
	defer cancel()
	p, err := e.reach(ctx, x, t)
	if err != nil {
		return nil, err
	}
	req, err := e.outOfDialog(sip.OPTIONS, "sip:"+inURI(x.Domain), "sip:"+e.domains.first, "sip:"+inURI(x.Domain), p)
	if err != nil {
		return nil, err
	}
	req.AppendHeader(sip.NewHeader("Accept", accepted))
	return e.exchange(ctx, req, p)
}

// learnPatience is how long a phone may take to say what it accepts, while a
// message waits.
const learnPatience = 2 * time.Second

// learn asks a phone what it takes (RFC 3261, section 11).
func (e *Edge) learn(ctx context.Context, b *binding) {
	ctx, cancel := context.WithTimeoutCause(ctx, min(learnPatience, e.patience), errSilent)
	defer cancel()
	req, err := e.outOfDialog(sip.OPTIONS, b.Contact, "sip:"+e.domains.first, b.Contact, b.Path)
	if err != nil {
		return
	}
	for _, uri := range b.Routes {
		req.AppendHeader(sip.NewHeader("Route", "<"+uri+">"))
	}
	req.AppendHeader(sip.NewHeader("Accept", accepted))
	res, err := e.exchange(ctx, req, b.Path)
	if err != nil || res.StatusCode/100 != 2 {
		e.log.Debug("a phone does not say what it takes", "contact", b.Contact, "error", err)
		return
	}
	b.taste.name(accepted415(res))
}

// outOfDialog begins a request of our own that is no message of anybody's.
func (e *Edge) outOfDialog(method sip.RequestMethod, uri, from, to string, p path) (*sip.Request, error) {
	var target, fromURI, toURI sip.Uri
	for _, u := range []struct {
		text string
		into *sip.Uri
	}{{uri, &target}, {from, &fromURI}, {to, &toURI}} {
		if err := sip.ParseUri(u.text, u.into); err != nil {
			return nil, fmt.Errorf("%s: %w", u.text, err)
		}
	}
	id := rand.Text()
	req := sip.NewRequest(method, target)
	req.AppendHeader(e.via(id, hop{Contact: uri, Path: p}))
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(&sip.FromHeader{Address: fromURI, Params: sip.HeaderParams{{K: "tag", V: token("tag", id)}}})
	req.AppendHeader(&sip.ToHeader{Address: toURI})
	callID := sip.CallIDHeader(id + "@" + strings.Trim(e.domains.first, "[]"))
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
	req.AppendHeader(sip.NewHeader("User-Agent", serverString))
	req.SetBody(nil)
	e.address(req, p)
	return req, nil
}

// inURI returns a host as it stands in a URI.
func inURI(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}
