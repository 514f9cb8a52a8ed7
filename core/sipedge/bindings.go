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
	Agent    string `json:",omitempty"` // User-Agent of its REGISTER

	Accept  []string `json:",omitempty"` // media types that it was known to take when it was saved
	Refused []string `json:",omitempty"` // and those that it had refused

	taste     *taste // of the device: its next binding has it, too
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

// sameDevice tells whether two bindings are certainly of one device.
func (b *binding) sameDevice(o *binding) bool {
	if b.Instance != "" && o.Instance != "" {
		return b.phone() == o.phone()
	}
	return b.Contact == o.Contact
}

// alike tells whether what one device has refused the other will refuse: they
// are the same, or, for all that they say, the same program.
func (b *binding) alike(o *binding) bool {
	return b.sameDevice(o) || (b.Instance == "" || o.Instance == "") && b.Agent != "" && b.Agent == o.Agent
}

// phones are the bindings of one account.
type phones struct {
	aor event.Address

	changing sync.Mutex // held while they change and are saved
	mu       sync.Mutex
	all      []*binding
	past     []*binding // of devices that are gone, which may return: nothing but their tastes, the latest last
	refused  string     // id of the delivery that was answered last, and not taken
	turn     int        // how often it was
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

// change returns the phones of an account, which nobody else changes or saves
// until unlock; nil if there is no such account any more.
func (r *registrar) change(aor event.Address) (p *phones, unlock func()) {
	if p = r.of(aor); p == nil {
		return nil, nil
	}
	p.changing.Lock()
	if r.of(aor) != p { // it was taken away just now
		p.changing.Unlock()
		return nil, nil
	}
	return p, p.changing.Unlock
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

// replace has the phones of these accounts from now on, and returns those that
// were there before and are gone.
func (r *registrar) replace(accounts map[string]account) (gone []*phones) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[event.Address]*phones{}
	for _, a := range accounts {
		if all[a.aor] = r.phones[a.aor]; all[a.aor] == nil {
			all[a.aor] = &phones{aor: a.aor}
		}
	}
	for aor, p := range r.phones {
		if all[aor] == nil {
			gone = append(gone, p)
		}
	}
	r.phones = all
	return gone
}

// load reads what an earlier run saved. Of connections, and of what has
// expired, the tastes are left; what cannot be read is as good as never saved.
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
		p.restore(saved, time.Now())
	}
	return nil
}

// restore takes what was saved.
func (p *phones) restore(saved []*binding, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range slices.DeleteFunc(saved, func(b *binding) bool { return b == nil }) {
		if i := slices.IndexFunc(p.all, b.sameDevice); i >= 0 { // another flow of it
			b.taste = p.all[i].taste
		} else {
			b.taste = newTaste(b.Accept, b.Refused)
		}
		if b.Path.Network == "udp" && b.Expires.After(now) {
			p.all = append(p.all, b)
		} else {
			p.past = append(p.past, b.remains())
		}
	}
}

// remains is what is left of the binding of a device that is gone: as it never
// registered, it has expired.
func (b *binding) remains() *binding {
	return &binding{hop: hop{Contact: b.Contact}, Instance: b.Instance, Agent: b.Agent, taste: b.taste}
}

// leaves returns what is remembered of devices that are gone when the bindings
// become these: of each once, and of those that have come last.
func (p *phones) leaves(all []*binding) (past []*binding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range slices.Concat(p.past, p.all) {
		known := func(o *binding) bool { return b.sameDevice(o) || b.alike(o) && b.taste.equals(o.taste) }
		if slices.ContainsFunc(all, known) || b.taste.blank() {
			continue
		}
		past = append(slices.DeleteFunc(past, known), b.remains())
	}
	return past[max(0, len(past)-maxBindings):]
}

// tasteOf returns what is known of a device that registers: of itself, however
// long it was gone, or else a copy of what is known of one like it.
func (p *phones) tasteOf(b *binding) *taste {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := slices.Concat(p.past, p.all)
	slices.Reverse(known)
	if i := slices.IndexFunc(known, b.sameDevice); i >= 0 {
		return known[i].taste
	}
	if i := slices.IndexFunc(known, b.alike); i >= 0 {
		return newTaste(known[i].taste.known())
	}
	return newTaste(nil, nil)
}

// keepTastes stores what was learned of an account's phones since they
// registered. If that fails, their next REGISTER does it.
func (e *Edge) keepTastes(ctx context.Context, aor event.Address) {
	ctx, cancel := context.WithTimeout(ctx, putPatience)
	defer cancel()
	p, unlock := e.phones.change(aor)
	if p == nil {
		return
	}
	defer unlock()
	p.mu.Lock()
	all := slices.Concat(p.all, p.past)
	p.mu.Unlock()
	if err := e.phones.save(ctx, aor, all); err != nil {
		e.log.Warn("what a phone has refused is not stored", "aor", aor, "error", err)
	}
}

// save stores the bindings of an account. Whoever calls it holds changing.
func (r *registrar) save(ctx context.Context, aor event.Address, all []*binding) error {
	if r.store == nil {
		return nil
	}
	for _, b := range all {
		b.Accept, b.Refused = b.taste.known()
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

func (p *phones) set(all, past []*binding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all, p.past = all, past
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
