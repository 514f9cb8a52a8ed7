package plughost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
)

// Backend is what a connector may ask of the host.
type Backend = client.Backend

// ErrDown says that the connector's process is not up; nothing was sent.
var ErrDown = errors.New("the connector is not running")

// Config says how to run one connector instance.
type Config struct {
	Name      string                                 // of the instance, as in bridge.toml
	Command   []string                               // executable and its arguments
	Dir       string                                 // folder it runs in, where relative paths in its settings begin; empty: the host's
	SHA256    string                                 // of the executable, hex; empty means not pinned
	Settings  json.RawMessage                        // its table in bridge.toml; nil means empty
	Places    func(schemes []string) []event.Address // those that routes name; nil means none
	SocketDir string                                 // existing folder for its sockets, 0700, path of at most 60 bytes
	Log       *slog.Logger                           // gets the instance's name as "connector"
	Timing    Timing                                 // zero fields have defaults
}

// Timing is how patient a Connector is.
type Timing struct {
	Open       time.Duration // for the connector to reach its network; 30 s
	PingEvery  time.Duration // between two questions whether it answers; 5 s
	PingWait   time.Duration // for the answer, before it is killed; 10 s
	Grace      time.Duration // for it to leave when the host stops; 3 s
	BackoffMin time.Duration // before the first restart; 250 ms
	BackoffMax time.Duration // before later ones; 30 s
	Crashes    int           // within CrashSpan: then it has failed; 10
	CrashSpan  time.Duration // 5 min
	FailedWait time.Duration // before a failed one is tried again; 5 min
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Open, 30*time.Second)
	def(&t.PingEvery, 5*time.Second)
	def(&t.PingWait, 10*time.Second)
	def(&t.Grace, 3*time.Second)
	def(&t.BackoffMin, 250*time.Millisecond)
	def(&t.BackoffMax, 30*time.Second)
	def(&t.CrashSpan, 5*time.Minute)
	def(&t.FailedWait, 5*time.Minute)
	if t.Crashes <= 0 {
		t.Crashes = 10
	}
	return t
}

// Connector is one instance, whatever process it has at the moment. Its
// methods may be called from several goroutines.
type Connector struct {
	config  Config
	timing  Timing
	backend Backend
	log     *slog.Logger
	onUp    []func()

	ready     chan struct{}
	readyOnce sync.Once

	mu      sync.Mutex
	process *client.Process // nil unless it is open
	about   sdk.Description
	state   State
	changed chan struct{}
}

// New returns the connector; nothing is started before Run. b answers what it
// asks.
func New(c Config, b Backend) *Connector {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Connector{
		config: c, timing: c.Timing.withDefaults(), backend: b, log: log.With("connector", c.Name),
		ready: make(chan struct{}), changed: make(chan struct{}),
		state: State{Phase: Starting, Since: time.Now()},
	}
}

// OnUp has f called each time the connector has been opened, before anything
// else is asked of it. It is called before Run, and f returns soon.
func (c *Connector) OnUp(f func()) { c.onUp = append(c.onUp, f) }

// Ready is closed once the connector has been open for the first time.
func (c *Connector) Ready() <-chan struct{} { return c.ready }

// Description returns what the process said last that it can do; its Network
// is empty before the first one was up.
func (c *Connector) Description() sdk.Description {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.about
}

// HTTPSocket returns the unix socket on which the connector serves HTTP, ""
// when it is not up or does not.
func (c *Connector) HTTPSocket() string {
	if p := c.current(); p != nil {
		return p.HTTPSocket()
	}
	return ""
}

func (c *Connector) current() *client.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

// Deliver hands over one message. When the process is not up the error is an
// event.Retry until the connector is. When it ends meanwhile, or ctx does, the
// error has no policy: what was sent is unknown.
func (c *Connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	p := c.current()
	if p == nil {
		return event.Receipt{}, down()
	}
	return p.Deliver(ctx, d)
}

// Find asks whether an earlier Deliver of d, begun at first or later, reached
// the network; see sdk.Finder.
func (c *Connector) Find(ctx context.Context, d event.Delivery, first time.Time) (event.Receipt, bool, error) {
	p := c.current()
	if p == nil {
		return event.Receipt{}, false, down()
	}
	if !p.Description().Find {
		return event.Receipt{}, false, fmt.Errorf("%s cannot find deliveries", c.config.Name)
	}
	return p.Find(ctx, d, first)
}

func down() error { return event.Retry(event.ScopeConnector, event.UntilWoken, ErrDown) }

// Describe starts the connector, asks what it can do, and ends it again,
// without opening it.
func Describe(ctx context.Context, c Config) (sdk.Description, error) {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	command, err := c.command()
	if err != nil {
		return sdk.Description{}, err
	}
	p, err := client.Start(ctx, command, log.With("connector", c.Name))
	if err != nil {
		return sdk.Description{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timing.withDefaults().Grace)
	defer cancel()
	_ = p.Close(ctx) // it has been asked all there was
	return p.Description(), nil
}

func (c Config) command() (client.Command, error) {
	if len(c.Command) == 0 {
		return client.Command{}, fmt.Errorf("%s: no command", c.Name)
	}
	return client.Command{
		Name: c.Name, Path: c.Command[0], Args: c.Command[1:], Dir: c.Dir, SHA256: c.SHA256, SocketDir: c.SocketDir,
	}, nil
}
