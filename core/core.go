// Package core joins the stages: the SIP edge, the bus, routing, delivery, the
// connectors and the HTTP door become one program, the host. New wires them,
// Run runs them.
//
// A message flows one way: edge or connector, bus, route, bus, deliver,
// connector or edge. Each stage reads one kind of event and writes another;
// only this package knows more than one of them.
package core

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/config"
	"parley.im/core/conversation"
	"parley.im/core/deliver"
	"parley.im/core/fetch"
	"parley.im/core/httpd"
	"parley.im/core/notice"
	"parley.im/core/route"
	"parley.im/core/sipedge"
	"parley.im/core/tracing"
	"parley.im/plugins/sdk"
)

// Options is what a host is made from.
type Options struct {
	Config     *config.Config
	Executable string // the parley program: bundled connectors are started as "EXECUTABLE plugin serve NAME"
	Version    string
	Log        *slog.Logger
}

// Host is the whole bridge.
type Host struct {
	Options
	bus        *bus.Bus
	tracer     *tracing.Tracer
	tokens     conversation.Tokens
	talks      *conversation.Store
	edge       *sipedge.Edge
	door       *httpd.Door
	operator   *httpd.Operator
	current    atomic.Pointer[setup]
	reloading  sync.Mutex
	sockets    string // folder of the connectors' sockets
	processes  *layer // of the connectors
	deliveries *layer
	sip        *deliver.Stage
	draining   atomic.Bool
	returned   atomic.Int64  // messages that went out from here and came back
	books      books         // of the Inbounds
	trimmed    tally         // events removed from the streams
	wired      chan struct{} // closed once messages can be routed
	ready      chan struct{}
	linkKey    []byte // of the links to files
	fetcher    *fetch.Fetcher
	remotes    *remotes
	signals    chan struct{} // a place for each signal that is being passed on
	started    time.Time
}

// setup is what a reload replaces, whole.
type setup struct {
	config     *config.Config
	table      *route.Table
	connectors map[string]*connector
}

// now returns the setup of the moment. It does not change; ask again for the
// next step of something that takes time.
func (h *Host) now() *setup { return h.current.Load() }

// New returns a host; Run starts it.
func New(o Options) *Host {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Host{Options: o, ready: make(chan struct{}), wired: make(chan struct{}), signals: make(chan struct{}, maxSignals), remotes: newRemotes()}
	h.current.Store(&setup{config: o.Config})
	return h
}

// Ready is closed once everything is started.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// Run runs the host until ctx ends, then stops it: it takes nothing more,
// finishes what is under way, stops the connectors and closes the bus. It
// returns nil after an orderly stop.
func (h *Host) Run(ctx context.Context) (err error) {
	h.started = time.Now()
	t := h.Config.Tracing
	if h.tracer, err = tracing.Open(ctx, tracing.Config{OTLP: t.OTLP, Sample: t.Sample, Version: h.Version, Log: h.Log}); err != nil {
		return err
	}
	defer h.tracer.Close(ctx)
	if h.bus, err = openBus(ctx, h.Config, h.Log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.bus.Close()) }()
	k, err := h.openStores(ctx)
	if err != nil {
		return fmt.Errorf("the store in %s: %w", h.place(), err)
	}
	s := newStack()
	defer s.stop()
	if err := h.startConnectors(ctx, s); err != nil {
		return err
	}
	if err := h.wire(k); err != nil {
		return err
	}
	if err := h.start(ctx, s); err != nil {
		return err
	}
	close(h.ready)
	h.Log.Info("ready", "after", time.Since(h.started).Round(time.Millisecond))
	select {
	case <-ctx.Done():
		h.Log.Info("stopping")
		h.draining.Store(true)
		return nil
	case err := <-s.failed:
		h.draining.Store(true)
		return err
	}
}

func openBus(ctx context.Context, c *config.Config, log *slog.Logger) (*bus.Bus, error) {
	return bus.Open(ctx, bus.Config{
		Dir: c.Bus.Data, Durability: bus.Durability(c.Bus.Durability), URL: c.Bus.URL,
		Credentials: c.Bus.Credentials, TrustSync: c.Bus.TrustSync, Replicas: c.Bus.Replicas,
		Reserve: c.Bus.Reserve, IDs: c.Bus.Retention.IDs, StreamBytes: c.Bus.Retention.Size, Log: log,
		Listen: c.Bus.Listen, TLS: bus.TLS(c.Bus.TLS), Subscribers: c.Bus.Readers(),
	})
}

// kept is what the store holds for the stages. The keys are secrets made at
// the first start, shared by all hosts of one store.
type kept struct {
	lane, nonce []byte
	bindings    bindingBucket
}

func (h *Host) openStores(ctx context.Context) (k kept, err error) {
	b, err := h.bus.Bucket(ctx, "keys")
	if err != nil {
		return k, err
	}
	if k.lane, err = secret(ctx, b, "lane"); err != nil {
		return k, err
	}
	if k.nonce, err = secret(ctx, b, "nonce"); err != nil {
		return k, err
	}
	h.fetcher = h.newFetcher()
	if h.linkKey, err = secret(ctx, b, "links"); err != nil {
		return k, err
	}
	talks, err := h.bus.Bucket(ctx, "conversations")
	if err != nil {
		return k, err
	}
	if k.bindings.b, err = h.bus.Bucket(ctx, "bindings"); err != nil {
		return k, err
	}
	h.tokens = conversation.NewTokens(k.lane)
	h.talks = conversation.NewStore(talkBucket{talks})
	return k, nil
}

