package deliver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
)

// far is a far side that remembers what reached it and answers as told.
type far struct {
	mu      sync.Mutex
	got     []string // ids in order of arrival
	tries   map[string]int
	answer  func(d event.Delivery, try int) error // nil: delivered
	find    func(d event.Delivery) (bool, error)
	watch   func(ctx context.Context, d event.Delivery)
	changed chan struct{}
	anchor  string // of its receipts
}

func newFar(answer func(d event.Delivery, try int) error) *far {
	return &far{tries: map[string]int{}, answer: answer, changed: make(chan struct{})}
}

func (f *far) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	if f.watch != nil {
		f.watch(ctx, d)
	}
	f.mu.Lock()
	f.tries[d.ID]++
	try := f.tries[d.ID]
	f.mu.Unlock()
	var err error
	if f.answer != nil {
		err = f.answer(d, try)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil || errors.Is(err, errLostAnswer) {
		f.got = append(f.got, d.ID)
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{"r-" + d.ID}, Anchor: f.anchor}, err
}

// errLostAnswer says that the far side has the message but the answer was lost.
var errLostAnswer = errors.New("connection reset")

func (f *far) Find(_ context.Context, d event.Delivery, _ time.Time) (event.Receipt, bool, error) {
	if f.find != nil {
		found, err := f.find(d)
		return event.Receipt{State: event.Delivered, Anchor: cmp.Or(d.Anchor, "begun")}, found, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return event.Receipt{State: event.Delivered}, slices.Contains(f.got, d.ID), nil
}

// sees waits until the far side has n messages and returns them in order.
func (f *far) sees(t *testing.T, n int) []string {
	t.Helper()
	return f.until(t, fmt.Sprintf("%d messages", n), func() bool { return len(f.got) >= n })
}

// tried waits until a message was tried n times.
func (f *far) tried(t *testing.T, id string, n int) {
	t.Helper()
	f.until(t, fmt.Sprintf("%d tries of %s", n, id), func() bool { return f.tries[id] >= n })
}

func (f *far) until(t *testing.T, what string, ok func() bool) []string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		done, got, changed := ok(), slices.Clone(f.got), f.changed
		f.mu.Unlock()
		if done {
			return got
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the far side never saw %s, only %v", what, got)
		}
	}
}

// noAnchors is the memory of a network without threads.
type noAnchors struct{}

func (noAnchors) Anchor(context.Context, string, string, event.Address) (string, error) {
	return "", nil
}
func (noAnchors) Earlier(context.Context, string, string, event.Address) ([]string, error) {
	return nil, nil
}
func (noAnchors) SetAnchor(context.Context, string, string, event.Address, string) error { return nil }

// bench is a bus and a stage on it that can be stopped and started again.
type bench struct {
	t      *testing.T
	bus    *bus.Bus
	far    *far
	policy Policy
	able   Abilities
	memory Anchors
	fetch  func(ctx context.Context, o event.Outbound, url string) (event.Content, error)
	seen   *statuses
	stage  *Stage
	stop   func()
}

