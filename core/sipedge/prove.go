package sipedge

import (
	"net/netip"
	"slices"
	"time"

	"github.com/icholy/digest"
)

// maxCredentials is how many credentials for our realm of one request are
// looked at: a client needs one.
const maxCredentials = 2

// prove returns the account that a request's credentials prove. Without any the
// claim is empty and so is the answer; those that are wrong are answered.
func (e *Edge) prove(r request) (claim, answer) {
	all := e.guard.credentials(r.values("Authorization", "Proxy-Authorization"))
	if len(all) > maxCredentials {
		return claim{}, say(400, "Too many credentials")
	}
	for _, c := range all {
		if a := e.closed(r, c); a.code != 0 {
			return claim{}, a
		}
		if proven, ok := e.guard.right(c, string(r.Method), r.Recipient.String()); ok {
			return proven, e.warden.of(proven.aor, r.from)
		}
	}
	if all == nil {
		return claim{}, answer{}
	}
	e.warden.wrong(e.guessOf(r, all[0]), r.from)
	return claim{}, e.challenge(r, false)
}

// closed refuses to look at credentials after too many wrong ones. Who may not
// be where it says is asked to show it first.
func (e *Edge) closed(r request, c *digest.Credentials) answer {
	if e.warden.exempt(r.from) {
		return answer{}
	}
	g := e.guessOf(r, c)
	a := e.warden.closed(g, e.phones.of(e.guard.aor(c)).livesAt(g.source))
	if a.code != 0 && !g.source.IsValid() {
		return e.challenge(r, true)
	}
	return a
}

// guessOf says whose guess credentials are. The source of a datagram may be
// invented, unless it comes with a nonce that was sent there.
func (e *Edge) guessOf(r request, c *digest.Credentials) guess {
	g := guess{user: plain(c.Username, maxName)}
	if r.path.flow != nil || e.guard.nonces.returned(c.Nonce, r.from) {
		g.source = sourceOf(r.from)
	}
	return g
}

// challenge asks for credentials, or for new ones.
func (e *Edge) challenge(r request, stale bool) answer {
	a := say(401, "Unauthorized")
	for _, c := range e.guard.challenge(r.from, stale) {
		a.headers = append(a.headers, field{"WWW-Authenticate", c})
	}
	return a
}

// livesAt tells whether a registered phone of the account is at a source.
func (p *phones) livesAt(source netip.Prefix) bool {
	if p == nil { // there is no such account
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return slices.ContainsFunc(p.all, func(b *binding) bool {
		return b.Expires.After(now) && sourceOf(addressOf(b.Path.Source)) == source
	})
}

// liveAt tells whether anybody's registered phone is at a source.
func (r *registrar) liveAt(source netip.Prefix) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.phones {
		if p.livesAt(source) {
			return true
		}
	}
	return false
}

// spend uses up a proof. A repetition, or one with a nonce that is old, proves
// nothing; it is challenged anew.
func (g *guard) spend(c claim) bool { return g.nonces.spend(c.nonce, c.count) }
