package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/wire"
)

// read takes the connector's frames until the stream ends. It waits for the
// connector only when that asks more than it may and does not take answers.
func (p *Process) read(stream wire.Connector_ControlClient) error {
	for {
		f, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		switch body := f.Body.(type) {
		case *wire.ConnectorFrame_Answer:
			p.calls.Answer(f.Id, body.Answer)
		case *wire.ConnectorFrame_Cancel:
			p.slots.Cancel(f.Id)
		default:
			if !p.slots.Go(p.ctx, f.Id, func(ctx context.Context) { p.serve(ctx, f) }) {
				p.answer(f.Id, nil, fmt.Errorf("%w: more than %d requests at once, or one id twice", sdk.ErrBusy, wire.MaxRequests))
			}
		}
	}
}

// serve answers one request of the connector.
func (p *Process) serve(ctx context.Context, f *wire.ConnectorFrame) {
	var (
		a   = &wire.Answer{}
		err error
	)
	switch body := f.Body.(type) {
	case *wire.ConnectorFrame_Put:
		var id string
		id, err = p.put(ctx, wire.ToInbound(body.Put))
		a.Result = &wire.Answer_EventId{EventId: id}
	case *wire.ConnectorFrame_Signal:
		err = p.signal(ctx, wire.ToTyping(body.Signal))
	case *wire.ConnectorFrame_Report:
		err = p.report(ctx, wire.ToReport(body.Report))
	case *wire.ConnectorFrame_Accepts:
		err = p.accepts(ctx, body.Accepts)
	case *wire.ConnectorFrame_MediaStore:
		a, err = p.storeMedia(ctx, f.Id, body.MediaStore)
	case *wire.ConnectorFrame_MediaOpen:
		p.openMedia(ctx, f.Id, wire.ToContent(body.MediaOpen.GetContent()))
		return // it has answered
	default:
		a, err = p.state(ctx, f)
	}
	p.answer(f.Id, a, err)
}

func (p *Process) answer(id uint64, a *wire.Answer, err error) {
	if err != nil {
		a = &wire.Answer{Error: wire.EncodeError(plain(err))}
	}
	// When it cannot be sent the connector is gone.
	_ = p.queue.Send(p.ctx, &wire.HostFrame{Id: id, Body: &wire.HostFrame_Answer{Answer: a}})
}

// plain takes the delivery policy off an error of the store, so that the
// connector sees which of the contract's errors it is.
func plain(err error) error {
	for _, known := range []error{sdk.ErrBusy, sdk.ErrConflict, sdk.ErrNotFound, sdk.ErrRefused} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %s", known, strings.TrimPrefix(err.Error(), known.Error()+": "))
		}
	}
	return err
}

// headroom is what the host adds to the headers of an Inbound.
const headroom = 2 << 10

func (p *Process) put(ctx context.Context, in event.Inbound) (string, error) {
	in.Origin = p.instance
	if err := p.mayPut(in); err != nil {
		return "", err
	}
	w, err := event.Encode(in)
	if err != nil {
		return "", event.Permanent(err)
	}
	size := headroom
	for k, v := range w.Header {
		size += len(k) + len(v) + len(": \r\n")
	}
	if size > event.MaxHeader {
		return "", event.Permanent(fmt.Errorf("put: all but the body takes %d bytes; at most %d are allowed", size, event.MaxHeader))
	}
	return p.backend.Put(ctx, in)
}

