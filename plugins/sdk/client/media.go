package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/wire"
)

// bodies are the large bodies of deliveries under way that are in no store:
// the connector reads them as media.
type bodies struct {
	mu   sync.Mutex
	last int
	data map[string][]byte
}

// keep replaces a large Data by a ref to it, until forget is called.
func (b *bodies) keep(c *event.Content) (forget func()) {
	if len(c.Data) <= wire.MaxInline {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	ref := wire.DeliveryRef + strconv.Itoa(b.last)
	if b.data == nil {
		b.data = map[string][]byte{}
	}
	b.data[ref] = c.Data
	sum := sha256.Sum256(c.Data)
	c.Ref, c.SHA256, c.Size, c.Data = ref, hex.EncodeToString(sum[:]), int64(len(c.Data)), nil
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.data, ref)
	}
}

// keepAll does so with the content of a delivery and of its files, whose list
// it copies.
func (b *bodies) keepAll(d *event.Delivery) (forget func()) {
	all := []func(){b.keep(&d.Content)}
	d.Files = slices.Clone(d.Files)
	for i := range d.Files {
		all = append(all, b.keep(&d.Files[i].Content))
	}
	return func() {
		for _, f := range all {
			f()
		}
	}
}

func (b *bodies) get(ref string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.data[ref]
	return data, ok
}

// place waits for a free place among the bodies under way.
func (p *Process) place(ctx context.Context) (leave func(), err error) {
	select {
	case p.streams <- struct{}{}:
		return func() { <-p.streams }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stream opens a stream for the body that the connector's request id is about.
func (p *Process) stream(ctx context.Context, id uint64) (wire.Connector_MediaClient, error) {
	s, err := p.service.Media(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.Send(&wire.Chunk{Id: id})
}

// storeMedia takes a body from the connector and stores it.
func (p *Process) storeMedia(ctx context.Context, id uint64, q *wire.MediaStore) (*wire.Answer, error) {
	leave, err := p.place(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	s, err := p.stream(ctx, id)
	if err != nil {
		return nil, err
	}
	c, err := p.backend.Media().Store(ctx, q.GetMediaType(), &wire.Body{Recv: s.Recv})
	if err != nil {
		return nil, fmt.Errorf("store media: %w", err)
	}
	return &wire.Answer{Result: &wire.Answer_Content{Content: wire.FromContent(c)}}, nil
}

// openMedia answers whether there is such a body, and then sends it.
func (p *Process) openMedia(ctx context.Context, id uint64, c event.Content) {
	leave, err := p.place(ctx)
	if err != nil {
		p.answer(id, nil, err)
		return
	}
	defer leave()
	body, err := p.body(ctx, c)
	if err != nil {
		p.answer(id, nil, err)
		return
	}
	defer body.Close()
	p.answer(id, &wire.Answer{}, nil)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := p.stream(ctx, id)
	if err != nil {
		return // the connector has closed the body, or is gone
	}
	if wire.SendBody(body, s.Send) == nil && s.CloseSend() == nil {
		_, _ = s.Recv() // it has the whole body, or wants no more
	}
}

func (p *Process) body(ctx context.Context, c event.Content) (io.ReadCloser, error) {
	if data, ok := p.bodies.get(c.Ref); ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if c.Ref = strings.TrimPrefix(c.Ref, wire.DeliveryRef); c.Ref == "" {
		return nil, errors.Join(sdk.ErrNotFound, errors.New("content has no ref"))
	}
	return p.backend.Media().Open(ctx, c)
}
