package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/plugins/content/mapping"
)

// A Sink hands deliveries to one connector, or to the SIP edge. See
// sdk.Connector for the meaning of errors and the duty of each method.
type Sink interface {
	Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error)
	Find(ctx context.Context, d event.Delivery, first time.Time) (event.Receipt, bool, error)
}

// Abilities is what a sink can do at present.
type Abilities struct {
	Kinds []event.Kind
	mapping.Taker
	Outstanding int           // deliveries at once to one target; 0 means no limit
	Every       time.Duration // least time between two deliveries to one target
	Find        bool          // Find works
}

// Anchors remembers the thread anchor of a conversation at a target, and those
// that were before it.
type Anchors interface {
	Anchor(ctx context.Context, connector, conversation string, target event.Address) (string, error)
	Earlier(ctx context.Context, connector, conversation string, target event.Address) ([]string, error)
	SetAnchor(ctx context.Context, connector, conversation string, target event.Address, anchor string) error
}

// Policy is how patient the stage is. The zero value of a field means its
// default.
type Policy struct {
	ParkAfter   time.Duration // a longer wait parks the lane; 30 s
	LaneLimit   int           // a lane that holds more unsettled messages is parked; 32
	MaxPending  int           // unacknowledged messages held by all lanes; 2048
	AckWait     time.Duration // after which the bus offers a held message again; 60 s, extended while held
	BackoffMin  time.Duration // first wait after a failure; 1 s
	BackoffMax  time.Duration // longest wait; 5 min
	Attempts    int           // of a message whose trouble is its own; 8
	Timeout     time.Duration // of one attempt; 90 s
	Fetch       time.Duration // for the files elsewhere that a message names, before an attempt; 35 s
	Expiry      time.Duration // any message fails after this long; 7 days
	MarkStep    uint64        // sequences that an attempt mark is written ahead; 1000
	StatusRetry time.Duration // between two tries to store an outcome; 500 ms
	Grace       time.Duration // for attempts under way when the stage stops; 3 s
}

func (p Policy) withDefaults() Policy {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&p.ParkAfter, 30*time.Second)
	def(&p.AckWait, time.Minute)
	def(&p.BackoffMin, time.Second)
	def(&p.BackoffMax, 5*time.Minute)
	def(&p.Timeout, 90*time.Second)
	def(&p.Fetch, 35*time.Second)
	def(&p.Expiry, 7*24*time.Hour)
	def(&p.StatusRetry, 500*time.Millisecond)
	def(&p.Grace, 3*time.Second)
	if p.LaneLimit == 0 {
		p.LaneLimit = 32
	}
	if p.MaxPending == 0 {
		p.MaxPending = 2048
	}
	if p.Attempts == 0 {
		p.Attempts = 8
	}
	if p.MarkStep == 0 {
		p.MarkStep = 1000
	}
	return p
}

// Config is what a Stage needs.
type Config struct {
	Connector string // instance name, or "sip"
	Bus       *bus.Bus
	Sink      Sink
	Abilities func() Abilities // asked before each attempt
	Anchors   Anchors
	Token     func(target event.Address) string // names a target in keys, without personal data
	Policy    Policy
	Log       *slog.Logger
	// Native, if given, returns the ids by which a message, an Inbound, is known
	// at a target, in the order of its receipt; none if it is not.
	Native func(ctx context.Context, message string, target event.Address) ([]string, error)
	// Settled, if given, is told of each outcome that was stored.
	Settled func(st event.Status, seq uint64)
	// Degrade, if given, tells whether a kind of message that the target does
	// not know is to be told in words there; without it nothing is.
	Degrade func(k event.Kind) bool
	// Links, if given, returns the address below which the parts of a message,
	// which has a place in the log, can be fetched for a while; "" for nowhere.
	Links func(o event.Outbound, seq uint64) string
	// Fetch, if given, gets a file elsewhere that a message names, or says why
	// not. It is called from several goroutines, and returns when ctx ends.
	Fetch func(ctx context.Context, o event.Outbound, url string) (event.Content, error)
	// Trace, if given, is told of each attempt, and by what it returns of its
	// end.
	Trace func(o event.Outbound) (end func(error))
}

// Stage delivers the Outbounds of one connector. Its methods may be called
// from several goroutines.
type Stage struct {
	Config
	bucket  *bus.Bucket
	circuit *circuit
	gates   gates
	mark    mark

	start   uint64 // last sequence of the stream when the stage started
	pos     atomic.Uint64
	books   books
	counts  counts
	waiting waiting
	parked  parked
	running runners

	mu       sync.Mutex // taken before a lane's, never after
	lanes    map[string]*lane
	oddities []*bus.Message // not understood: kept unacknowledged
}

// New returns a stage; Run starts it.
func New(c Config) *Stage {
	c.Policy = c.Policy.withDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("connector", c.Connector)
	return &Stage{
		Config:  c,
		circuit: newCircuit(c.Policy),
		gates:   gates{byTarget: map[event.Address]*gate{}},
		waiting: waiting{since: map[*lane]*wait{}},
		parked:  parked{byTarget: map[event.Address]map[*lane]bool{}},
		lanes:   map[string]*lane{},
	}
}

