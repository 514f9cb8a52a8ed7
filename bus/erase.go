package bus

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// eraseAtOnce is how many messages are deleted at the same time.
const eraseAtOnce = 32

// Erasure says what Erase removes. Its functions are called from one goroutine
// at a time.
type Erasure struct {
	Event func(s Stream, r Record) bool     // of the streams; without its body
	Entry func(bucket string, e Entry) bool // of the buckets, also of those that nobody has opened
}

// Erased is how much Erase removed.
type Erased struct {
	Events  map[Stream]int
	Entries map[string]int // by bucket
	Media   int            // large bodies that no event refers to any more
}

// Erase removes what x chooses from the streams, the buckets and Media, out of
// order. Nothing can read it afterwards; the bytes go from the files of an
// embedded server with Scrub, and at once from those of external servers,
// except for what was overwritten or trimmed before and is not yet written
// anew there. It may be called again after an error.
func (b *Bus) Erase(ctx context.Context, x Erasure) (Erased, error) {
	done := Erased{Events: map[Stream]int{}, Entries: map[string]int{}}
	refs := map[string]bool{}
	for _, s := range Streams() {
		n, err := b.eraseEvents(ctx, s, x.Event, refs)
		done.Events[s] = n
		if err != nil {
			return done, fmt.Errorf("erase from %s: %w", s, unavailable(err))
		}
	}
	if err := b.eraseEntries(ctx, x.Entry, done.Entries); err != nil {
		return done, fmt.Errorf("erase from the buckets: %w", unavailable(err))
	}
	var err error
	done.Media, err = b.media.Remove(ctx, refs)
	return done, err
}

func (b *Bus) eraseEvents(ctx context.Context, s Stream, takes func(Stream, Record) bool, refs map[string]bool) (int, error) {
	var seqs []uint64
	err := b.Scan(ctx, s, time.Time{}, func(r Record) bool {
		if takes(s, r) {
			seqs = append(seqs, r.Seq)
			for _, name := range Refs(r.Event) {
				refs[name] = true
			}
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	return b.deleteAll(ctx, b.streams[s], seqs)
}

// deleteAll deletes messages; one that is gone already counts.
func (b *Bus) deleteAll(ctx context.Context, stream jetstream.Stream, seqs []uint64) (int, error) {
	del := stream.DeleteMsg // Scrub overwrites it
	if b.server == nil {
		del = stream.SecureDeleteMsg
	}
	var n atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(eraseAtOnce)
	for _, seq := range seqs {
		g.Go(func() error {
			ctx, cancel := bounded(ctx)
			defer cancel()
			if err := del(ctx, seq); err != nil && !isGone(err) {
				return fmt.Errorf("delete %d: %w", seq, err)
			}
			n.Add(1)
			return nil
		})
	}
	err := g.Wait()
	return int(n.Load()), err
}

// isGone tells whether a message could not be deleted because it is not there.
func isGone(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrMsgNotFound) ||
		errors.As(err, &api) && (api.ErrorCode == 10037 || api.ErrorCode == 10043 || strings.Contains(api.Description, "not found"))
}

const (
	bucketStream  = "KV_"
	bucketPrefix  = "parley_"
	subjectPrefix = "$KV."
)

// eraseEntries looks at every key of every bucket, and at the marks of deleted
// ones: also they hold the key.
func (b *Bus) eraseEntries(ctx context.Context, takes func(string, Entry) bool, done map[string]int) error {
	names := b.js.StreamNames(ctx)
	var buckets []string
	for name := range names.Name() {
		if bucket, ok := strings.CutPrefix(name, bucketStream+bucketPrefix); ok {
			buckets = append(buckets, bucket)
		}
	}
	if err := names.Err(); err != nil {
		return err
	}
	for _, bucket := range buckets {
		if err := b.eraseBucket(ctx, bucket, takes, done); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, err)
		}
	}
	return nil
}

func (b *Bus) eraseBucket(ctx context.Context, name string, takes func(string, Entry) bool, done map[string]int) error {
	k, err := b.Bucket(ctx, name)
	if err != nil {
		return err
	}
	stream, err := b.js.Stream(ctx, bucketStream+bucketPrefix+name)
	if err != nil {
		return err
	}
	prefix := subjectPrefix + bucketPrefix + name + "."
	var found []Entry
	err = walk(ctx, stream, jetstream.OrderedConsumerConfig{}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		code := strings.TrimPrefix(m.Subject(), prefix)
		key, ok := decodeKey(code)
		if e := (Entry{Key: key, Value: m.Data(), Revision: meta.Sequence.Stream}); ok && takes(name, e) {
			e.Value = nil
			found = append(found, e)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, e := range found {
		if err := k.erase(ctx, stream, prefix, e); err != nil {
			return err
		}
		done[name]++
	}
	return nil
}

// erase removes a key with the mark that it was deleted. On a shared cluster
// the mark stays for its time: other hosts hear of the deletion by it.
func (k *Bucket) erase(ctx context.Context, stream jetstream.Stream, prefix string, e Entry) error {
	if k.shared() {
		if _, err := k.bus.deleteAll(ctx, stream, []uint64{e.Revision}); err != nil {
			return err
		}
		return k.Delete(ctx, e.Key)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(prefix+hex.EncodeToString([]byte(e.Key)))); err != nil {
		return err
	}
	k.keys.drop(e.Key, k.keys.revision(e.Key))
	return nil
}
