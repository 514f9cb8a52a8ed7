package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/wire"
)

// session is a connector's life with its host: it works on the host's requests
// and carries the connector's own, all over one stream.
type session struct {
	connector Connector
	about     Description
	log       *slog.Logger
	calls     *wire.Calls
	queue     *wire.Queue[*wire.ConnectorFrame]
	slots     *wire.Slots
	transfers *transfers
	web       web
	ctx       context.Context // of everything the connector does
	stop      context.CancelFunc

	mu    sync.Mutex
	stage stage
}

// stage is how far the connector's life has come.
type stage int

const (
	fresh stage = iota
	opening
	open
	closed
)

func newSession(c Connector, about Description, log *slog.Logger) *session {
	ctx, stop := context.WithCancel(context.Background())
	return &session{
		connector: c, about: about, log: log, ctx: ctx, stop: stop,
		calls: wire.NewCalls(), queue: wire.NewQueue[*wire.ConnectorFrame](), slots: wire.NewSlots(),
		transfers: newTransfers(),
	}
}

// run reads the host's frames until it is gone. What is still being worked on
// then is told to stop, and not waited for: the program ends.
func (s *session) run(stream grpc.BidiStreamingServer[wire.HostFrame, wire.ConnectorFrame]) error {
	var writing sync.WaitGroup
	writing.Go(func() {
		// An error ends the stream, which Recv below notices too.
		_ = s.queue.Run(stream.Context(), stream.Send)
	})
	defer writing.Wait()
	defer s.calls.Close(ErrClosed)
	for {
		f, err := stream.Recv()
		if err != nil {
			return nil
		}
		s.handle(stream.Context(), f)
	}
}

// handle begins to work on one frame. It blocks only while the host does not
// take answers.
func (s *session) handle(ctx context.Context, f *wire.HostFrame) {
	switch body := f.Body.(type) {
	case *wire.HostFrame_Answer:
		s.calls.Answer(f.Id, body.Answer)
	case *wire.HostFrame_Cancel:
		s.slots.Cancel(f.Id)
	case *wire.HostFrame_Ping:
		s.answer(ctx, f.Id, &wire.Answer{}, nil)
	default:
		taken := s.slots.Go(s.ctx, f.Id, func(ctx context.Context) {
			a, err := s.work(ctx, f)
			s.answer(s.ctx, f.Id, a, err)
		})
		if !taken {
			err := event.Retry(event.ScopeConnector, 0, errors.New("too many requests at once"))
			s.answer(ctx, f.Id, nil, err)
		}
	}
}

func (s *session) answer(ctx context.Context, id uint64, a *wire.Answer, err error) {
	if err != nil {
		if a == nil {
			a = &wire.Answer{}
		}
		a.Error = wire.EncodeError(err)
	}
	f := &wire.ConnectorFrame{Id: id, Body: &wire.ConnectorFrame_Answer{Answer: a}}
	if err := s.queue.Send(ctx, f); event.IsPermanent(err) { // too large; any other: the host is gone
		f.Body = &wire.ConnectorFrame_Answer{Answer: &wire.Answer{Error: wire.EncodeError(errors.New(err.Error()))}}
		_ = s.queue.Send(ctx, f)
	}
}

// work does what one request of the host asks.
func (s *session) work(ctx context.Context, f *wire.HostFrame) (*wire.Answer, error) {
	switch body := f.Body.(type) {
	case *wire.HostFrame_Open:
		return &wire.Answer{}, s.open(ctx, body.Open)
	case *wire.HostFrame_Deliver:
		return s.deliver(ctx, wire.ToDelivery(body.Deliver))
	case *wire.HostFrame_Find:
		return s.find(ctx, body.Find)
	case *wire.HostFrame_Close:
		return &wire.Answer{}, s.close(ctx)
	}
	return nil, errors.New("this connector does not know the request")
}

func (s *session) open(ctx context.Context, o *wire.Open) error {
	if !s.step(fresh, opening) {
		return errors.New("open: it is open already")
	}
	s.web.path = o.HttpSocket
	settings := Settings{Instance: o.Instance, JSON: o.Settings}
	for _, a := range o.Places {
		settings.Places = append(settings.Places, event.Address(a))
	}
	if err := s.connector.Open(ctx, settings, &host{s}); err != nil {
		s.step(opening, closed)
		s.web.close()
		return err
	}
	if !s.step(opening, open) {
		return ErrClosed
	}
	return nil
}

// step goes from one stage to another and tells whether it could.
func (s *session) step(from, to stage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage != from {
		return false
	}
	s.stage = to
	return true
}

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stage == open
}

// notOpen is the answer before Open and after Close: nothing was sent.
func notOpen() error {
	return event.Retry(event.ScopeConnector, 0, errors.New("the connector is not open"))
}

func (s *session) deliver(ctx context.Context, d event.Delivery) (*wire.Answer, error) {
	if !s.isOpen() {
		return nil, notOpen()
	}
	if !slices.Contains(s.about.Kinds, d.Kind) {
		return nil, event.Permanent(fmt.Errorf("kind %q is not taken by this connector", d.Kind))
	}
	r, err := s.connector.Deliver(ctx, d)
	if err != nil && r.Anchor == "" {
		return nil, err
	}
	return &wire.Answer{Result: &wire.Answer_Receipt{Receipt: wire.FromReceipt(r)}}, err
}

func (s *session) find(ctx context.Context, f *wire.Find) (*wire.Answer, error) {
	finder, ok := s.connector.(Finder)
	if !ok {
		return nil, errors.New("this connector cannot find deliveries")
	}
	if !s.isOpen() {
		return nil, notOpen()
	}
	r, found, err := finder.Find(ctx, wire.ToDelivery(f.Delivery), f.First.AsTime())
	if err != nil {
		return nil, err
	}
	if !found {
		return &wire.Answer{Result: &wire.Answer_NotSent{NotSent: true}}, nil
	}
	return &wire.Answer{Result: &wire.Answer_Receipt{Receipt: wire.FromReceipt(r)}}, nil
}

// close leaves the network, once, and stops serving HTTP.
func (s *session) close(ctx context.Context) error {
	if !s.step(open, closed) {
		s.step(fresh, closed)
		return nil
	}
	defer s.web.close()
	return s.connector.Close(ctx)
}
