// Package bus is Parley's durable log. It stores events until they are
// settled, hands them to the stages in order, keeps the small records of the
// stages in buckets and large bodies in Media, and tells the world about each
// event once it is stored.
//
// It hides JetStream completely: no other package imports NATS. By default the
// server is embedded, without a port, on a folder of its own; with Config.URL
// the same code uses an external server or cluster.
//
// The log is the truth. Publish returns once the event is stored at the
// configured durability; an acknowledgement of a consumed message is only a
// hint that spares a redelivery.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of this package, for errors.Is; what is returned wraps them with the
// detail.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("changed meanwhile")                        // Bucket: another revision is there
	ErrFull        = errors.New("storage is full")                          // nothing was stored; free some space
	ErrUnavailable = errors.New("the bus is unavailable")                   // not stored, or unknown: repeat with the same id
	ErrInvalid     = errors.New("not an event that can be stored")          // repeating cannot help
	ErrLocked      = errors.New("another process has this folder open")     // Open
	ErrUnproven    = errors.New("the external servers' safety is unproven") // Open with URL
)

// Durability says when an event counts as stored.
type Durability string

// The durabilities. With an external server Fsync and Interval are that
// server's own setting (sync_interval).
const (
	Fsync    Durability = "fsync"    // after fsync: survives a power loss (default)
	Interval Durability = "interval" // fsync each second: survives a crash of the process
	Memory   Durability = "memory"   // never on disk: for tests
)

// Config says where and how the log is kept.
type Config struct {
	Dir         string        // folder of the embedded server, created 0700; may be empty with Memory
	Durability  Durability    // empty means Fsync
	URL         string        // external server or cluster instead of the embedded one
	Credentials string        // file with credentials for URL; optional
	TrustSync   bool          // the operator vouches that the servers at URL fsync before they acknowledge
	Replicas    int           // of each stream at URL; 0 means 3; fewer need TrustSync
	IDs         int           // most ids in the id index; 0 means 2,000,000
	IDAge       time.Duration // oldest id in the id index; 0 means 24 h
	Reserve     int64         // free bytes on the disk below which Inbound is refused; 0 means 64 MiB
	StreamBytes int64         // size limit of the stream of Inbounds; 0 means none
	Listen      string        // host:port for subscribers of the embedded server; empty means no port, port 0 any
	TLS         TLS           // of Listen; the zero value means none
	Subscribers []Subscriber  // who may read the bus from outside
	Log         *slog.Logger  // nil means slog.Default
}

// TLS names the files of a listener's certificate, PEM.
type TLS struct {
	Cert string // certificate chain
	Key  string // its private key
}