func newBench(t *testing.T, f *far, change func(*bench)) *bench {
	t.Helper()
	log, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Durability: "memory"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, bus: log, far: f, memory: noAnchors{}, able: Abilities{Kinds: []event.Kind{event.KindMessage}, Find: true},
		policy: Policy{BackoffMin: time.Millisecond, BackoffMax: 4 * time.Millisecond, StatusRetry: 5 * time.Millisecond}}
	if change != nil {
		change(b)
	}
	b.seen = watch(t, log)
	t.Cleanup(func() {
		b.seen.stop()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bench) start() {
	b.make()
	b.run()
}

func (b *bench) make() {
	b.stage = New(Config{
		Connector: "far", Bus: b.bus, Sink: b.far, Abilities: func() Abilities { return b.able }, Anchors: b.memory,
		Token: func(a event.Address) string { return "t" + fmt.Sprintf("%x", string(a)) }, Policy: b.policy,
		Fetch: b.fetch,
	})
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	stage, done, audited := b.stage, make(chan error, 1), make(chan struct{})
	go func() { done <- stage.Run(ctx) }()
	go func() {
		defer close(audited)
		b.audit(ctx, stage)
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-audited
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

// audit holds the stage's books against themselves and against the window of
// messages in memory, again and again until ctx ends.
func (b *bench) audit(ctx context.Context, stage *Stage) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if a := stage.Stats().Account; a.Missing() != 0 || a.Held < 0 || a.Parked < 0 {
			b.t.Errorf("the books do not balance: %+v", a)
			return
		} else if a.Held > int64(stage.Policy.MaxPending) {
			b.t.Errorf("%d messages in memory, at most %d may be", a.Held, stage.Policy.MaxPending)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *bench) restart() {
	b.stop()
	b.start()
}

// message stores an Outbound with the given id on the lane from conversation
// to target.
func (b *bench) message(id, conversation, target string, change ...func(*event.Outbound)) {
	b.t.Helper()
	o := event.Outbound{
		ID: id, Time: time.Now(), Inbound: "in-" + id, Connector: "far", Target: event.Address("far:" + target), Generation: 1,
		Lane: conversation + "-" + target, Envelope: event.Envelope{Kind: event.KindMessage, Origin: "sip", Sender: "sip:ann@x"},
		Content: event.Content{MediaType: "text/plain", Data: []byte(id)},
	}
	for _, f := range change {
		f(&o)
	}
	if _, err := b.bus.Publish(b.t.Context(), o); err != nil {
		b.t.Fatal(err)
	}
}

// statuses collects what was published about Outbounds.
type statuses struct {
	mu      sync.Mutex
	events  []event.Event
	changed chan struct{}
	stop    func()
}

func watch(t *testing.T, log *bus.Bus) *statuses {
	s := &statuses{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c, err := log.Consume(ctx, bus.ConsumeConfig{Name: "test-status", Stream: bus.Statuses})
	if err != nil {
		t.Fatal(err)
	}
	d, err := log.Consume(ctx, bus.ConsumeConfig{Name: "test-dead", Stream: bus.Deads})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, c := range []*bus.Consumer{c, d} {
		all.Go(func() {
			defer c.Close()
			for {
				m, err := c.Next(ctx)
				if err != nil {
					return
				}
				_ = m.Ack()
				s.mu.Lock()
				s.events = append(s.events, m.Event)
				close(s.changed)
				s.changed = make(chan struct{})
				s.mu.Unlock()
			}
		})
	}
	s.stop = func() { cancel(); all.Wait() }
	return s
}

// about waits until the state of an Outbound is known and returns the status.
func (s *statuses) about(t *testing.T, id string, state event.State) event.Status {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		for _, e := range s.events {
			if st, ok := e.(event.Status); ok && st.Outbound == id && st.State == state {
				s.mu.Unlock()
				return st
			}
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s never became %s", id, state)
		}
	}
}

func (s *statuses) dead(t *testing.T, id string) event.Dead {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		for _, e := range s.events {
			if d, ok := e.(event.Dead); ok && d.ID == id {
				s.mu.Unlock()
				return d
			}
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("there is no dead letter of %s", id)
		}
	}
}

func ids(prefix string, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%s%03d", prefix, i))
	}
	return list
}

func only(got []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, prefix) })
}

func want(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("the far side saw\n%v, want\n%v", got, want)
	}
}

func TestALaneKeepsItsOrder(t *testing.T) {
	f := newFar(func(d event.Delivery, try int) error {
		if try == 1 && d.ID[3]%3 == 0 {
			return event.Retry(event.ScopeMessage, 0, errors.New("busy"))
		}
		return nil
	})
	b := newBench(t, f, nil)
	for _, id := range ids("a", 50) {
		b.message(id, "c1", "room")
	}
	want(t, f.sees(t, 50), ids("a", 50))
	st := b.seen.about(t, "a049", event.Delivered)
	if st.SettledThrough != 50 || st.RemoteIDs[0] != "r-a049" {
		t.Errorf("status of the last: %+v", st)
	}
}

