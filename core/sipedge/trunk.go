package sipedge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	timerate "golang.org/x/time/rate"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/proof"
	"parley.im/core/sipedge/resolve"
)

// Trunk is a PBX, a carrier or a proxy.
//
// What comes from one of its Peers, with one of its Certificates or proven by
// its Account is believed to be from whom it says (RFC 3325). Over UDP an
// address can be forged, so the network between must not let strangers use it.
//
// Messages to addresses in its Domains are sent to its Servers, or without any
// to those that DNS names for the first hop.
type Trunk struct {
	Name         string
	Peers        []netip.Prefix // that it sends from
	Certificates []string       // SIP domains, of which its client certificate must have one
	Account      string         // user of the account by which it proves itself
	Domains      []string       // whose addresses are sent to it
	Servers      []string       // URIs of the next hop, best first
	Route        []string       // URIs of the proxies that requests go through, the first first
	TLS          ClientTLS
	In, Out      []NumberPattern // of the numbers that come from it, and of those that go to it
	Credentials
	Assert      bool          // P-Asserted-Identity tells it who sends: it is trusted with it
	Outstanding int           // requests at once; 0: no limit but one to each address
	Every       time.Duration // between the starts of two requests
	Qualify     time.Duration // how often servers are asked whether they are there; 0: never
}

// trunk is a Trunk at work.
type trunk struct {
	Trunk
	servers []resolve.URI
	proof   *proof.Answerer
	slots   chan struct{} // one token per request under way; nil without a limit
	pace    *timerate.Limiter

	mu      sync.Mutex
	state   map[string]*server // by their targets
	lost    string             // why no server was found when they were looked for last
	waiting map[event.Address]bool
	turns   map[event.Address]answers
	tastes  map[event.Address]*taste
}

// answers are those to a delivery that was not taken.
type answers struct {
	id    string
	turns int
}

// maxWaiting is how many addresses behind a trunk are told at once when it is
// back; the others are tried again in their own time.
const maxWaiting = 10000

func (d domains) newTrunk(t Trunk) (*trunk, error) {
	w := &trunk{
		Trunk: t, proof: t.Credentials.answerer(), pace: timerate.NewLimiter(timerate.Inf, 1),
		state: map[string]*server{}, waiting: map[event.Address]bool{}, turns: map[event.Address]answers{}, tastes: map[event.Address]*taste{},
	}
	if slices.ContainsFunc(t.Peers, func(p netip.Prefix) bool { return !p.IsValid() }) {
		return nil, errors.New("a peer is no address")
	}
	w.Domains = nil
	for _, name := range t.Domains {
		h, err := canonicalHost(name)
		if err != nil {
			return nil, fmt.Errorf("domain %q: %w", name, err)
		}
		if d.all[h] {
			return nil, fmt.Errorf("the domain %q is our own", name)
		}
		w.Domains = append(w.Domains, h)
	}
	next := t.Servers
	if len(next) == 0 {
		next = t.Route[:min(1, len(t.Route))]
	}
	for _, s := range next {
		u, err := resolve.ParseServer(s)
		if err != nil {
			return nil, err
		}
		w.servers = append(w.servers, u)
	}
	if len(next) == 0 && len(w.Domains) > 0 {
		w.servers = []resolve.URI{{Host: w.Domains[0]}}
	}
	if t.Outstanding > 0 {
		w.slots = make(chan struct{}, t.Outstanding)
	}
	if t.Every > 0 {
		w.pace.SetLimit(timerate.Every(t.Every))
	}
	return w, nil
}

// trunk returns the trunk that sends from an address, nil if it is a stranger's.
func (e *Edge) trunk(ip netip.Addr) *trunk {
	for _, t := range *e.trunks.Load() {
		if slices.ContainsFunc(t.Peers, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			return t
		}
	}
	return nil
}

