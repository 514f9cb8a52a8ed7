package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/wire"
)

// Process is a connector's running process. Its methods may be called from
// several goroutines. Close or Kill must be called in the end, also after the
// process has ended by itself.
type Process struct {
	name        string
	dir         string // its sockets
	logs        *logs
	child       *child
	plug        *plugin.Client
	conn        *grpc.ClientConn
	service     wire.ConnectorClient
	description sdk.Description

	instance string
	backend  Backend
	calls    *wire.Calls
	queue    *wire.Queue[*wire.HostFrame]
	slots    *wire.Slots
	bodies   bodies
	streams  chan struct{} // a place for each body that is under way
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
	opened   atomic.Bool

	once sync.Once
	gone chan struct{}
	err  error // set before gone is closed
	kill sync.Once
}

// maxStreams is how many large bodies are under way at once.
const maxStreams = 8

func newProcess(name, dir string, l *logs) *Process {
	ctx, stop := context.WithCancel(context.Background())
	return &Process{
		name: name, dir: dir, logs: l, ctx: ctx, stop: stop,
		calls: wire.NewCalls(), queue: wire.NewQueue[*wire.HostFrame](), slots: wire.NewSlots(),
		streams: make(chan struct{}, maxStreams), gone: make(chan struct{}),
	}
}

// Description returns what the connector said it can do, checked.
func (p *Process) Description() sdk.Description { return p.description }

// PID returns the process id.
func (p *Process) PID() int { return p.child.pid }

// Done is closed when the process has ended or no longer speaks.
func (p *Process) Done() <-chan struct{} { return p.gone }

// Err says why Done is closed.
func (p *Process) Err() error {
	<-p.gone
	return p.err
}

// HTTPSocket returns where the connector serves HTTP, "" if it does not.
func (p *Process) HTTPSocket() string {
	if !p.description.HTTP {
		return ""
	}
	return filepath.Join(p.dir, "http")
}

// Open begins the conversation, hands over the settings and returns when the
// connector takes deliveries. From now on b is asked. It is called once.
func (p *Process) Open(ctx context.Context, s sdk.Settings, b Backend) error {
	if !p.opened.CompareAndSwap(false, true) {
		return errors.New("open: it is open already")
	}
	p.instance, p.backend = s.Instance, b
	stream, err := p.service.Control(p.ctx)
	if err != nil {
		return fmt.Errorf("open %s: %w", p.name, err)
	}
	p.running.Go(func() {
		// Its error ends the stream, which the reader notices.
		_ = p.queue.Run(p.ctx, stream.Send)
	})
	p.running.Go(func() { p.fail(p.read(stream)) })
	p.running.Go(p.watch)
	o := &wire.Open{Instance: s.Instance, Settings: s.JSON, HttpSocket: p.HTTPSocket()}
	for _, a := range s.Places {
		o.Places = append(o.Places, string(a))
	}
	if len(o.Settings) == 0 {
		o.Settings = []byte("{}")
	}
	if _, err := p.ask(ctx, &wire.HostFrame{Body: &wire.HostFrame_Open{Open: o}}); err != nil {
		return fmt.Errorf("open %s: %w", p.name, err)
	}
	return nil
}

// watch notices the end of the process.
func (p *Process) watch() {
	select {
	case <-p.child.ended:
		p.fail(fmt.Errorf("the process ended: %w", describeExit(p.child.result)))
	case <-p.ctx.Done():
	}
}

// describeExit never returns nil.
func describeExit(err error) error {
	if err == nil {
		return errors.New("by itself")
	}
	return err
}

// fail ends everything that waits for the connector. The first reason counts.
func (p *Process) fail(err error) {
	p.once.Do(func() {
		p.err = fmt.Errorf("%s: %w", p.name, err)
		p.calls.Close(fmt.Errorf("%w: %s: %w", ErrGone, p.name, err))
		close(p.gone)
		p.stop()
	})
}

