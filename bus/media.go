package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"parley.im/bus/event"
)

const (
	mediaBucket = "PARLEY_MEDIA"
	mediaStream = "OBJ_" + mediaBucket
)

// Media keeps bodies that are too large for an event. Its methods may be
// called from several goroutines.
type Media struct {
	bus   *Bus
	store jetstream.ObjectStore
}

func newMedia(ctx context.Context, b *Bus) (*Media, error) {
	store, err := b.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: mediaBucket, Storage: b.storage(), Replicas: b.cfg.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("create the media store: %w", unavailable(err))
	}
	return &Media{bus: b, store: store}, nil
}

// Media returns the store of large bodies.
func (b *Bus) Media() *Media { return b.media }

// Store keeps what r yields, as a stream, and returns the Content that refers
// to it once it is stored.
func (m *Media) Store(ctx context.Context, mediaType string, r io.Reader) (event.Content, error) {
	return m.put(ctx, "media."+nuid.Next(), mediaType, r)
}

// keep stores the body of an event under a name of its own. What an earlier
// attempt has stored is not stored again.
func (m *Media) keep(ctx context.Context, name string, c event.Content) (event.Content, error) {
	sum := sha256.Sum256(c.Data)
	info, err := m.store.GetInfo(ctx, name)
	if err == nil && info.Size == uint64(len(c.Data)) && info.Metadata["sha256"] == hex.EncodeToString(sum[:]) {
		return event.Content{MediaType: c.MediaType, Ref: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(info.Size)}, nil
	}
	return m.putSum(ctx, name, c.MediaType, bytes.NewReader(c.Data), hex.EncodeToString(sum[:]))
}

func (m *Media) put(ctx context.Context, name, mediaType string, r io.Reader) (event.Content, error) {
	return m.putSum(ctx, name, mediaType, r, "")
}

// putSum stores under name; sum is the body's SHA-256 where it is known.
func (m *Media) putSum(ctx context.Context, name, mediaType string, r io.Reader, sum string) (event.Content, error) {
	if err := m.bus.enter(); err != nil {
		return event.Content{}, fmt.Errorf("store media: %w", err)
	}
	defer m.bus.leave()
	if err := m.bus.space.check(); err != nil {
		return event.Content{}, fmt.Errorf("store media: %w", err)
	}
	h := sha256.New()
	meta := jetstream.ObjectMeta{Name: name}
	if sum != "" {
		meta.Metadata = map[string]string{"sha256": sum}
	}
	info, err := m.store.Put(ctx, meta, &fullReader{io.TeeReader(r, h)})
	if err == nil {
		err = m.bus.durable(ctx, mediaStream, 0)
	}
	if err != nil {
		return event.Content{}, fmt.Errorf("store media: %w", unavailable(err))
	}
	return event.Content{
		MediaType: mediaType, Ref: name, SHA256: hex.EncodeToString(h.Sum(nil)), Size: int64(info.Size),
	}, nil
}

// Open returns the body of c, whether it is in Data or in Media, or
// ErrNotFound. Reading a stored body to its end fails when it is not what was
// stored. The caller closes it.
func (m *Media) Open(ctx context.Context, c event.Content) (io.ReadCloser, error) {
	if c.Ref == "" {
		return io.NopCloser(bytes.NewReader(c.Data)), nil
	}
	o, err := m.store.Get(ctx, c.Ref)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("media %s: %w", c.Ref, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("media %s: %w", c.Ref, unavailable(err))
	}
	return o, nil
}

// Load returns c with its body in Data. A body in Media is fetched and its
// size and SHA-256 are checked.
func (b *Bus) Load(ctx context.Context, c event.Content) (event.Content, error) {
	if c.Ref == "" {
		return c, nil
	}
	r, err := b.media.Open(ctx, c)
	if err != nil {
		return c, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, c.Size+1))
	if err != nil {
		return c, fmt.Errorf("media %s: %w", c.Ref, unavailable(err))
	}
	sum := sha256.Sum256(data)
	if int64(len(data)) != c.Size || hex.EncodeToString(sum[:]) != c.SHA256 {
		return c, fmt.Errorf("media %s: the body is not the one that was stored", c.Ref)
	}
	return event.Content{MediaType: c.MediaType, Data: data}, nil
}

// fullReader fills the buffer it is given as long as there is something to
// read, so that small reads do not become small chunks.
type fullReader struct{ r io.Reader }

func (f *fullReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