// trunkOf returns the trunk that sends a request: by its address, by the
// certificate or the connection, or because it knows the Contact of our
// registration there.
func (e *Edge) trunkOf(r request) *trunk {
	if t := e.trunk(r.from); t != nil {
		return t
	}
	if f := r.path.flow; f != nil {
		for _, t := range *e.trunks.Load() {
			if f.trunk == t.Name && t.Name != "" || slices.ContainsFunc(t.Certificates, func(n string) bool { return f.certified(n) }) {
				return t
			}
		}
	}
	return e.holderOf(r)
}

// trunkBy returns the trunk that proves itself by an account, nil if that is
// somebody's own.
func (e *Edge) trunkBy(c claim) *trunk {
	for _, t := range *e.trunks.Load() {
		if t.Account != "" && string(c.aor) == "sip:"+t.Account+"@"+e.domains.first {
			return t
		}
	}
	return nil
}

// trunkNamed returns a trunk by its name, nil if there is none.
func (e *Edge) trunkNamed(name string) *trunk {
	for _, t := range *e.trunks.Load() {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// trunkTo returns the trunk by which an address is reached, nil if there is
// none.
func (e *Edge) trunkTo(a event.Address) *trunk {
	host := string(a[strings.LastIndexByte(string(a), '@')+1:])
	for _, t := range *e.trunks.Load() {
		if slices.Contains(t.Domains, host) {
			return t
		}
	}
	return nil
}

// SetTrunks replaces the trunks from the next request on. Those that stay as
// they are keep what is known of their servers. An error changes nothing.
func (e *Edge) SetTrunks(list []Trunk) error {
	var before, after []*trunk
	if p := e.trunks.Load(); p != nil {
		before = *p
	}
	reached := map[string]string{}
	for _, t := range list {
		w, err := e.domains.newTrunk(t)
		if err != nil {
			return fmt.Errorf("trunk %q: %w", t.Name, err)
		}
		for _, d := range w.Domains {
			if reached[d] != "" {
				return fmt.Errorf("trunk %q: the domain %s is that of the trunk %q, too", t.Name, d, reached[d])
			}
			reached[d] = t.Name
		}
		if i := slices.IndexFunc(before, func(o *trunk) bool { return reflect.DeepEqual(o.Trunk, w.Trunk) }); i >= 0 {
			w = before[i]
		}
		after = append(after, w)
	}
	e.trunks.Store(&after)
	e.change()
	return nil
}

// enter waits until a request may go to the trunk by its pace, and returns what
// ends it.
func (t *trunk) enter(ctx context.Context) (leave func(), err error) {
	if err := t.pace.Wait(ctx); err != nil {
		return nil, err
	}
	if t.slots == nil {
		return func() {}, nil
	}
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// turnOf returns how often a delivery was answered and not taken.
func (t *trunk) turnOf(target event.Address, id string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.turns[target]; a.id == id {
		return a.turns
	}
	return 0
}

// taste returns what is known of an address behind the trunk.
func (t *trunk) taste(target event.Address) *taste {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.tastes[target]
	if known == nil {
		if len(t.tastes) >= maxWaiting {
			clear(t.tastes)
		}
		known = newTaste(nil, nil)
		t.tastes[target] = known
	}
	return known
}

// answered notes how often a delivery was answered, and not taken; 0 when it is
// over. See phones.refuse.
func (t *trunk) answered(target event.Address, id string, turns int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turns == 0 {
		delete(t.turns, target)
		return
	}
	if len(t.turns) >= 10*maxWaiting {
		clear(t.turns)
	}
	t.turns[target] = answers{id, turns}
}

// trouble notes whether servers were found.
func (t *trunk) trouble(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = ""
	if err != nil {
		t.lost = err.Error()
	}
}

// wait notes that an address waits for the trunk to come back.
func (t *trunk) wait(a event.Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) < maxWaiting {
		t.waiting[a] = true
	}
}

// waited returns those who wait, once.
func (t *trunk) waited() []event.Address {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []event.Address
	for a := range t.waiting {
		all = append(all, a)
	}
	clear(t.waiting)
	return all
}
