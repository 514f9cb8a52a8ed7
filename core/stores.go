package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/config"
	"parley.im/core/conversation"
	"parley.im/plugins/sdk"
)

// stateBucket is a connector's State on the bus.
type stateBucket struct{ b *bus.Bucket }

func (s stateBucket) Get(ctx context.Context, key string) (sdk.Entry, error) {
	e, err := s.b.Get(ctx, key)
	return sdk.Entry(e), stateError(err)
}

func (s stateBucket) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := s.b.Put(ctx, key, value, revision)
	return rev, stateError(err)
}

func (s stateBucket) Delete(ctx context.Context, key string, revision uint64) error {
	return stateError(s.b.DeleteAt(ctx, key, revision))
}

func (s stateBucket) List(ctx context.Context, prefix, after string, limit int) ([]sdk.Entry, error) {
	found, err := s.b.List(ctx, prefix, after, limit)
	entries := make([]sdk.Entry, len(found))
	for i, e := range found {
		entries[i] = sdk.Entry(e)
	}
	return entries, stateError(err)
}

// stateError turns the bus's errors into those of the contract.
func stateError(err error) error {
	switch {
	case errors.Is(err, bus.ErrNotFound):
		return sdk.ErrNotFound
	case errors.Is(err, bus.ErrConflict):
		return sdk.ErrConflict
	case errors.Is(err, bus.ErrFull), errors.Is(err, bus.ErrUnavailable):
		return fmt.Errorf("%w: %w", sdk.ErrBusy, err)
	}
	return err
}

// mediaStore is the contract's Media on the bus.
type mediaStore struct {
	m    *bus.Media
	most func() int64 // bytes that one body may have
}

// Store keeps nothing of what is too large.
func (s mediaStore) Store(ctx context.Context, mediaType string, r io.Reader) (event.Content, error) {
	most := s.most()
	c, err := s.m.Store(ctx, mediaType, &limited{r, most})
	if errors.Is(err, errLarge) {
		return c, event.Permanent(fmt.Errorf("%w; files.max allows %d bytes", errLarge, most))
	}
	return c, stateError(err)
}

var errLarge = errors.New("the file is too large")

// limited reads at most a number of bytes, and fails when there are more.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return 0, errLarge
	}
	return n, err
}

func (s mediaStore) Open(ctx context.Context, c event.Content) (io.ReadCloser, error) {
	r, err := s.m.Open(ctx, c)
	return r, stateError(err)
}

// socketDir returns the folder of the connectors' sockets, private to this
// user. Paths of unix sockets must be short, so a store folder with a long
// name has its sockets in the temporary folder.
func socketDir(c *config.Config) (string, error) {
	dir, err := filepath.Abs(filepath.Join(c.Bus.Data, "sockets"))
	if err != nil {
		return "", err
	}
	if len(dir) > 60 {
		return os.MkdirTemp("", "parley-")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("bus.data: %w", err)
	}
	return dir, nil
}

// talkBucket is what the conversations are remembered in.
type talkBucket struct{ b *bus.Bucket }

func (s talkBucket) Get(ctx context.Context, key string) ([]byte, error) {
	e, err := s.b.Get(ctx, key)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, conversation.ErrNotFound
	}
	return e.Value, err
}

func (s talkBucket) Set(ctx context.Context, key string, value []byte) error {
	_, err := s.b.Set(ctx, key, value)
	return err
}

// bindingBucket keeps the registrations of phones over a restart.
type bindingBucket struct{ b *bus.Bucket }

func (s bindingBucket) Save(ctx context.Context, aor event.Address, value []byte) error {
	if len(value) == 0 {
		return s.b.Delete(ctx, string(aor))
	}
	_, err := s.b.Set(ctx, string(aor), value)
	return err
}

func (s bindingBucket) Load(ctx context.Context) (map[event.Address][]byte, error) {
	entries, err := s.b.List(ctx, "", "", 0)
	all := map[event.Address][]byte{}
	for _, e := range entries {
		all[event.Address(e.Key)] = e.Value
	}
	return all, err
}