// ask sends one request and waits for the answer.
func (p *Process) ask(ctx context.Context, f *wire.HostFrame) (*wire.Answer, error) {
	send := func(id uint64) error {
		f.Id = id
		err := p.queue.Send(ctx, f)
		if err != nil && ctx.Err() == nil && !event.IsPermanent(err) {
			return fmt.Errorf("%w: %s", ErrGone, p.name)
		}
		return err
	}
	cancel := func(id uint64) {
		p.queue.TrySend(&wire.HostFrame{Id: id, Body: &wire.HostFrame_Cancel{Cancel: &wire.Cancel{}}})
	}
	return p.calls.Do(ctx, send, cancel)
}

// Deliver hands over one message. When the connector goes away meanwhile, or
// ctx ends, the outcome is unknown: the error has no policy. Beside an error the
// receipt may have an Anchor.
func (p *Process) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	forget := p.bodies.keepAll(&d)
	defer forget()
	a, err := p.ask(ctx, &wire.HostFrame{Body: &wire.HostFrame_Deliver{Deliver: wire.FromDelivery(d)}})
	if err != nil && a.GetReceipt() != nil {
		return event.Receipt{Anchor: wire.ToReceipt(a.GetReceipt()).Anchor}, err
	}
	if err != nil {
		return event.Receipt{}, err
	}
	if a.GetReceipt() == nil {
		return event.Receipt{}, errors.New("the connector answered a delivery without a receipt")
	}
	return wire.ToReceipt(a.GetReceipt()), nil
}

// Find asks whether an earlier Deliver of d reached the network; see
// sdk.Finder.
func (p *Process) Find(ctx context.Context, d event.Delivery, first time.Time) (event.Receipt, bool, error) {
	forget := p.bodies.keepAll(&d)
	defer forget()
	f := &wire.Find{Delivery: wire.FromDelivery(d), First: wire.Stamp(first)}
	a, err := p.ask(ctx, &wire.HostFrame{Body: &wire.HostFrame_Find{Find: f}})
	switch {
	case err != nil:
		return event.Receipt{}, false, err
	case a.GetReceipt() != nil:
		return wire.ToReceipt(a.GetReceipt()), true, nil
	case a.GetNotSent():
		return event.Receipt{}, false, nil
	}
	return event.Receipt{}, false, errors.New("the connector answered find without a result")
}

// Ping returns when the connector has answered that it is there.
func (p *Process) Ping(ctx context.Context) error {
	_, err := p.ask(ctx, &wire.HostFrame{Body: &wire.HostFrame_Ping{Ping: &wire.Ping{}}})
	return err
}

// Close asks the connector to leave its network, ends the process and releases
// what belongs to it. When ctx ends first, the process is killed. The error
// says that it did not leave in good order.
func (p *Process) Close(ctx context.Context) error {
	var err error
	if p.opened.Load() {
		_, err = p.ask(ctx, &wire.HostFrame{Body: &wire.HostFrame_Close{Close: &wire.Close{}}})
	}
	p.child.closeInput()
	select {
	case <-p.child.ended:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("%s: did not end in time and was killed", p.name))
	}
	p.Kill()
	return err
}

// Abandon does what a host does that dies: it lets go of the process without a
// word. It returns nil when the process has ended by itself before ctx ended;
// else it is killed. It is for tests of connectors.
func (p *Process) Abandon(ctx context.Context) error {
	p.fail(errors.New("abandoned"))
	p.child.closeInput()
	_ = p.conn.Close()
	var err error
	select {
	case <-p.child.ended:
	case <-ctx.Done():
		err = fmt.Errorf("%s: still runs although its host is gone", p.name)
	}
	p.Kill()
	return err
}

// Kill ends the process at once, if it still runs, and releases what belongs
// to it. It returns when all of that is gone. It may be called again.
func (p *Process) Kill() {
	p.kill.Do(func() {
		p.fail(errors.New("ended by the host"))
		if p.child != nil {
			p.child.end()
			p.child.closeInput()
		}
		if p.plug != nil {
			p.plug.Kill()
		}
		p.running.Wait()
		p.slots.Wait()
		_ = os.RemoveAll(p.dir)
	})
}