// secret returns the key stored under name, made if there is none.
func secret(ctx context.Context, b *bus.Bucket, name string) ([]byte, error) {
	for {
		e, err := b.Get(ctx, name)
		if err == nil {
			return e.Value, nil
		}
		if !errors.Is(err, bus.ErrNotFound) {
			return nil, fmt.Errorf("read the %s key: %w", name, err)
		}
		fresh := make([]byte, 32)
		if _, err := rand.Read(fresh); err != nil {
			return nil, err
		}
		if _, err := b.Put(ctx, name, fresh, 0); err != nil && !errors.Is(err, bus.ErrConflict) {
			return nil, fmt.Errorf("store the %s key: %w", name, err)
		}
	}
}

// wire makes the stages that need to know the connectors' schemes.
func (h *Host) wire(k kept) error {
	table, problems := newTable(h.Config, h.descriptions())
	if len(problems) > 0 {
		return problems
	}
	h.current.Store(&setup{config: h.Config, table: table, connectors: h.now().connectors})
	h.warn(h.Config)
	conf := edgeConfig(h.Config, k, h.Log)
	conf.RefuseFiles = func() []string { return h.now().config.Files.Refuse }
	edge, err := sipedge.New(conf, edgeHost{h})
	if err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	h.edge = edge
	h.sip = h.newStage(event.BuiltinSIP, edgeSink{h}, sipAbilities)
	close(h.wired)
	return h.wireDoor()
}

// start puts the layers on one another: what takes messages in comes last and
// stops first; what delivers stops before what it delivers to.
func (h *Host) start(ctx context.Context, s *stack) error {
	if err := h.sip.Open(ctx); err != nil {
		return err
	}
	s.start(ctx, "retention", h.retain, h.learnRemotes)
	s.start(ctx, "sip", h.edge.Run)
	h.deliveries = s.start(ctx, "deliver", h.sip.Run)
	for _, c := range h.now().connectors {
		c.stopStage = h.deliveries.add(c.stage.Run)
	}
	n := &notice.Stage{Bus: h.bus, Wants: h.wants, Phones: isSIP, Lane: h.noticeLane, Log: h.Log}
	s.start(ctx, "route", h.route, n.Run)
	if err := h.door.Listen(); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	s.start(ctx, "http", h.door.Run, h.operator.Run)
	select {
	case <-h.edge.Ready():
		return nil
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (h *Host) newStage(name string, sink deliver.Sink, able func() deliver.Abilities) *deliver.Stage {
	return deliver.New(deliver.Config{
		Connector: name, Bus: h.bus, Sink: sink, Abilities: able, Anchors: h.talks, Links: h.linkBase, Fetch: h.fetch, Log: h.Log,
		Native: func(ctx context.Context, message string, target event.Address) ([]string, error) {
			return h.native(ctx, name, message, target)
		},
		Settled: h.remotes.add, Degrade: h.degrade,
		Token: func(target event.Address) string { return h.tokens.Target(name, target) },
		Trace: func(o event.Outbound) func(error) {
			span, _ := h.tracer.Start(o.Traceparent, tracing.Send, name, "messaging.message.id", o.ID, "parley.inbound", o.Inbound)
			return span.End
		},
		Policy: deliver.Policy{Expiry: time.Duration(h.Config.Bus.Retention.Expiry)},
	})
}

// isSIP tells whether an origin is the edge, whose phones show texts only.
func isSIP(name string) bool { return name == event.BuiltinSIP }

// wants tells whether a connector instance tells its users of a state. A phone
// is told of failures.
func (h *Host) wants(name string, s event.State) bool {
	if isSIP(name) {
		return s == event.Failed
	}
	c := h.now().connectors[name]
	if c == nil {
		return false
	}
	d := c.describe()
	return slices.Contains(d.Kinds, event.KindStatus) && (len(d.States) == 0 || slices.Contains(d.States, s))
}

func (h *Host) noticeLane(conversation string, sender event.Address) string {
	return h.tokens.Lane("notice", conversation, sender)
}

// descriptions returns what is known of each connector.
func (h *Host) descriptions() map[string]sdk.Description {
	all := map[string]sdk.Description{}
	for name, c := range h.now().connectors {
		all[name] = c.describe()
	}
	return all
}

// Summary says where everything is, for people.
type Summary struct {
	SIP        []string // listeners, such as "udp:127.0.0.1:5060"
	HTTP       string   // address of the door
	Connectors []string
	Accounts   []string // AORs
	Data       string   // store folder, or the URL of the bus
}

// place is where the store is: a folder, or the URL of the bus.
func (h *Host) place() string { return cmp.Or(h.Config.Bus.URL, h.Config.Bus.Data) }

// Summary returns where everything is; call it after Ready.
func (h *Host) Summary() Summary {
	s := Summary{SIP: h.edge.Addrs(), HTTP: h.door.Addr(), Data: h.place()}
	for name := range h.now().connectors {
		s.Connectors = append(s.Connectors, name)
	}
	for _, a := range h.Config.SIP.Accounts {
		s.Accounts = append(s.Accounts, "sip:"+a.User+"@"+h.Config.SIP.Domains[0])
	}
	return s
}