func TestAFrozenTargetDelaysNoOther(t *testing.T) {
	freeze := make(chan struct{})
	f := newFar(func(d event.Delivery, _ int) error {
		if d.Target == "far:frozen" {
			<-freeze
		}
		return nil
	})
	b := newBench(t, f, nil)
	for i := range 40 {
		b.message(fmt.Sprintf("f%03d", i), "c", "frozen")
		b.message(fmt.Sprintf("h%03d", i), "c", "healthy")
	}
	want(t, f.sees(t, 40), ids("h", 40))
	close(freeze)
	want(t, only(f.sees(t, 80), "f"), ids("f", 40))
}

func TestOutcomesThatEndAMessage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer error
		change func(*event.Outbound)
		reason event.Reason
		detail string
	}{
		{"the far side can never take it", event.Permanent(errors.New("no such room")), nil, event.ReasonPermanent, "no such room"},
		{"the recipient says no", event.Refused(errors.New("blocked")), nil, event.ReasonRefused, "blocked"},
		{"the retry budget ends", event.Retry(event.ScopeMessage, 0, errors.New("500 again")), nil, event.ReasonExhausted, "500 again"},
		{"M12 it expires first", event.Retry(event.ScopeTarget, 0, errors.New("busy")), func(o *event.Outbound) {
			o.Expires = time.Now().Add(30 * time.Millisecond)
		}, event.ReasonExpired, "not delivered before it expired"},
		{"M12 it expires while parked", event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("off")), func(o *event.Outbound) {
			o.Expires = time.Now().Add(50 * time.Millisecond)
		}, event.ReasonExpired, "not delivered before it expired"},
		{"the connector does not take the kind", nil, func(o *event.Outbound) { o.Kind = "poke" }, event.ReasonPermanent,
			`messages of kind "poke" are not taken here`},
		{"the connector does not take the type", nil, func(o *event.Outbound) { o.MediaType = "video/mp4; x=1" }, event.ReasonPermanent,
			"the message can't be shown there: its type is not taken here: video/mp4; here only text/plain"},
		{"the body is too large", nil, func(o *event.Outbound) { o.Data = bytes.Repeat([]byte("x"), 101) }, event.ReasonPermanent,
			"the message can't be shown there: it is too large: a text of 101 bytes; at most 100 are taken here"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFar(func(d event.Delivery, _ int) error {
				if d.ID == "bad" {
					return tc.answer
				}
				return nil
			})
			b := newBench(t, f, func(b *bench) {
				b.policy.Attempts = 3
				b.able.Types, b.able.MaxBytes = []string{"text/plain"}, 100
			})
			change := tc.change
			if change == nil {
				change = func(*event.Outbound) {}
			}
			b.message("bad", "c", "room", change)
			b.message("next", "c", "room")
			st := b.seen.about(t, "bad", event.Failed)
			if st.Reason != tc.reason || st.Detail != tc.detail {
				t.Errorf("failed as %q, %q, want %q, %q", st.Reason, st.Detail, tc.reason, tc.detail)
			}
			if d := b.seen.dead(t, "bad"); d.Reason != tc.reason || d.Inbound != "in-bad" || d.Target != "far:room" {
				t.Errorf("dead letter: %+v", d)
			}
			if _, after, _ := event.AsRetry(tc.answer); after != event.UntilWoken { // it keeps nobody waiting
				want(t, f.sees(t, 1), []string{"next"})
			}
			if tries := map[event.Reason]int{event.ReasonExhausted: 3}[tc.reason]; tries > 0 && f.count("bad") != tries {
				t.Errorf("%d attempts, want %d", f.count("bad"), tries)
			}
		})
	}
}

