package plughost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/counting"
)

// TestMain serves a connector when a test has started this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		sdk.Serve(&odd{Connector: counting.New(), way: os.Args[2]})
	}
	os.Exit(m.Run())
}

// odd is the counting connector, odd in one way.
type odd struct {
	sdk.Connector
	way  string
	host sdk.Host
}

func (o *odd) Describe() sdk.Description {
	d := o.Connector.Describe()
	d.HTTP = true
	return d
}

func (o *odd) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	o.host = h
	switch o.way {
	case "stuck":
		select {}
	case "offline":
		return errors.New("the network is away")
	case "misconfigured":
		return event.Permanent(errors.New("the token is wrong"))
	case "first fails":
		if _, err := h.State().Put(ctx, "tried", nil, 0); err == nil {
			return errors.New("not yet")
		}
	}
	return o.Connector.Open(ctx, sdk.Settings{JSON: []byte("{}")}, h)
}

func (o *odd) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	if string(d.Data) == "hang" {
		select {}
	}
	return o.Connector.Deliver(ctx, d)
}

func (o *odd) Close(ctx context.Context) error {
	if o.way == "stubborn" {
		select {}
	}
	// What Close does is seen in the store.
	_, err := o.host.State().Put(ctx, "closed", nil, 0)
	return err
}

// quick is a Timing for tests.
func quick() Timing {
	return Timing{
		Open: 2 * time.Second, PingEvery: 50 * time.Millisecond, PingWait: 2 * time.Second, Grace: 3 * time.Second,
		BackoffMin: 10 * time.Millisecond, BackoffMax: 40 * time.Millisecond, Crashes: 100, FailedWait: time.Hour,
	}
}

