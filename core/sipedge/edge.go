// Package sipedge is where SIP enters and leaves Parley: a registrar for
// softphones and a store-and-forward MESSAGE server (RFC 3428) over UDP and
// TCP. It answers 202 only after the host has stored the message, and sends
// what the host delivers over the flow on which a phone registered.
//
// It is the only package that knows the SIP library; that library parses, runs
// transactions and owns the sockets, and what it leaves open is covered here:
// validation, authentication, replays, escaping, overload and dead flows.
//
// Requests are handled each in a goroutine of its own, so two MESSAGEs that one
// sender has under way at once may be stored in either order. A sender that
// keeps to RFC 3428, section 8, has only one: then the order is that of sending.
package sipedge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/tune"
)

// Limits of the edge.
const (
	MaxBody      = 64 << 10         // largest body in bytes, in and out
	maxAtWork    = 1024             // requests in work; more are answered 503
	putPatience  = 2 * time.Second  // for the host to store a message
	drain        = 2 * time.Second  // for requests in work when stopping
	answerWait   = 32 * time.Second // for a phone's final response: timer F
	retryAfter   = "5"              // seconds, with 503
	idleFlow     = 70 * time.Minute // longer than the longest registration
	stuckFlow    = 10 * time.Second // for a peer to read what we write
	maxTCP       = 8192             // TCP connections at once
	serverString = "Parley"
)

// Errors that a Host's Check returns or wraps; the text after them is told to
// the sender.
var (
	ErrNoRoute   = errors.New("no such recipient") // answered 404
	ErrForbidden = errors.New("not allowed")       // answered 403
)

// ErrNotRegistered is why Deliver waits: the phone is off.
var ErrNotRegistered = errors.New("no phone is registered for this address")

// Account is somebody who may register and send.
type Account struct{ User, Password string }

// Listener is a socket to open. Network is "udp" or "tcp"; port 0 takes a free
// one.
type Listener struct{ Network, Address string }

// Config is what an Edge is made from.
type Config struct {
	Domains  []string // names of one domain; addresses are stored under the first, ports are ignored
	Realm    string   // of the digest; the first domain if empty
	Digest   []string // algorithms offered, in this order: "SHA-256", "MD5"; both if empty
	Listen   []Listener
	Accounts []Account
	NonceKey []byte   // HMAC key of digest nonces, shared by all hosts of one store; random if empty
	Bindings Bindings // keeps registrations over a restart; nil keeps them in memory only
	Log      *slog.Logger
}

// Host is what the edge asks of the rest. Its methods are called from several
// goroutines.
type Host interface {
	// Put stores a message. It returns nil once the message is stored, also if
	// it was stored before; after any error the sender is told to try again.
	Put(ctx context.Context, in event.Inbound) error
	// Stored tells whether the message of this id is stored already.
	Stored(id string) bool
	// Check returns nil if a route takes a message, else ErrNoRoute or
	// ErrForbidden.
	Check(ctx context.Context, from, to event.Address) error
	// Told tells what a phone of this address says became of a message that was
	// delivered to it.
	Told(ctx context.Context, from event.Address, r event.Report) error
	// Registered tells that a phone of this address can be reached now.
	Registered(aor event.Address)
}

// Edge is the SIP side of the bridge.
type Edge struct {
	host     Host
	log      *slog.Logger
	domains  domains
	guard    *guard
	phones   *registrar
	listen   []Listener
	patience time.Duration // answerWait, shorter in tests

	maxSources int // fewer in tests

	flows   *flows
	working chan struct{} // one token per request in work
	inWork  sharing
	ready   chan struct{}

	mu     sync.Mutex
	ua     *sipgo.UserAgent
	udp    []net.PacketConn
	addrs  []string
	life   context.Context // of deliveries under way; ends with Run
	afloat sync.WaitGroup  // attempts that outlive their Deliver
}

// New checks c and returns an Edge; Run starts it.
func New(c Config, h Host) (*Edge, error) {
	tune.Library()
	d, err := newDomains(c.Domains)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	e := &Edge{
		host: h, log: c.Log.With("connector", event.BuiltinSIP), domains: d, listen: c.Listen, patience: answerWait, maxSources: maxSources,
		working: make(chan struct{}, maxAtWork), ready: make(chan struct{}),
		flows: &flows{live: map[*flow]struct{}{}}, inWork: sharing{all: map[string]*share{}},
	}
	if e.guard, err = newGuard(c, d); err != nil {
		return nil, err
	}
	e.phones = newRegistrar(*e.guard.accounts.Load(), c.Bindings)
	for _, l := range c.Listen {
		if l.Network != "udp" && l.Network != "tcp" {
			return nil, fmt.Errorf("listen on %q: the network is udp or tcp", l.Network)
		}
		if _, _, err := net.SplitHostPort(l.Address); err != nil {
			return nil, fmt.Errorf("listen on %q: %w", l.Address, err)
		}
	}
	return e, nil
}