// What is said of the target, however often, is not the message's own trouble.
func TestOnlyItsOwnTroubleEndsAMessage(t *testing.T) {
	f := newFar(func(_ event.Delivery, try int) error {
		switch {
		case try <= 20:
			return event.Retry(event.ScopeTarget, time.Millisecond, errors.New("more files follow"))
		case try <= 22:
			return errLostAnswer
		}
		return nil
	})
	f.find = func(event.Delivery) (bool, error) { return false, nil }
	b := newBench(t, f, func(b *bench) { b.policy.Attempts = 3 })
	b.message("m", "c", "room")
	b.seen.about(t, "m", event.Delivered)
	if n := f.count("m"); n != 23 {
		t.Errorf("%d attempts", n)
	}
}

func TestAParkedLaneIsWokenInOrder(t *testing.T) {
	var mu sync.Mutex
	on := false
	f := newFar(func(event.Delivery, int) error {
		mu.Lock()
		defer mu.Unlock()
		if !on {
			return event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("not registered"))
		}
		return nil
	})
	b := newBench(t, f, nil)
	all := ids("p", 30)
	for _, id := range all[:10] {
		b.message(id, "c", "phone")
	}
	f.tried(t, "p000", 1)
	b.message("other", "d", "phone")
	b.parked(2)
	if w := b.stage.Waiting(1); len(w) != 1 || w[0].Target != "far:phone" || w[0].Cause != "not registered" || w[0].Lanes != 2 || w[0].Since.IsZero() {
		t.Errorf("waiting for %+v", w)
	}
	for _, id := range all[10:20] {
		b.message(id, "c", "phone")
	}
	b.books(Account{Taken: 21, Parked: 21})
	b.restart()
	b.books(Account{Taken: 21, Parked: 21})
	mu.Lock()
	on = true
	mu.Unlock()
	b.parked(2)
	b.stage.Wake("far:phone")
	for _, id := range all[20:] {
		b.message(id, "c", "phone")
	}
	got := slices.DeleteFunc(f.sees(t, 31), func(id string) bool { return id == "other" })
	want(t, got, all)
	b.seen.about(t, "p029", event.Delivered)
	b.parked(0)
	b.books(Account{Taken: 31, Delivered: 31})
	if w := b.stage.Waiting(1); len(w) != 0 {
		t.Errorf("still waiting for %+v", w)
	}
	bucket, _ := b.bus.Bucket(t.Context(), "deliver")
	if left, err := bucket.List(t.Context(), "far.", "", 0); err != nil || len(left) > 0 {
		t.Errorf("records left: %v, %v", left, err)
	}
}

// parked waits until n lanes are parked.
func (b *bench) parked(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d parked lanes", n), func() bool { return b.stage.parked.size() == n })
}

// books waits until the books say where everything is.
func (b *bench) books(want Account) {
	b.t.Helper()
	b.until(fmt.Sprintf("%+v", want), func() bool { return b.stage.Stats().Account == want })
}

// until looks again and again at what nothing tells of.
func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s never came", what)
		}
	}
}

func TestAWakeBeforeTheStageRunsIsNotLost(t *testing.T) {
	var on atomic.Bool
	f := newFar(func(event.Delivery, int) error {
		if !on.Load() {
			return event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("not registered"))
		}
		return nil
	})
	b := newBench(t, f, nil)
	b.message("m", "c", "phone")
	b.parked(1)
	b.stop()
	on.Store(true)
	b.make()
	if err := b.stage.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.stage.Wake("far:phone") // the phone registers before anything is delivered
	b.run()
	want(t, f.sees(t, 1), []string{"m"})
}

