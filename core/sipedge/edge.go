// Package sipedge is where SIP enters and leaves Parley: a registrar for
// softphones and a store-and-forward MESSAGE server (RFC 3428) over UDP, TCP,
// TLS and WebSocket. It answers 202 only after the host has stored the message, and sends
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
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/tune"
	"parley.im/core/sipedge/resolve"
)

// Limits of the edge.
const (
	MaxBody      = 64 << 10         // largest body in bytes, in and out
	maxAtWork    = 1024             // requests in work; more are answered 503
	putPatience  = 2 * time.Second  // for the host to store a message
	drain        = 2 * time.Second  // for requests in work when stopping
	answerWait   = 32 * time.Second // for a phone's final response: timer F
	retryAfter   = "5"              // seconds, with 503
	serverString = "Parley"
)

// Errors that a Host's Check returns or wraps; the text after them is told to
// the sender.
var (
	ErrNoRoute   = errors.New("no such recipient") // answered 404
	ErrForbidden = errors.New("not allowed")       // answered 403
)

// TypeError is a Host's answer to a message whose type nobody takes where it
// goes. It is answered 415.
type TypeError struct {
	Accept []string // media types, "text/*" and such, too
}

func (t *TypeError) Error() string {
	return "only " + strings.Join(t.Accept, ", ") + " is taken there"
}

// ErrNotRegistered is why Deliver waits: the phone is off.
var ErrNotRegistered = errors.New("no phone is registered for this address")

// Account is somebody who may register and send. Instead of a password it may
// have hashes of user:realm:password, in hex (RFC 7616, section 3.4.2); with
// an algorithm whose hash is missing it can't log in.
type Account struct {
	User, Password string
	SHA256, MD5    string
}

// Listener is a socket to open. Network is "udp", "tcp", "tls", "ws" or "wss";
// the address is host:port, such as "[::1]:5060"; port 0 takes a free one.
type Listener struct{ Network, Address string }

// Config is what an Edge is made from.
type Config struct {
	Domains       []string // names of one domain; addresses are stored under the first, ports are ignored
	Realm         string   // of the digest; the first domain if empty
	Digest        []string // algorithms offered, in this order: "SHA-256", "MD5"; both if empty
	Listen        []Listener
	TLS           TLS      // needed by tls and wss
	Origins       []string // patterns of the hosts whose pages may use ws and wss, such as "*.example.com"; the listener's own host always may
	Limits        Limits
	Accounts      []Account
	Trunks        []Trunk
	Registrations []Registration
	Aliases       map[string]string // see SetAliases
	NonceKey      []byte            // HMAC key of digest nonces, shared by all hosts of one store; random if empty
	DNS           []string          // servers asked about trunks, "host:port"; those of the system if empty
	Safe          []netip.Prefix    // see SetSafePaths
	Bindings      Bindings          // keeps registrations over a restart; nil keeps them in memory only
	RefuseFiles   func() []string   // endings of names and MIME types of files that are not passed on; nil: all are
	Log           *slog.Logger
}

// Host is what the edge asks of the rest. Its methods are called from several
// goroutines.
type Host interface {
	// Put stores a message. It returns nil once the message is stored, also if
	// it was stored before; after any error the sender is told to try again.
	Put(ctx context.Context, in event.Inbound) error
	// Stored tells whether the message of this id is stored already.
	Stored(id string) bool
	// Check returns nil if a route takes a message, else ErrNoRoute,
	// ErrForbidden or a *TypeError.
	Check(ctx context.Context, in event.Inbound) error
	// Told tells what a phone of this address says became of a message that was
	// delivered to it.
	Told(ctx context.Context, from event.Address, r event.Report) error
	// Body returns content with its body in Data.
	Body(ctx context.Context, c event.Content) (event.Content, error)
	// Composing tells that somebody is composing, or has stopped.
	Composing(ctx context.Context, t event.Typing) error
	// Registered tells that a phone of this address can be reached now.
	Registered(aor event.Address)
}

