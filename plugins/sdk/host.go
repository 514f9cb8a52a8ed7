package sdk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/wire"
)

// host is the connector's view of its session.
type host struct{ s *session }

// ask sends one request and waits for the answer.
func (h *host) ask(ctx context.Context, f *wire.ConnectorFrame) (*wire.Answer, error) {
	return h.askWith(ctx, f, func(uint64) {})
}

// askWith tells prepare the request's id before it is sent.
func (h *host) askWith(ctx context.Context, f *wire.ConnectorFrame, prepare func(id uint64)) (*wire.Answer, error) {
	send := func(id uint64) error {
		prepare(id)
		f.Id = id
		err := h.s.queue.Send(ctx, f)
		if err != nil && ctx.Err() == nil && !event.IsPermanent(err) {
			return ErrClosed
		}
		return err
	}
	cancel := func(id uint64) {
		h.s.queue.TrySend(&wire.ConnectorFrame{Id: id, Body: &wire.ConnectorFrame_Cancel{Cancel: &wire.Cancel{}}})
	}
	return h.s.calls.Do(ctx, send, cancel)
}

// Put stores a large body first, so that the message itself stays small.
func (h *host) Put(ctx context.Context, in event.Inbound) (string, error) {
	if in.NativeID == "" || !utf8.ValidString(in.NativeID) {
		return "", event.Permanent(errors.New("put: NativeID must be given, in UTF-8"))
	}
	if len(in.Data) > wire.MaxInline {
		c, err := h.Media().Store(ctx, in.MediaType, bytes.NewReader(in.Data))
		if err != nil {
			return "", err
		}
		in.Content = c
	}
	a, err := h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_Put{Put: wire.FromInbound(in)}})
	return a.GetEventId(), err
}

func (h *host) Signal(ctx context.Context, t event.Typing) error {
	_, err := h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_Signal{Signal: wire.FromTyping(t)}})
	return err
}

func (h *host) Report(ctx context.Context, r event.Report) error {
	_, err := h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_Report{Report: wire.FromReport(r)}})
	return err
}

func (h *host) Accepts(ctx context.Context, in event.Inbound) error {
	q := &wire.Accepts{Sender: string(in.Sender), Recipient: string(in.Recipient), Thread: in.Thread}
	if !utf8.ValidString(q.Sender + q.Recipient + q.Thread) {
		return ErrRefused
	}
	_, err := h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_Accepts{Accepts: q}})
	return err
}

func (h *host) State() State                { return state{h} }
func (h *host) Media() Media                { return media{h} }
func (h *host) Serve(hh http.Handler) error { return h.s.web.serve(hh, h.s.log) }
func (h *host) Log() *slog.Logger           { return h.s.log }

// state is the connector's State.
type state struct{ h *host }

func (s state) Get(ctx context.Context, key string) (Entry, error) {
	if err := wire.CheckKey(key); err != nil {
		return Entry{}, err
	}
	a, err := s.h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_StateGet{StateGet: &wire.StateGet{Key: key}}})
	if err != nil {
		return Entry{}, err
	}
	found := a.GetEntries().GetEntries()
	if len(found) == 0 {
		return Entry{}, ErrNotFound
	}
	return entry(found[0]), nil
}

func (s state) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := errors.Join(wire.CheckKey(key), wire.CheckValue(value)); err != nil {
		return 0, err
	}
	put := &wire.StatePut{Key: key, Value: value, Revision: revision}
	a, err := s.h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_StatePut{StatePut: put}})
	return a.GetRevision(), err
}

func (s state) Delete(ctx context.Context, key string, revision uint64) error {
	if err := wire.CheckKey(key); err != nil {
		return err
	}
	del := &wire.StateDelete{Key: key, Revision: revision}
	_, err := s.h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_StateDelete{StateDelete: del}})
	return err
}

// List asks again as long as the host had to stop at a full frame.
func (s state) List(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if !utf8.ValidString(prefix) || !utf8.ValidString(after) {
		return nil, event.Permanent(errors.New("state: prefix and after must be UTF-8"))
	}
	var list []Entry
	for len(list) < limit {
		q := &wire.StateList{Prefix: prefix, After: after, Limit: int32(min(limit-len(list), 1<<20))}
		a, err := s.h.ask(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_StateList{StateList: q}})
		if err != nil {
			return nil, err
		}
		page := a.GetEntries()
		for _, e := range page.GetEntries() {
			list = append(list, entry(e))
			after = e.GetKey()
		}
		if !page.GetMore() || len(page.GetEntries()) == 0 {
			break
		}
	}
	return list, nil
}

func entry(e *wire.Entry) Entry {
	return Entry{Key: e.GetKey(), Value: e.GetValue(), Revision: e.GetRevision()}
}