func TestAWakeDuringTheAttemptIsNotLost(t *testing.T) {
	var b *bench
	first := true
	f := newFar(func(event.Delivery, int) error {
		if first {
			first = false
			b.stage.Wake("far:phone") // the REGISTER comes between the look-up and the parking
			return event.Retry(event.ScopeTarget, event.UntilWoken, errors.New("not registered"))
		}
		return nil
	})
	b = newBench(t, f, func(*bench) {})
	b.message("m", "c", "phone")
	want(t, f.sees(t, 1), []string{"m"})
}

func TestWhatIsSettledIsNotDeliveredAgain(t *testing.T) {
	f := newFar(nil)
	b := newBench(t, f, nil)
	for _, id := range ids("s", 20) {
		b.message(id, "c", "room")
	}
	f.sees(t, 20)
	b.seen.about(t, "s019", event.Delivered)
	b.stop()
	// A reader with a new name is offered everything once more, as after a
	// crash that lost all acknowledgements.
	c, err := b.bus.Consume(t.Context(), bus.ConsumeConfig{Name: "again", Stream: bus.Outbounds, Connector: "far"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.start()
	b.message("s020", "c", "room")
	b.seen.about(t, "s020", event.Delivered)
	for range 21 {
		m, err := c.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.stage.offer(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	b.message("s021", "c", "room")
	b.seen.about(t, "s021", event.Delivered)
	want(t, f.sees(t, 22), ids("s", 22))
}

func TestAnInterruptedDeliveryIsLookedForFirst(t *testing.T) {
	for _, tc := range []struct {
		name    string
		arrived bool
		tries   int
	}{
		{"it had arrived", true, 1},
		{"it had not", false, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFar(func(_ event.Delivery, try int) error {
				switch {
				case try > 1:
					return nil
				case tc.arrived:
					return errLostAnswer
				}
				return errors.New("connection refused")
			})
			b := newBench(t, f, nil)
			b.message("m", "c", "room")
			b.message("n", "c", "room")
			b.seen.about(t, "n", event.Delivered)
			want(t, f.sees(t, 2), []string{"m", "n"})
			if f.tries["m"] != tc.tries {
				t.Errorf("%d deliveries, want %d", f.tries["m"], tc.tries)
			}
		})
	}
}

// What a message loses at its target is told also when an interrupted delivery
// turns out to have arrived.
func TestLossesAreToldOfWhatHadArrived(t *testing.T) {
	f := newFar(func(d event.Delivery, _ int) error {
		if d.ID == "m" {
			return errLostAnswer
		}
		return nil
	})
	b := newBench(t, f, func(b *bench) { b.able.Types = []string{"text/plain"} })
	for _, id := range []string{"m", "n"} {
		b.message(id, "c", "room", func(o *event.Outbound) {
			o.Content = event.Content{MediaType: "multipart/mixed; boundary=b", Data: []byte("--b\r\n\r\nlook\r\n--b\r\nContent-Type: application/zip\r\n\r\nPK\r\n--b--\r\n")}
		})
	}
	found, sent := b.seen.about(t, "m", event.Delivered).Losses, b.seen.about(t, "n", event.Delivered).Losses
	if len(sent) == 0 || !slices.Equal(found, sent) {
		t.Errorf("found: %q, sent: %q", found, sent)
	}
}

// moved is the memory of a conversation that has gone on in another thread
// since the first try.
type moved struct{ set chan string }

func (m moved) Anchor(context.Context, string, string, event.Address) (string, error) {
	return "new", nil
}
func (m moved) Earlier(context.Context, string, string, event.Address) ([]string, error) {
	return []string{"old", ""}, nil
}
func (m moved) SetAnchor(_ context.Context, _, _ string, _ event.Address, anchor string) error {
	m.set <- anchor
	return nil
}

func TestADeliveryIsLookedForInTheThreadWhereItWasTried(t *testing.T) {
	for _, arrived := range []string{"new", "old", ""} {
		memory := moved{make(chan string, 10)}
		f := newFar(func(event.Delivery, int) error { return errLostAnswer })
		f.find = func(d event.Delivery) (bool, error) { return d.Anchor == arrived, nil }
		b := newBench(t, f, func(b *bench) { b.memory = memory })
		b.message("m", "c", "room")
		b.seen.about(t, "m", event.Delivered)
		if f.tries["m"] != 1 {
			t.Errorf("tried in %q, it was sent %d times", arrived, f.tries["m"])
		}
		select {
		case a := <-memory.set:
			t.Errorf("the conversation was moved to %q", a)
		default:
		}
	}
}

// A thread that stands before all of a message does can be answered at once.
func TestAnAnchorBesideAnErrorIsKept(t *testing.T) {
	memory := moved{make(chan string, 10)}
	going := make(chan struct{})
	f := newFar(func(_ event.Delivery, try int) error {
		if try == 1 {
			return event.Retry(event.ScopeTarget, time.Millisecond, errors.New("its files follow"))
		}
		<-going
		return nil
	})
	f.anchor = "begun"
	b := newBench(t, f, func(b *bench) { b.memory = memory })
	b.message("m", "c", "room")
	if a := <-memory.set; a != "begun" {
		t.Errorf("kept: %q", a)
	}
	close(going)
	b.seen.about(t, "m", event.Delivered)
}

func TestAStopBetweenDeliveryAndOutcome(t *testing.T) {
	hang := make(chan struct{})
	f := newFar(func(d event.Delivery, try int) error {
		if d.ID == "m" && try == 1 {
			<-hang // it reaches the far side; the host stops before it hears so
			return errLostAnswer
		}
		return nil
	})
	b := newBench(t, f, func(b *bench) { b.policy.Grace = time.Millisecond })
	b.message("m", "c", "room")
	b.until("the first try", func() bool { return f.count("m") == 1 })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.stop()
	}()
	b.until("the stop", func() bool { return !b.stage.running.run(func(_, _ context.Context) {}) })
	close(hang)
	<-stopped
	b.start()
	b.message("n", "c", "room")
	b.seen.about(t, "n", event.Delivered)
	want(t, f.sees(t, 2), []string{"m", "n"})
	if b.stage.Stats().Found == 0 {
		t.Error("Find was not asked")
	}
}

func (f *far) count(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tries[id]
}

func TestAConnectorThatIsDownParksNothing(t *testing.T) {
	var mu sync.Mutex
	up := false
	f := newFar(func(event.Delivery, int) error {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			return event.Retry(event.ScopeConnector, event.UntilWoken, errors.New("down"))
		}
		return nil
	})
	b := newBench(t, f, nil)
	for i := range 5 {
		b.message(fmt.Sprintf("c%03d", i), fmt.Sprintf("c%d", i), "room")
	}
	f.until(t, "a try", func() bool { return len(f.tries) > 0 })
	mu.Lock()
	up = true
	mu.Unlock()
	b.stage.WakeAll()
	got := f.sees(t, 5)
	slices.Sort(got)
	want(t, got, ids("c", 5))
	if s := b.stage.Stats(); s.Parks != 0 || s.Circuit != "" {
		t.Errorf("stats: %+v", s)
	}
}

func TestAGateLimitsWhatIsOutstanding(t *testing.T) { // M14
	var mu sync.Mutex
	now, most := 0, 0
	f := newFar(func(event.Delivery, int) error {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-time.After(time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return nil
	})
	b := newBench(t, f, func(b *bench) { b.able.Outstanding = 1 })
	for i := range 20 {
		b.message(fmt.Sprintf("g%03d", i), fmt.Sprintf("conversation%d", i), "phone")
	}
	f.sees(t, 20)
	if most != 1 {
		t.Errorf("%d deliveries at once to one target", most)
	}
}

func TestAGateKeepsThePace(t *testing.T) {
	var mu sync.Mutex
	var at []time.Time
	f := newFar(func(event.Delivery, int) error {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		return nil
	})
	b := newBench(t, f, func(b *bench) { b.able.Every = 20 * time.Millisecond })
	began := time.Now()
	for i := range 5 {
		b.message(fmt.Sprintf("g%03d", i), fmt.Sprintf("conversation%d", i), "channel")
	}
	f.sees(t, 5)
	for i, a := range at { // a time is noted late at most
		if after := a.Sub(began); after < time.Duration(i)*20*time.Millisecond {
			t.Errorf("delivery %d began after %v", i, after)
		}
	}
}

func TestWaitingLanesDoNotFillTheWindow(t *testing.T) {
	hang := make(chan struct{})
	f := newFar(func(d event.Delivery, try int) error {
		if d.ID[0] == 'w' && try == 1 {
			return event.Retry(event.ScopeMessage, time.Hour/200, errors.New("later")) // 18 s: waits in memory
		}
		return nil
	})
	defer close(hang)
	b := newBench(t, f, func(b *bench) { b.policy.MaxPending = 16 })
	for i := range 64 {
		b.message(fmt.Sprintf("w%03d", i), fmt.Sprintf("waiting%d", i), fmt.Sprintf("w%d", i))
	}
	b.message("h000", "healthy", "h")
	want(t, only(f.until(t, "the healthy one", func() bool { return slices.Contains(f.got, "h000") }), "h"), []string{"h000"})
}

func TestAReportComesLater(t *testing.T) {
	f := newFar(nil)
	b := newBench(t, f, nil)
	b.message("m", "c", "room")
	b.message("n", "c", "room")
	b.seen.about(t, "n", event.Delivered)
	if err := b.stage.Report(t.Context(), event.Report{Outbound: "m", State: event.Displayed}); err != nil {
		t.Fatal(err)
	}
	if st := b.seen.about(t, "m", event.Displayed); st.SettledThrough != 2 {
		t.Errorf("a late fact about m says that its lane is settled through %d, want 2", st.SettledThrough)
	}
	if err := b.stage.Report(t.Context(), event.Report{Outbound: "n", State: event.Failed, Detail: "bounced"}); err != nil {
		t.Fatal(err)
	}
	if st := b.seen.about(t, "n", event.Failed); st.Detail != "bounced" || b.seen.dead(t, "n").Detail != "bounced" {
		t.Errorf("a bounce after acceptance: %+v", st)
	}
	for _, bad := range []event.Report{{Outbound: "nobody's", State: event.Displayed}, {Outbound: "m", State: event.Accepted}} {
		if err := b.stage.Report(t.Context(), bad); err == nil {
			t.Errorf("report %+v was taken", bad)
		}
	}
}

// A NATS server that was killed may offer messages again without saying so,
// and the lane may have been forgotten by then.
func TestWhatIsOfferedAgainUnmarkedIsNotDeliveredAgain(t *testing.T) {
	f := newFar(nil)
	b := newBench(t, f, nil)
	b.message("m0", "d", "y") // the stage runs
	f.sees(t, 1)
	b.message("m1", "c", "x")
	b.message("m2", "c", "x")
	b.books(Account{Taken: 3, Delivered: 3})
	other, err := b.bus.Consume(t.Context(), bus.ConsumeConfig{Name: "other", Stream: bus.Outbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	m, err := other.Next(t.Context())
	if err == nil {
		m, err = other.Next(t.Context())
	}
	if err != nil || m.Redelivered || m.Seq != 2 {
		t.Fatalf("%+v %v", m, err)
	}
	b.until("the lane is forgotten", func() bool {
		if l := b.stage.lane("c-x", "far:x"); l != nil {
			b.stage.forget(l)
		}
		b.stage.mu.Lock()
		defer b.stage.mu.Unlock()
		return b.stage.lanes["c-x"] == nil
	})
	if err := b.stage.offer(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	b.message("m3", "c", "x")
	want(t, f.sees(t, 4), []string{"m0", "m1", "m2", "m3"})
}