// Run delivers until ctx ends and returns when no attempt is under way. What
// was not settled by then is offered again at the next Run.
func (s *Stage) Run(ctx context.Context) error {
	if err := s.run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *Stage) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.running.open(ctx, s.Policy.Grace)
	defer s.running.wait()
	defer cancel()
	if err := s.Open(ctx); err != nil {
		return err
	}
	consumer, err := s.Bus.Consume(ctx, bus.ConsumeConfig{
		Name: "deliver-" + s.Connector, Stream: bus.Outbounds, Connector: s.Connector,
		MaxPending: s.Policy.MaxPending, AckWait: s.Policy.AckWait,
	})
	if err != nil {
		return fmt.Errorf("deliver to %s: %w", s.Connector, err)
	}
	defer consumer.Close()
	s.running.run(func(ctx, _ context.Context) { s.keepHeld(ctx) })
	s.running.run(func(ctx, _ context.Context) {
		if err := s.countInherited(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("parked messages not counted", "err", err)
		}
	})
	s.parked.each(func(l *lane) { l.setAlarm() })
	return s.dispatch(ctx, consumer)
}

// Open loads what an earlier run left: the attempt mark and the parked lanes.
// From then on no Wake is lost, so it comes before the first phone can
// register. Run does it if nobody has.
func (s *Stage) Open(ctx context.Context) error {
	if s.bucket != nil {
		return nil
	}
	if err := s.open(ctx); err != nil {
		return fmt.Errorf("deliver to %s: %w", s.Connector, err)
	}
	return nil
}

func (s *Stage) open(ctx context.Context) (err error) {
	if s.bucket, err = s.Bus.Bucket(ctx, "deliver"); err != nil {
		return err
	}
	if s.start, err = s.Bus.LastSeq(ctx, bus.Outbounds); err != nil {
		return err
	}
	if err = s.mark.load(ctx, s.bucket, s.Connector, s.Policy.MarkStep); err != nil {
		return err
	}
	return s.loadParked(ctx)
}

// dispatch hands messages to their lanes in stream order.
func (s *Stage) dispatch(ctx context.Context, c *bus.Consumer) error {
	for {
		if !s.circuit.ready(ctx) {
			return nil
		}
		m, err := c.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("deliver to %s: %w", s.Connector, err)
		}
		if err := s.offer(ctx, m); err != nil && ctx.Err() == nil {
			return err
		}
		if seq := m.Seq; seq > s.pos.Load() {
			s.pos.Store(seq)
		}
		s.relieve()
	}
}

// offer gives m to its lane, or acknowledges it when its lane has settled it
// already or is parked.
func (s *Stage) offer(ctx context.Context, m *bus.Message) error {
	o, ok := m.Event.(event.Outbound)
	if m.Err != nil || !ok {
		s.Log.Error("kept an event that this version does not understand; a newer version may", "sequence", m.Seq, "err", m.Err)
		s.mu.Lock()
		s.oddities = append(s.oddities, m)
		s.mu.Unlock()
		if m.Seq > s.pos.Load() {
			s.books.enter(func(a *Account) { a.Taken++; a.Kept++ })
		}
		return nil
	}
	for {
		l := s.lane(o.Lane, o.Target)
		switch err := l.offer(ctx, m, o); {
		case errors.Is(err, errEvicted):
			continue
		case errors.Is(err, bus.ErrUnavailable): // the lane's past could not be read
			s.Log.Warn("wait for the bus", "lane", o.Lane, "err", err)
			if !sleep(ctx, s.Policy.StatusRetry) {
				return ctx.Err()
			}
		default:
			return err
		}
	}
}

// lane returns the lane's state, made if it is not in memory.
func (s *Stage) lane(name string, target event.Address) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[name]
	if l == nil {
		l = newLane(s, name, target)
		s.lanes[name] = l
	}
	return l
}

// keepHeld tells the bus, well within AckWait, that held messages are being
// worked on, and forgets idle lanes.
func (s *Stage) keepHeld(ctx context.Context) {
	tick := time.NewTicker(s.Policy.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		lanes := make([]*lane, 0, len(s.lanes))
		for _, l := range s.lanes {
			lanes = append(lanes, l)
		}
		odd := s.oddities
		s.mu.Unlock()
		for _, m := range odd {
			_ = m.Working()
		}
		for _, l := range lanes {
			l.keep()
			s.forget(l)
		}
	}
}

// forget drops the state of a lane that has nothing to do and nothing that the
// dispatcher still has to pass over.
func (s *Stage) forget(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !l.facts.TryLock() {
		return
	}
	defer l.facts.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || len(l.queue) > 0 || l.record != nil || l.settled > s.pos.Load() {
		return
	}
	l.evicted = true
	delete(s.lanes, l.name)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
