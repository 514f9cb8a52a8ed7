package sipedge

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// Rates derived from Limits.Guesses. Many people may sit behind one address,
// and anybody may guess at an account: neither must lock its people out.
const (
	guessesOfSource  = 6  // times as many for all accounts together; more are a reason for a ban
	guessesOfAccount = 10 // times as many from all sources together; more are not looked at, but from where its phones are
)

// maxMalformed is how many unreadable messages a minute a connected source
// may send before it is banned.
const maxMalformed = 30

// warden knows what each source and account has had, and turns away those that
// want too much.
type warden struct {
	limited atomic.Pointer[Limits]
	trusted func(netip.Addr) bool   // the address of a trunk
	home    func(netip.Prefix) bool // where somebody's phone is registered
	evict   func(netip.Prefix)      // closes the connections of a source
	now     func() time.Time
	lines   sampler
	count   counters
	kept    atomic.Int64 // UDP transactions

	sources   pacer[netip.Prefix]
	accounts  pacer[event.Address]
	guesses   pacer[guess]
	guessers  pacer[netip.Prefix]
	guessed   pacer[string]
	malformed pacer[netip.Prefix]
	bans      bans
}

// guess is a try at somebody's password, whether there is such a user or not:
// the answers must not tell. All sources that may be inventions count as one,
// the zero Prefix.
type guess struct {
	source netip.Prefix
	user   string
}

func newWarden(log *slog.Logger, trusted func(netip.Addr) bool) *warden {
	return &warden{trusted: trusted, home: func(netip.Prefix) bool { return false }, now: time.Now, lines: sampler{log: log, now: time.Now}, evict: func(netip.Prefix) {}}
}

func (w *warden) limits() *Limits { return w.limited.Load() }

// addressOf returns the address of a host:port, the zero Addr if it has none.
func addressOf(hostport string) netip.Addr {
	at, _ := netip.ParseAddrPort(hostport)
	return at.Addr().Unmap().WithZone("")
}

// sourceOf returns what counts as one source: an IPv4 address, an IPv6 /64.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// exempt tells whether an address is one that need not be counted.
func (w *warden) exempt(a netip.Addr) bool {
	return w.trusted(a) || slices.ContainsFunc(w.limits().Exempt, func(p netip.Prefix) bool { return p.Contains(a) })
}

// request refuses a request from an address if its source has sent too many.
func (w *warden) request(from netip.Addr) answer {
	if w.exempt(from) {
		return answer{}
	}
	wait := w.sources.take(sourceOf(from), rate{w.limits().Requests, time.Second}, w.now())
	if wait == 0 {
		return answer{}
	}
	w.count.source.Add(1)
	w.lines.warn("too many requests from one source", "source", from)
	return later("Too many requests", wait)
}

// of refuses an account's request if it has sent too many.
func (w *warden) of(aor event.Address, from netip.Addr) answer {
	if w.exempt(from) {
		return answer{}
	}
	wait := w.accounts.take(aor, rate{w.limits().AccountRequests, time.Second}, w.now())
	if wait == 0 {
		return answer{}
	}
	w.count.account.Add(1)
	w.lines.warn("too many requests of one account", "account", aor, "source", from)
	return later("Too many requests", wait)
}

// closed refuses to look at a guess after too many wrong ones. atHome means
// that the account has a phone at this source: what others guess, there or
// elsewhere, is nothing to it.
func (w *warden) closed(g guess, atHome bool) answer {
	now := w.now()
	wait := w.guesses.spent(g, w.perMinute(1), now)
	if !atHome {
		wait = max(wait, w.guessers.spent(g.source, w.perMinute(guessesOfSource), now), w.guessed.spent(g.user, w.perMinute(guessesOfAccount), now))
	}
	if wait == 0 {
		return answer{}
	}
	w.count.throttled.Add(1)
	w.suspect(g.source)
	return later("Too many wrong passwords", wait)
}

func (w *warden) perMinute(times int) rate { return rate{times * w.limits().Guesses, time.Minute} }

// wrong notes a wrong password.
func (w *warden) wrong(g guess, from netip.Addr) {
	w.count.guesses.Add(1)
	w.lines.warn("wrong password", "user", g.user, "source", from)
	if w.exempt(from) {
		return
	}
	now := w.now()
	w.guesses.take(g, w.perMinute(1), now)
	w.guessed.take(g.user, w.perMinute(guessesOfAccount), now)
	w.suspect(g.source)
}

// suspect notes that a source guesses. One that goes on is banned.
func (w *warden) suspect(source netip.Prefix) {
	now, most := w.now(), w.perMinute(guessesOfSource)
	last := w.guessers.take(source, most, now) == 0 && w.guessers.spent(source, most, now) > 0
	if last && source.IsValid() {
		w.ban(source, "wrong passwords")
	}
}

// nonsense notes something unreadable that came over a connection.
func (w *warden) nonsense(from netip.Addr) {
	source := sourceOf(from)
	if !w.exempt(from) && w.malformed.take(source, rate{maxMalformed, time.Minute}, w.now()) > 0 {
		w.ban(source, "what it sends is no SIP")
	}
}

// ban shuts a source out for a while; not one where phones are registered, for
// one that is set up wrong would shut out all in the house.
func (w *warden) ban(source netip.Prefix, why string) {
	l := w.limits()
	if l.Ban < 0 || w.home(source) || !w.bans.add(source, w.now().Add(l.Ban), w.now()) {
		return
	}
	w.lines.warn("banned", "source", source, "why", why, "for", l.Ban)
	w.evict(source)
}

// shuns tells whether an address is of a banned source.
func (w *warden) shuns(from netip.Addr) bool {
	if !w.bans.has(sourceOf(from), w.now()) {
		return false
	}
	w.count.shunned.Add(1)
	return true
}

// keep counts a transaction for as long as the library keeps it: over UDP long
// after its answer.
func (w *warden) keep(req *sip.Request, tx sip.ServerTransaction) {
	if sip.IsReliable(req.Transport()) {
		return
	}
	w.kept.Add(1)
	if !tx.OnTerminate(func(string, error) { w.kept.Add(-1) }) {
		w.kept.Add(-1)
	}
}

// survive keeps a mistake of ours in the face of something from outside from
// ending the process. It is deferred; after does what is left to do.
func (w *warden) survive(what string, after func()) {
	if p := recover(); p != nil {
		w.count.broken.Add(1)
		w.lines.line(slog.LevelError, what+" broke its handler; please report it", "panic", p, "stack", string(debug.Stack()))
		after()
	}
}

// later asks to try again after a while.
func later(phrase string, wait time.Duration) answer {
	return say(503, phrase, field{"Retry-After", fmt.Sprint(max(1, int(math.Ceil(wait.Seconds()))))})
}
