package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// scrubFile is where a block is written anew, beside the store.
const scrubFile = "scrub"

// Scrub overwrites what the files of the embedded server still hold of
// messages that are gone: deleted, trimmed, or a former value of a key. The
// server deletes lazily and leaves the bytes in place until a block is written
// anew. So it is stopped for a moment: events wait or are refused with
// ErrUnavailable meanwhile, and readers go on by themselves. It returns the
// number of records that were overwritten. It does nothing for external
// servers and for a log in memory. It may be called again after an error.
func (b *Bus) Scrub(ctx context.Context) (records int, err error) {
	if b.server == nil || b.cfg.Durability == Memory {
		return 0, nil
	}
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	gone, err := b.gone(ctx)
	if err != nil {
		return 0, fmt.Errorf("scrub: %w", unavailable(err))
	}
	files, err := b.server.stained(gone) // while it runs, so that it stands still for what has to be written only
	if err != nil {
		return 0, fmt.Errorf("scrub: %w", err)
	}
	b.mending.Lock()
	defer b.mending.Unlock()
	b.health.pause(fmt.Errorf("%w: the store is being scrubbed", ErrUnavailable))
	b.server.shutdown()
	for _, f := range files {
		n, failed := b.server.scrub(f, gone[f.stream])
		records, err = records+n, errors.Join(err, failed)
	}
	if failed := b.resume(); failed != nil {
		b.suspect(failed.Error())
		return records, fmt.Errorf("scrub: %w", errors.Join(err, failed))
	}
	b.health.mend()
	if err != nil {
		return records, fmt.Errorf("scrub: %w", err)
	}
	return records, nil
}

// resume starts the server again.
func (b *Bus) resume() error {
	if err := b.server.restart(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*attempt)
	defer cancel()
	if err := b.reconnected(ctx); err != nil {
		return err
	}
	return b.probe(ctx, attempt)
}

// A remainder is what of a stream's sequences is gone.
type remainder struct {
	first, last uint64 // of what the stream holds
	deleted     map[uint64]bool
}

// has tells whether the message with a sequence is gone. What came after the
// stream was looked at is not.
func (r remainder) has(seq uint64) bool {
	return seq > 0 && seq <= r.last && (seq < r.first || r.deleted[seq])
}

// gone asks the server for what is gone of each of its streams.
func (b *Bus) gone(ctx context.Context) (map[string]remainder, error) {
	ctx, cancel := context.WithTimeout(ctx, trimLimit)
	defer cancel()
	all := map[string]remainder{}
	names := b.js.StreamNames(ctx)
	for name := range names.Name() {
		stream, err := b.js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
		if err != nil {
			return nil, err
		}
		r := remainder{first: info.State.FirstSeq, last: info.State.LastSeq, deleted: map[uint64]bool{}}
		for _, seq := range info.State.Deleted {
			r.deleted[seq] = true
		}
		all[name] = r
	}
	return all, names.Err()
}

// A block is a file with records of one stream.
type block struct {
	path   string
	stream string
	number int
}

// stained returns the blocks that hold something of what is gone, and those
// that could not be read because the server is writing to them.
func (e *embedded) stained(gone map[string]remainder) (list []block, err error) {
	err = filepath.WalkDir(e.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a block that was removed meanwhile
		}
		f, ok := blockOf(path)
		if err != nil || !ok || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		r := gone[f.stream]
		if n, err := scrubBlock(nil, data, f.stream, f.number, r.has); n > 0 || err != nil {
			list = append(list, f)
		}
		return nil
	})
	return list, err
}

// blockOf recognises …/streams/STREAM/msgs/NUMBER.blk.
func blockOf(path string) (block, bool) {
	f := block{path: path}
	folder, name := filepath.Split(path)
	folder = filepath.Clean(folder)
	if filepath.Base(folder) != "msgs" || filepath.Base(filepath.Dir(filepath.Dir(folder))) != "streams" || !strings.HasSuffix(name, ".blk") {
		return f, false
	}
	f.stream = filepath.Base(filepath.Dir(folder))
	n, err := fmt.Sscanf(name, "%d.blk", &f.number)
	return f, n == 1 && err == nil
}

// scrub writes a block anew, whole or not at all.
func (e *embedded) scrub(f block, gone remainder) (int, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := scrubBlock(data, data, f.stream, f.number, gone.has)
	if err != nil || n == 0 {
		return 0, err
	}
	return n, replace(filepath.Join(e.dir, scrubFile), f.path, data)
}

// replace puts a file with data in the place of another, durably.
func replace(temporary, path string, data []byte) error {
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// pause stops storing for as long as the caller needs, without anything having
// failed.
func (h *health) pause(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err, h.since, h.mended = why, time.Now(), make(chan struct{})
	}
}