// mayPut checks what the connector says came in.
func (p *Process) mayPut(in event.Inbound) error {
	if err := p.maySend(in.Sender); err != nil {
		return err
	}
	if err := mayReach(in); err != nil {
		return event.Permanent(fmt.Errorf("put: %w", err))
	}
	switch {
	case in.NativeID == "" || len(in.NativeID) > event.MaxAddress:
		return event.Permanent(fmt.Errorf("put: native id of %d bytes; give 1 to %d", len(in.NativeID), event.MaxAddress))
	case len(in.Data) > wire.MaxInline:
		return event.Permanent(fmt.Errorf("put: body of %d bytes in the frame; above %d it goes by media", len(in.Data), wire.MaxInline))
	case strings.HasPrefix(in.Ref, wire.DeliveryRef):
		return event.Permanent(errors.New("put: the body is that of a delivery; store it first"))
	case len(in.Files) > maxFiles:
		return event.Permanent(fmt.Errorf("put: %d files; at most %d come with a message", len(in.Files), maxFiles))
	case slices.ContainsFunc(in.Files, unkept):
		return event.Permanent(errors.New("put: a file is not in media; store it first"))
	case !slices.Contains(puttable(), in.Kind):
		return event.Permanent(fmt.Errorf("put: kind %.40q is unknown", string(in.Kind)))
	}
	return nil
}

// maxFiles is how many files a message may have: they are headers on the bus.
const maxFiles = 32

func unkept(f event.File) bool { return f.Ref == "" || strings.HasPrefix(f.Ref, wire.DeliveryRef) }

func puttable() []event.Kind {
	return []event.Kind{event.KindMessage, event.KindEdit, event.KindRedact, event.KindReact, event.KindStatus}
}

// maySend refuses senders outside the connector's schemes.
func (p *Process) maySend(sender event.Address) error {
	if err := sender.Check(); err != nil {
		return event.Permanent(fmt.Errorf("sender: %w", err))
	}
	if !slices.Contains(p.description.Schemes, sender.Scheme()) {
		return fmt.Errorf("%w: sender of scheme %q; this connector has %s", sdk.ErrRefused, sender.Scheme(), strings.Join(p.description.Schemes, ", "))
	}
	return nil
}

func (p *Process) signal(ctx context.Context, t event.Typing) error {
	if err := p.maySend(t.Sender); err != nil {
		return err
	}
	if err := t.Recipient.Check(); err != nil {
		return event.Permanent(fmt.Errorf("signal: recipient: %w", err))
	}
	return p.backend.Signal(ctx, t)
}

func (p *Process) accepts(ctx context.Context, q *wire.Accepts) error {
	in := event.Inbound{Envelope: event.Envelope{
		Origin: p.instance, Sender: event.Address(q.GetSender()), Recipient: event.Address(q.GetRecipient()), Thread: q.GetThread(),
	}}
	if in.Sender != "" {
		if err := p.maySend(in.Sender); err != nil {
			return err
		}
	}
	if err := mayReach(in); err != nil {
		return fmt.Errorf("%w: %w", sdk.ErrRefused, err)
	}
	return p.backend.Accepts(ctx, in)
}

// mayReach checks what tells whom a message is for.
func mayReach(in event.Inbound) error {
	if len(in.Thread) > wire.MaxAnchor {
		return fmt.Errorf("thread of %d bytes; give at most %d", len(in.Thread), wire.MaxAnchor)
	}
	if in.Recipient == "" && (in.Thread != "" || in.InReplyTo != "" && isChange(in.Kind)) {
		return nil
	}
	if err := in.Recipient.Check(); err != nil {
		return fmt.Errorf("recipient: %w", err)
	}
	return nil
}

// isChange tells of kinds that belong where the message is that they concern.
func isChange(k event.Kind) bool {
	return k == event.KindEdit || k == event.KindRedact || k == event.KindReact
}

func (p *Process) report(ctx context.Context, r event.Report) error {
	if r.Outbound == "" || len(r.Outbound) > wire.MaxKey || !utf8.ValidString(r.Outbound) {
		return event.Permanent(errors.New("report: no delivery has this id"))
	}
	switch r.State {
	case event.Delivered, event.Displayed:
		r.Reason, r.Detail = "", ""
	case event.Failed:
		if r.Reason != event.ReasonRefused && r.Reason != event.ReasonExpired && r.Reason != event.ReasonExhausted {
			r.Reason = event.ReasonPermanent
		}
	default:
		return event.Permanent(fmt.Errorf("report: state %.40q; give delivered, displayed or failed", string(r.State)))
	}
	return p.backend.Report(ctx, r)
}
