package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"parley.im/plugins/sdk"
)

// keepNotes is longer than any message is tried, or concerned by another.
const keepNotes = 8 * 24 * time.Hour

// noteKey is the key of a note of something at a message. The names of emoji can
// be longer than keys.
func noteKey(prefix string, at spot, of string) string {
	sum := sha256.Sum256([]byte(of))
	return prefix + at.String() + "/" + hex.EncodeToString(sum[:16])
}

// readNote returns a note and its revision, which is 0 where there is none.
func readNote[T any](ctx context.Context, s sdk.State, key string) (note T, revision uint64, err error) {
	e, err := s.Get(ctx, key)
	if errors.Is(err, sdk.ErrNotFound) {
		return note, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &note)
	}
	return note, e.Revision, err
}

// writeNote writes a note in place of the one of a revision, and returns its
// own.
func writeNote(ctx context.Context, s sdk.State, key string, note any, revision uint64) (uint64, error) {
	value, err := json.Marshal(note)
	if err != nil {
		return revision, err
	}
	return s.Put(ctx, key, value, revision)
}

// forgetAll removes old notes, now and each day, until ctx ends.
func (c *connector) forgetAll(ctx context.Context) {
	for ctx.Err() == nil {
		for _, prefix := range []string{progressPrefix, reactionPrefix, sharedPrefix} {
			if err := c.forget(ctx, prefix); err != nil && ctx.Err() == nil {
				c.log.Warn("slack: old notes not removed", "err", err)
			}
		}
		select {
		case <-time.After(24 * time.Hour):
		case <-ctx.Done():
		}
	}
}

// forget removes what nobody will ask for any more.
func (c *connector) forget(ctx context.Context, prefix string) error {
	after := ""
	for {
		page, err := c.host.State().List(ctx, prefix, after, 100)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			var note struct{ At time.Time }
			after = e.Key
			if json.Unmarshal(e.Value, &note) == nil && time.Since(note.At) < keepNotes {
				continue
			}
			if err := c.host.State().Delete(ctx, e.Key, e.Revision); err != nil && !errors.Is(err, sdk.ErrConflict) {
				return err
			}
		}
	}
}