func (c Config) withDefaults() (Config, error) {
	if c.Durability == "" {
		c.Durability = Fsync
	}
	switch c.Durability {
	case Fsync, Interval, Memory:
	default:
		return c, fmt.Errorf("durability %q: use fsync, interval or memory", string(c.Durability))
	}
	if c.IDs <= 0 {
		c.IDs = 2_000_000
	}
	if c.IDAge <= 0 {
		c.IDAge = 24 * time.Hour
	}
	if c.Reserve == 0 {
		c.Reserve = 64 << 20
	}
	if c.Replicas <= 0 {
		c.Replicas = 3
	}
	if c.URL == "" {
		c.Replicas = 1
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.URL != "" && c.Listen != "" {
		return c, errors.New("listen is for the embedded server; the servers at the URL have listeners of their own")
	}
	return c, checkSubscribers(c.Subscribers, c.Listen != "")
}

// Bus is the open log. Its methods may be called from several goroutines.
type Bus struct {
	cfg       Config
	log       *slog.Logger
	server    *embedded // nil with Config.URL
	nc        *nats.Conn
	js        jetstream.JetStream
	streams   map[Stream]jetstream.Stream
	writers   map[Stream]*writer
	ids       *index
	space     *space
	health    *health
	doubts    doubts
	resolving sync.Mutex // held while the log is asked what became of doubtful writes
	media     *Media
	reading   reading
	mending   sync.Mutex             // held while the embedded server is opened anew
	crowded   atomic.Pointer[Stream] // the stream that holds too much, if one does

	bucketsMu sync.Mutex
	buckets   map[string]*Bucket

	desksMu sync.Mutex
	desks   map[string]desk // by the subscriber's name

	life    context.Context    // of the background goroutines
	stop    context.CancelFunc // ends it
	running sync.WaitGroup     // background goroutines

	gate     sync.RWMutex
	closed   bool
	inflight sync.WaitGroup // publishes under way
	once     sync.Once
	closeErr error
}

// Open opens the log, creating it where it is missing, and reads the ids of
// the last Config.IDAge into the id index. ctx bounds the opening only.
func Open(ctx context.Context, c Config) (*Bus, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	life, stop := context.WithCancel(context.Background())
	b := &Bus{
		cfg: c, log: c.Log, life: life, stop: stop,
		streams: map[Stream]jetstream.Stream{}, writers: map[Stream]*writer{}, buckets: map[string]*Bucket{},
		ids: newIndex(c.IDs, c.IDAge), health: newHealth(),
	}
	if err := b.open(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	b.start(life)
	if err := b.openDesks(c.Subscribers); err != nil {
		b.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) error {
	if err := b.connect(); err != nil {
		return err
	}
	js, err := jetstream.New(b.nc, jetstream.WithPublishAsyncTimeout(attempt), jetstream.WithPublishAsyncMaxPending(maxBatch*8))
	if err != nil {
		return err
	}
	b.js = js
	if err := b.createStreams(ctx); err != nil {
		return err
	}
	if b.media, err = newMedia(ctx, b); err != nil {
		return err
	}
	if err := b.syncAll(); err != nil { // the streams themselves, if they are new
		return err
	}
	return b.loadIDs(ctx, time.Now().Add(-b.cfg.IDAge))
}

// syncAll puts on disk what lies under a folder of the embedded store.
func (b *Bus) syncAll(folder ...string) error {
	if b.server == nil {
		return nil
	}
	return b.server.syncs.all(folder...)
}

// durable returns once the messages of a stream up to seq, or all with 0, are
// as safe as the configuration says. They have been acknowledged, or read.
func (b *Bus) durable(ctx context.Context, stream string, seq uint64) error {
	if b.server == nil {
		return nil // its servers answer when it is so
	}
	err := b.server.syncs.through(ctx, stream, seq)
	if err != nil && !isContext(err) {
		b.suspect(err.Error())
		return unavailable(err)
	}
	return err
}

// connect starts the embedded server or reaches the external one.
func (b *Bus) connect() error {
	options := []nats.Option{
		nats.Name("parley"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("bus: connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.reading.again() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("bus: connection error", "error", err)
		}),
	}
	if b.cfg.URL != "" {
		return b.connectExternal(options)
	}
	server, err := startEmbedded(b.cfg, b.suspect)
	if err != nil {
		return err
	}
	b.server = server
	b.space = newSpace(server.dir, b.cfg.Reserve)
	b.nc, err = server.connect(options)
	return err
}

func (b *Bus) connectExternal(options []nats.Option) error {
	if !b.cfg.TrustSync {
		return fmt.Errorf("%w: Parley promises that what it accepts is on disk, and cannot read from %s "+
			"whether its servers keep 3 replicas in files with sync_interval: always; "+
			"make sure that they do, then set bus.trust_sync = true", ErrUnproven, b.cfg.URL)
	}
	if b.cfg.Credentials != "" {
		options = append(options, nats.UserCredentials(b.cfg.Credentials))
	}
	nc, err := nats.Connect(b.cfg.URL, options...)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", b.cfg.URL, err)
	}
	b.nc = nc
	return nil
}

func (b *Bus) start(ctx context.Context) {
	for s := range b.streams {
		w := newWriter(b, s)
		b.writers[s] = w
		b.running.Go(func() { w.run(ctx) })
	}
	b.running.Go(func() { b.tend(ctx) })
}

// Addr returns where subscribers connect, empty when there is no listener.
func (b *Bus) Addr() string {
	if b.server == nil {
		return ""
	}
	return b.server.addr()
}

// enter counts a publish in, unless the bus is closing; leave counts it out.
func (b *Bus) enter() error {
	b.gate.RLock()
	defer b.gate.RUnlock()
	if b.closed {
		return fmt.Errorf("%w: closed", ErrUnavailable)
	}
	b.inflight.Add(1)
	return nil
}

func (b *Bus) leave() { b.inflight.Done() }

// Close takes no more events, waits for the publishes under way, and stops the
// embedded server. Consumers and Tails end with an error. It may be called
// more than once.
func (b *Bus) Close() error {
	b.once.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Bus) close() error {
	b.gate.Lock()
	b.closed = true
	b.gate.Unlock()
	b.inflight.Wait()
	b.stop()
	b.running.Wait()
	if b.nc != nil {
		b.nc.Close()
	}
	if b.server == nil {
		return nil
	}
	return b.server.close()
}
