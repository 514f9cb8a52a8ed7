package sipedge

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"parley.im/bus/event"
)

// maxBindings is how many phones one account has at most; a further one takes
// the place of the one that expires first.
const maxBindings = 16

// Bindings keeps registrations over a restart: one opaque value for each AOR.
// Its methods are called from several goroutines, for one AOR one at a time.
type Bindings interface {
	// Save stores the value of an AOR and returns when it is stored. An empty
	// value removes it.
	Save(ctx context.Context, aor event.Address, value []byte) error
	// Load returns all values.
	Load(ctx context.Context) (map[event.Address][]byte, error)
}

// binding is one phone of an account (RFC 3261, section 10). What is guarded
// may change after it is made: a refresh replaces the binding.
type binding struct {
	hop
	Instance string `json:",omitempty"` // of RFC 5626, with its reg-id
	Q        int    `json:",omitempty"` // in thousandths below 1: what was said is 1 - Q/1000
	CallID   string
	CSeq     uint32
	Expires  time.Time

	Accept  []string `json:",omitempty"` // media types that it was known to take when it registered
	Refused []string `json:",omitempty"` // and those that it had refused

	taste     *taste // of the device: a refresh has that of the binding before
	suspended bool   // it did not answer; guarded by its phones' mu
}

// is tells whether a binding takes the place of another: that of the same
// contact, or of the same flow of one phone (RFC 5626, section 6).
func (b *binding) is(o *binding) bool {
	if b.Instance != "" && o.Instance != "" {
		return b.Instance == o.Instance
	}
	return b.Contact == o.Contact
}

// phone is what all flows of one phone have in common: empty if it does not say.
func (b *binding) phone() string {
	id, _, _ := strings.Cut(b.Instance, ";")
	return id
}

// phones are the bindings of one account.
type phones struct {
	aor event.Address

	changing sync.Mutex // held while they change and are saved
	mu       sync.Mutex
	all      []*binding
	refused  string // id of the delivery that was answered last, and not taken
	turn     int    // how often it was
}

// turnOf returns how often a delivery was answered and not taken.
func (p *phones) turnOf(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused != id {
		return 0
	}
	return p.turn
}

// refuse notes that a delivery was answered and not taken. The next attempt is
// another request, or the phone would repeat its answer for 32 s (RFC 3261,
// section 17.2.2).
func (p *phones) refuse(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused != id {
		p.refused, p.turn = id, 0
	}
	p.turn++
}

// registrar has the phones of all accounts.
type registrar struct {
	store Bindings
	now   func() time.Time

	mu     sync.Mutex
	phones map[event.Address]*phones
}

func newRegistrar(accounts map[string]account, store Bindings) *registrar {
	r := &registrar{store: store, now: time.Now}
	r.replace(accounts)
	return r
}

// of returns the phones of an account, nil if there is no such account.
func (r *registrar) of(aor event.Address) *phones {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phones[aor]
}

// everybody returns the phones of all accounts.
func (r *registrar) everybody() (all []*phones) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.phones {
		all = append(all, p)
	}
	return all
}

// replace has the phones of these accounts from now on, and returns the
// accounts that were there before and are gone.
func (r *registrar) replace(accounts map[string]account) (gone []event.Address) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[event.Address]*phones{}
	for _, a := range accounts {
		if all[a.aor] = r.phones[a.aor]; all[a.aor] == nil {
			all[a.aor] = &phones{aor: a.aor}
		}
	}
	for aor := range r.phones {
		if all[aor] == nil {
			gone = append(gone, aor)
		}
	}
	r.phones = all
	return gone
}

// load reads what an earlier run saved. Of connections nothing is left; what
// cannot be read is as good as expired.
func (r *registrar) load(ctx context.Context, log *slog.Logger) error {
	if r.store == nil {
		return nil
	}
	values, err := r.store.Load(ctx)
	if err != nil {
		return err
	}
	for aor, v := range values {
		p := r.of(aor)
		if p == nil {
			continue
		}
		var saved []*binding
		if err := json.Unmarshal(v, &saved); err != nil {
			log.Warn("registration not readable", "aor", aor, "error", err)
			continue
		}
		now := time.Now()
		for _, b := range saved {
			if b != nil && b.Path.Network == "udp" && b.Expires.After(now) {
				b.taste = newTaste(b.Accept, b.Refused)
				p.all = append(p.all, b)
			}
		}
	}
	return nil
}

// save stores the bindings of an account.
func (r *registrar) save(ctx context.Context, aor event.Address, all []*binding) error {
	if r.store == nil {
		return nil
	}
	var v []byte
	if len(all) > 0 {
		var err error
		if v, err = json.Marshal(all); err != nil {
			return fmt.Errorf("encode the registration of %s: %w", aor, err)
		}
	}
	return r.store.Save(ctx, aor, v)
}

// current returns the bindings that have not expired and whose connection is
// there.
func (p *phones) current(now time.Time) []*binding {
	p.mu.Lock()
	defer p.mu.Unlock()
	var live []*binding
	for _, b := range p.all {
		if b.Expires.After(now) && b.Path.alive() {
			live = append(live, b)
		}
	}
	return live
}

// reachable returns the current bindings that are not suspended; of a phone with
// several flows the one that is newest, so that it gets a message once (RFC
// 5626, section 7).
func (p *phones) reachable(now time.Time) []*binding {
	var some []*binding
	live := p.current(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range slices.Backward(live) {
		newer := func(o *binding) bool { return !o.suspended && b.phone() != "" && o.phone() == b.phone() }
		if !b.suspended && !slices.ContainsFunc(live[i+1:], newer) {
			some = append(some, b)
		}
	}
	slices.Reverse(some)
	return some
}

func (p *phones) set(all []*binding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
}

// suspend keeps a phone that did not answer from being tried again until it
// registers or is heard of.
func (p *phones) suspend(b *binding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.suspended = true
}

// sends notes that the phone at a path has sent a type: it will take it, too.
func (p *phones) sends(at path, kind string) {
	if p == nil { // the account was taken away just now
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.all {
		if b.Path.same(at) {
			b.taste.sends(kind)
		}
	}
}

// revive ends the suspension of the phones at a path and tells whether there
// were any.
func (p *phones) revive(at path) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	revived := false
	for _, b := range p.all {
		if b.suspended && b.Path.same(at) {
			b.suspended, revived = false, true
		}
	}
	return revived
}

// heard notes that an account's phone has sent something: it is there.
func (e *Edge) heard(aor event.Address, at path) {
	if p := e.phones.of(aor); p != nil && p.revive(at) {
		e.host.Registered(aor)
	}
}