func newGuard(c Config, d domains) (*guard, error) {
	g := &guard{realm: c.Realm, algorithms: c.Digest, domains: d}
	if len(g.algorithms) == 0 {
		g.algorithms = []string{algSHA256, algMD5} // the stronger first: RFC 8760, section 2
	}
	for _, a := range g.algorithms {
		if a != algSHA256 && a != algMD5 {
			return nil, fmt.Errorf("digest algorithm %q: it is %s or %s", a, algSHA256, algMD5)
		}
	}
	if g.realm == "" {
		g.realm = c.Domains[0]
	}
	if plain(g.realm, len(g.realm)) != g.realm {
		return nil, fmt.Errorf("realm %q has a control character", g.realm)
	}
	accounts, err := g.hashed(c.Accounts)
	if err != nil {
		return nil, err
	}
	g.accounts.Store(&accounts)
	key := c.NonceKey
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key)
	}
	g.nonces = newNonces(key)
	return g, nil
}

// hashed returns accounts by their users.
func (g *guard) hashed(list []Account) (map[string]account, error) {
	all, taken := map[string]account{}, map[event.Address]bool{}
	for _, a := range list {
		aor, err := g.domains.aor("sip:" + a.User + "@" + g.domains.first)
		if err != nil {
			return nil, fmt.Errorf("account %q: %w", a.User, err)
		}
		if taken[aor] {
			return nil, fmt.Errorf("account %q: there are two of %s", a.User, aor)
		}
		taken[aor] = true
		all[a.User] = newAccount(aor, a.User, g.realm, a.Password)
	}
	return all, nil
}

// SetAccounts replaces the accounts. Those that stay keep their registrations;
// a new password is asked for from the next request on. The registrations of
// those that go are forgotten, and what waits for them fails. An error changes
// nothing.
func (e *Edge) SetAccounts(ctx context.Context, list []Account) error {
	accounts, err := e.guard.hashed(list)
	if err != nil {
		return err
	}
	e.guard.accounts.Store(&accounts)
	for _, gone := range e.phones.replace(accounts) {
		if err := e.phones.save(ctx, gone, nil); err != nil {
			e.log.Warn("the registration of an account that is gone stays in the store", "aor", gone, "error", err)
		}
		e.host.Registered(gone) // so that what waits for it is tried, and fails
	}
	return nil
}

// Ready is closed when all listeners accept.
func (e *Edge) Ready() <-chan struct{} { return e.ready }

// Addrs returns what is listened on, such as "udp:127.0.0.1:5060". It is empty
// before Ready.
func (e *Edge) Addrs() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.addrs...)
}

// Description is what the edge can do as a destination.
type Description struct {
	Schemes     []string
	Kinds       []event.Kind
	Types       []string
	MaxBytes    int
	Outstanding int // deliveries at once towards one address (RFC 3428, section 8)
}

// Describe says what Deliver takes. It does no I/O.
func (e *Edge) Describe() Description {
	return Description{
		Schemes: []string{"sip"}, Kinds: []event.Kind{event.KindMessage},
		Types: []string{"text/plain", "*/*"}, MaxBytes: MaxBody, Outstanding: 1,
	}
}

// newUA builds the library's layers: they may not dial, since the edge only
// ever answers on flows that phones have opened.
func newUA() (*sipgo.UserAgent, *sipgo.Server, error) {
	tcp := &sip.TransportTCP{ReadTimeout: idleFlow, WriteTimeout: stuckFlow, DialerCreate: noDialer}
	parser := sip.NewParser(sip.WithHeadersParsers(lenientParsers()))
	parser.MaxMessageLength = tune.MaxMessage
	ua, err := sipgo.NewUA(
		sipgo.WithUserAgent(serverString),
		sipgo.WithUserAgentParser(parser),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerTerminateOnConnClose()),
		sipgo.WithUserAgentTransportLayerOptions(
			sip.WithTransportLayerReadFilter(dropJunk),
			sip.WithTransportLayerTransports(sip.TransportsConfig{TCP: tcp}),
		),
	)
	if err != nil {
		return nil, nil, err
	}
	srv, err := sipgo.NewServer(ua)
	return ua, srv, err
}