// run runs a connector until the test ends, or stop is called.
func run(t *testing.T, way string, tm Timing, onUp ...func()) (c *Connector, b *sdktest.Backend, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	b = sdktest.NewBackend()
	c = New(Config{Name: "counter", Command: []string{os.Args[0], "serve", way}, SocketDir: dir, Timing: tm}, b)
	for _, f := range onUp {
		c.OnUp(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once atomic.Bool
	stop = func() {
		if !once.CompareAndSwap(false, true) {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left in the folder for sockets: %v", left)
		}
		os.RemoveAll(dir)
	}
	t.Cleanup(stop)
	return c, b, stop
}

// await waits until the state is as wanted.
func await(t *testing.T, c *Connector, what string, want func(State) bool) State {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		changed := c.Changed()
		s := c.State()
		if want(s) {
			return s
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: the state is %+v", what, s)
		}
	}
}

func up(s State) bool { return s.Up() }

func delivery(text string) event.Delivery {
	return event.Delivery{ID: "o1", Kind: event.KindMessage, Target: "count:room", Content: event.Content{Data: []byte(text)}}
}

func TestAConnectorComesUpAndStops(t *testing.T) {
	c, b, stop := run(t, "well", quick())
	if _, err := c.Deliver(t.Context(), delivery("early")); !errors.Is(err, ErrDown) && err != nil {
		t.Errorf("deliver before it is up: got %v", err)
	}
	<-c.Ready()
	if d := c.Description(); d.Network != counting.Network || c.HTTPSocket() == "" {
		t.Errorf("described as %+v, HTTP at %q", d, c.HTTPSocket())
	}
	if r, err := c.Deliver(t.Context(), delivery("hello")); err != nil || r.State != event.Delivered {
		t.Errorf("deliver: got %+v, %v", r, err)
	}
	if _, _, err := c.Find(t.Context(), delivery("hello"), time.Now()); err == nil {
		t.Error("it finds although it cannot")
	}
	stop()
	if s := c.State(); s.Phase != Stopped || s.PID != 0 || c.HTTPSocket() != "" {
		t.Errorf("stopped, the state is %+v", s)
	}
	if _, err := b.State().Get(t.Context(), "closed"); err != nil {
		t.Errorf("it was not closed: %v", err)
	}
	_, err := c.Deliver(t.Context(), delivery("late"))
	scope, after, ok := event.AsRetry(err)
	if !errors.Is(err, ErrDown) || !ok || scope != event.ScopeConnector || after != event.UntilWoken {
		t.Errorf("deliver when stopped: got %v", err)
	}
}

func TestAKilledProcessIsReplacedSoon(t *testing.T) {
	tm := quick()
	tm.BackoffMin, tm.BackoffMax = 0, 0 // as in production
	c, _, _ := run(t, "well", tm)
	<-c.Ready()
	first := await(t, c, "up", up)
	done := make(chan error, 1)
	go func() {
		_, err := c.Deliver(context.Background(), delivery("hang"))
		done <- err
	}()
	if err := c.current().Ping(t.Context()); err != nil { // the delivery is before it
		t.Fatal(err)
	}
	killed := time.Now()
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := <-done
	if _, _, retry := event.AsRetry(err); !errors.Is(err, client.ErrGone) || retry || event.IsPermanent(err) {
		t.Errorf("the delivery under way: got %v; want an unknown outcome", err)
	}
	s := await(t, c, "up again", func(s State) bool { return s.Up() && s.PID != first.PID })
	if took := time.Since(killed); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if s.Restarts != 1 || s.Err == "" {
		t.Errorf("the state is %+v", s)
	}
	if _, err := c.Deliver(t.Context(), delivery("hello")); err != nil {
		t.Error(err)
	}
}

func TestAFrozenProcessIsReplaced(t *testing.T) {
	tm := quick()
	tm.PingWait = 300 * time.Millisecond
	ups := make(chan struct{}, 10)
	c, _, _ := run(t, "well", tm, func() { ups <- struct{}{} })
	<-ups
	first := await(t, c, "up", up)
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s := await(t, c, "up again", func(s State) bool { return s.Up() && s.PID != first.PID })
	<-ups // it is told each time
	if !strings.Contains(s.Err, "hangs") {
		t.Errorf("the reason is %q", s.Err)
	}
}

func TestWhatDoesNotOpenIsTriedAgain(t *testing.T) {
	tm := quick()
	tm.Open = 300 * time.Millisecond
	for _, tc := range []struct {
		way   string
		phase Phase
		err   string
	}{
		{"stuck", Backoff, "deadline"},
		{"offline", Backoff, "the network is away"},
		{"misconfigured", Broken, "the token is wrong"},
	} {
		t.Run(tc.way, func(t *testing.T) {
			c, _, _ := run(t, tc.way, tm)
			s := await(t, c, tc.way, func(s State) bool { return s.Phase == tc.phase })
			if !strings.Contains(s.Err, tc.err) {
				t.Errorf("the reason is %q; want %q", s.Err, tc.err)
			}
			select {
			case <-c.Ready():
				t.Error("it is ready")
			default:
			}
		})
	}
}

func TestOneThatOpensAtLastIsUp(t *testing.T) {
	c, _, _ := run(t, "first fails", quick())
	<-c.Ready()
	if s := await(t, c, "up", up); s.Restarts != 1 {
		t.Errorf("the state is %+v", s)
	}
}

func TestOneThatDoesNotLeaveIsKilledWithinTheGrace(t *testing.T) {
	tm := quick()
	tm.Grace = 300 * time.Millisecond
	c, _, stop := run(t, "stubborn", tm)
	<-c.Ready()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAnotherBinaryIsNotStarted(t *testing.T) {
	program := filepath.Join(t.TempDir(), "connector")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho started >&2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Describe(t.Context(), Config{Name: "x", Command: []string{program}, SHA256: strings.Repeat("ab", 32), SocketDir: t.TempDir()})
	if !errors.Is(err, client.ErrChecksum) || strings.Contains(err.Error(), "started") {
		t.Errorf("got %v", err)
	}
}

func TestDescribeAsksWithoutOpening(t *testing.T) {
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d, err := Describe(t.Context(), Config{Name: "x", Command: []string{os.Args[0], "serve", "stuck"}, SocketDir: dir})
	if err != nil || d.Network != counting.Network {
		t.Errorf("got %+v, %v", d, err)
	}
	if bad := CheckSettings(d.Settings, []byte(`{"dellay_ms": 5}`)); len(bad) != 1 || bad[0].Path != "dellay_ms" {
		t.Errorf("a misspelt key: got %v", bad)
	}
	if _, err := Describe(t.Context(), Config{Name: "x"}); err == nil {
		t.Error("no command is no error")
	}
}

func TestTheWaitGrowsAndTheBudgetEnds(t *testing.T) {
	b := budget{timing: Timing{Crashes: 6}.withDefaults()}
	now := time.Unix(1_000_000, 0)
	near := func(d, want time.Duration) bool { return d >= want*4/5 && d <= want*6/5 }
	for i, want := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} {
		if phase, wait := b.next(now, 0, io.EOF); phase != Backoff || !near(wait, want) {
			t.Errorf("crash %d: %s for %v; want %v", i+1, phase, wait, want)
		}
	}
	if phase, wait := b.next(now, 0, io.EOF); phase != Broken || !near(wait, 5*time.Minute) {
		t.Errorf("crash 6: %s for %v", phase, wait)
	}
	now = now.Add(6 * time.Minute)
	if phase, wait := b.next(now, time.Minute, io.EOF); phase != Backoff || !near(wait, 250*time.Millisecond) {
		t.Errorf("after a healthy life: %s for %v", phase, wait)
	}
	if phase, _ := b.next(now, 0, fmt.Errorf("open: %w", event.Permanent(io.EOF))); phase != Broken {
		t.Errorf("hopeless: %s", phase)
	}
}
