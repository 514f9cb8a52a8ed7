package sipedge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Limits bound what strangers may cost. A field that is 0 has its default. A
// source is one IPv4 address or one IPv6 /64.
type Limits struct {
	Connections int           // at once, in all; default 8192
	PerSource   int           // connections at once from one source; default 1024
	Handshake   time.Duration // for TLS and WebSocket to be ready; default 10 s
	Header      time.Duration // for the first message to begin, for a header to end, and again for its body; default 30 s
	Idle        time.Duration // between two messages or keep-alives; default 70 min, longer than the longest registration
	Write       time.Duration // for a peer to take what we write; default 10 s

	Body         int // bytes of a request's body; default and at most MaxBody
	Headers      int // header fields of a request; default 256
	Transactions int // UDP requests whose answers are kept for repetitions, each 32 to 40 s and about 1.5 kB; default 131072
	Sources      int // UDP addresses remembered at once; default 16384

	Requests        int           // a second from one source; default 200
	AccountRequests int           // a second of one account; default 100
	Guesses         int           // wrong passwords a minute for one account from one source; default 10
	Ban             time.Duration // of a source that goes on guessing or sends what is no SIP; default 10 min, negative: none

	// Exempt are sources that the last four don't hold for; nor do they hold
	// for trunks.
	Exempt []netip.Prefix
}

func (l Limits) withDefaults() Limits {
	put(&l.Connections, 8192)
	put(&l.PerSource, 1024)
	put(&l.Handshake, 10*time.Second)
	put(&l.Header, 30*time.Second)
	put(&l.Idle, 70*time.Minute)
	put(&l.Write, 10*time.Second)
	put(&l.Body, MaxBody)
	put(&l.Headers, 256)
	put(&l.Transactions, 1<<17)
	put(&l.Sources, 1<<14)
	put(&l.Requests, 200)
	put(&l.AccountRequests, 100)
	put(&l.Guesses, 10)
	if l.Ban == 0 {
		l.Ban = 10 * time.Minute
	}
	return l
}

func put[T int | time.Duration](p *T, normal T) {
	if *p <= 0 {
		*p = normal
	}
}

// SetLimits replaces the limits: those of requests from the next one on, those
// of a connection's times from its next message on. Connections that are there
// stay. An error changes nothing.
func (e *Edge) SetLimits(l Limits) error { return e.warden.set(l) }

func (w *warden) set(l Limits) error {
	if l.Body > MaxBody {
		return fmt.Errorf("a body of %d bytes; at most %d go", l.Body, MaxBody)
	}
	if slices.ContainsFunc(l.Exempt, func(p netip.Prefix) bool { return !p.IsValid() }) {
		return errors.New("an exempt source is no address")
	}
	l = l.withDefaults()
	l.Exempt = slices.Clone(l.Exempt)
	w.limited.Store(&l)
	return nil
}

// Stats counts connections, transactions and what was refused since the start.
type Stats struct {
	Open         int // connections now, those in a handshake too
	Transactions int // UDP transactions now
	Banned       int // sources now

	// What was refused at the sockets, before any request was seen.
	TooMany    uint64 // connections closed at once, for there are too many
	Handshakes uint64 // TLS or WebSocket handshakes that failed or took too long
	Slow       uint64 // connections closed in the middle of a message that does not end
	Idle       uint64 // connections closed since nothing came
	Stuck      uint64 // connections closed since their peer does not read
	Malformed  uint64 // messages that can't be read: no sound end, too large, no SIP
	Shunned    uint64 // datagrams and connections of banned sources

	// What was refused before it was looked at further.
	Overload  uint64 // requests beyond what can be in work or be remembered
	Source    uint64 // requests beyond the rate of a source
	Account   uint64 // requests beyond the rate of an account
	Guesses   uint64 // wrong passwords
	Throttled uint64 // passwords not looked at, after too many wrong ones
	Broken    uint64 // requests that broke their handler
}

// counters are the numbers of Stats that only grow.
type counters struct {
	tooMany, handshakes, slow, idle, stuck, malformed, shunned atomic.Uint64
	overload, source, account, guesses, throttled, broken      atomic.Uint64
}

// Stats returns the counts of this moment. It may be called at any time.
func (e *Edge) Stats() Stats {
	c := &e.warden.count
	return Stats{
		Open: e.flows.open(), Transactions: e.transactions(), Banned: e.warden.bans.size(e.warden.now()),
		TooMany: c.tooMany.Load(), Handshakes: c.handshakes.Load(), Slow: c.slow.Load(), Idle: c.idle.Load(),
		Stuck: c.stuck.Load(), Malformed: c.malformed.Load(), Shunned: c.shunned.Load(),
		Overload: c.overload.Load(), Source: c.source.Load(), Account: c.account.Load(),
		Guesses: c.guesses.Load(), Throttled: c.throttled.Load(), Broken: c.broken.Load(),
	}
}