// Edge is the SIP side of the bridge.
type Edge struct {
	host    Host
	log     *slog.Logger
	domains domains
	guard   *guard
	phones  *registrar
	trunks  atomic.Pointer[[]*trunk]
	changed chan struct{} // the trunks are others
	safe    atomic.Pointer[[]netip.Prefix]
	aliases atomic.Pointer[aliases]

	registrations atomic.Pointer[[]*registration]
	resolver      *resolve.Resolver
	listen        []Listener
	patience      time.Duration // answerWait, shorter in tests

	flows   *flows
	dialled *dialled
	warden  *warden
	door    door
	working chan struct{} // one token per request in work
	inWork  sharing
	turns   turns

	refuseFiles func() []string
	parts       progress
	repeats     repeats
	ready       chan struct{}

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
		host: h, log: c.Log.With("connector", event.BuiltinSIP), domains: d, listen: c.Listen, patience: answerWait,
		working: make(chan struct{}, maxAtWork), ready: make(chan struct{}), changed: make(chan struct{}, 1),
		resolver: resolve.New(c.DNS...),
		inWork:   sharing{all: map[string]*share{}}, turns: turns{all: map[event.Address]*turn{}}, refuseFiles: c.RefuseFiles,
	}
	e.warden = newWarden(e.log, func(a netip.Addr) bool { return e.trunk(a) != nil })
	if err := e.SetLimits(c.Limits); err != nil {
		return nil, err
	}
	e.flows = newFlows(e.warden)
	e.dialled = newDialled(e.flows)
	e.SetSafePaths(c.Safe)
	if e.guard, err = newGuard(c, d); err != nil {
		return nil, err
	}
	e.registrations.Store(&[]*registration{})
	e.aliases.Store(&aliases{})
	if err := e.SetTrunks(c.Trunks); err != nil {
		return nil, err
	}
	if err := e.SetRegistrations(c.Registrations); err != nil {
		return nil, err
	}
	if err := e.SetAliases(c.Aliases); err != nil {
		return nil, err
	}
	e.warden.home = func(source netip.Prefix) bool { return e.phones.liveAt(source) }
	e.phones = newRegistrar(*e.guard.accounts.Load(), c.Bindings)
	if err := e.SetOrigins(c.Origins); err != nil {
		return nil, err
	}
	for _, l := range c.Listen {
		switch l.Network {
		case "udp", "tcp", "ws":
		case "tls", "wss":
			if err := e.SetTLS(c.TLS); err != nil {
				return nil, fmt.Errorf("listen on %s %s: %w", l.Network, l.Address, err)
			}
		default:
			return nil, fmt.Errorf("listen on %q: the network is udp, tcp, tls, ws or wss", l.Network)
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
		all[a.User] = newAccount(aor, a, g.realm)
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
		gone.changing.Lock() // what is being saved of it is taken away, too
		err := e.phones.save(ctx, gone.aor, nil)
		gone.changing.Unlock()
		if err != nil {
			e.log.Warn("the registration of an account that is gone stays in the store", "aor", gone.aor, "error", err)
		}
		e.host.Registered(gone.aor) // so that what waits for it is tried, and fails
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

// newUA builds the library's layers. All connections are TCP to them, whatever
// is spoken below, and they may neither dial nor look names up, since the edge
// only ever answers on flows that phones have opened.
func newUA() (*sipgo.UserAgent, *sipgo.Server, error) {
	tcp := &sip.TransportTCP{DialerCreate: noDialer}
	parser := sip.NewParser(sip.WithHeadersParsers(lenientParsers()))
	parser.MaxMessageLength = tune.MaxMessage
	ua, err := sipgo.NewUA(
		sipgo.WithUserAgent(serverString),
		sipgo.WithUserAgentParser(parser),
		sipgo.WithUserAgentDNSResolver(noResolver()),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerTerminateOnConnClose()),
		sipgo.WithUserAgentTransportLayerOptions(
			sip.WithTransportLayerTransports(sip.TransportsConfig{TCP: tcp}),
		),
	)
	if err != nil {
		return nil, nil, err
	}
	srv, err := sipgo.NewServer(ua)
	return ua, srv, err
}
