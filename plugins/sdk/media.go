package sdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/wire"
)

// A chunks stream is one that the host opened to carry a body.
type chunks = grpc.BidiStreamingServer[wire.Chunk, wire.Chunk]

// transfers are the bodies for which the host has been asked to open a stream,
// by the id of the request.
type transfers struct {
	mu      sync.Mutex
	waiting map[uint64]func(chunks) error
}

func newTransfers() *transfers { return &transfers{waiting: map[uint64]func(chunks) error{}} }

func (t *transfers) expect(id uint64, carry func(chunks) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[id] = carry
}

// take returns what carries the body with this id, once; nil if nobody waits.
func (t *transfers) take(id uint64) func(chunks) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	carry := t.waiting[id]
	delete(t.waiting, id)
	return carry
}

// media is the connector's Media.
type media struct{ h *host }

// Store returns when r is no longer read.
func (m media) Store(ctx context.Context, mediaType string, r io.Reader) (event.Content, error) {
	t := m.h.s.transfers
	sent := make(chan struct{})
	var id uint64
	carry := func(stream chunks) error {
		defer close(sent)
		return wire.SendBody(r, stream.Send)
	}
	store := &wire.MediaStore{MediaType: wire.Clip(mediaType, wire.MaxErrorText)}
	a, err := m.h.askWith(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_MediaStore{MediaStore: store}}, func(n uint64) {
		id = n
		t.expect(id, carry)
	})
	if id != 0 && t.take(id) == nil {
		<-sent // the stream has begun: the host ends it
	}
	if err != nil {
		return event.Content{}, err
	}
	return wire.ToContent(a.GetContent()), nil
}

// Open returns a reader of the body. It ends with an error when ctx does.
func (m media) Open(ctx context.Context, c event.Content) (io.ReadCloser, error) {
	if c.Ref == "" {
		return io.NopCloser(bytes.NewReader(c.Data)), nil
	}
	t := m.h.s.transfers
	in, out := io.Pipe()
	var id uint64
	open := &wire.MediaOpen{Content: wire.FromContent(event.Content{
		MediaType: c.MediaType, Ref: c.Ref, SHA256: c.SHA256, Size: c.Size,
	})}
	_, err := m.h.askWith(ctx, &wire.ConnectorFrame{Body: &wire.ConnectorFrame_MediaOpen{MediaOpen: open}}, func(n uint64) {
		id = n
		t.expect(id, func(stream chunks) error { return receive(stream, out) })
	})
	if err != nil {
		t.take(id)
		return nil, err
	}
	b := &body{PipeReader: in}
	b.stops = []func() bool{
		context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) }),
		context.AfterFunc(m.h.s.ctx, func() { out.CloseWithError(ErrClosed) }),
	}
	b.forget = func() { t.take(id) }
	return b, nil
}

// receive writes the host's chunks into out, until the reader closes.
func receive(stream chunks, out *io.PipeWriter) error {
	_, err := io.Copy(out, &wire.Body{Recv: stream.Recv})
	out.CloseWithError(err) // nil is io.EOF
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// body is a body that the host sends while it is read.
type body struct {
	*io.PipeReader
	stops  []func() bool
	forget func()
}

// Close ends the transfer.
func (b *body) Close() error {
	for _, stop := range b.stops {
		stop()
	}
	b.forget()
	return b.PipeReader.Close()
}
