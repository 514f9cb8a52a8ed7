package slack

import (
	"context"
	"slices"
	"time"

	"parley.im/bus/event"
)

// maxShared bounds a note. Who was the first of more has left it.
const maxShared = 500

const sharedPrefix = "shared/"

// A shared is the app's one reaction of a kind to a message, which stands for
// everybody outside who has reacted so: it goes when the last of them has taken
// theirs back. A note says whose it is. One delivery at a time goes to a channel
// (Description.Gate), so that nobody joins while it is taken away.
type shared struct {
	c     *connector
	at    spot
	emoji string
}

// A sharing is the note.
type sharing struct {
	IDs []string // of the deliveries
	At  time.Time
}

func (c *connector) shared(at spot, emoji string) shared { return shared{c, at, emoji} }

// key is the key of the note.
func (s shared) key() string { return noteKey(sharedPrefix, s.at, s.emoji) }

// join notes that the reaction, which is there, is a delivery's too.
func (s shared) join(ctx context.Context, id string) error {
	note, revision, err := s.read(ctx)
	if err != nil || slices.Contains(note.IDs, id) {
		return err
	}
	note.IDs = append(note.IDs, id)
	note.IDs = note.IDs[max(len(note.IDs)-maxShared, 0):]
	return s.write(ctx, note, revision)
}

// leave takes back what a delivery has done: nothing is to be seen of it while
// the reaction is somebody else's too. Without an id, as earlier versions have
// it, or where nothing is noted any more, the reaction goes. The note goes last,
// so that what was interrupted is done again.
func (s shared) leave(ctx context.Context, id string) error {
	if id == "" {
		return s.remove(ctx)
	}
	note, revision, err := s.read(ctx)
	if err != nil {
		return err
	}
	before := len(note.IDs)
	note.IDs = slices.DeleteFunc(note.IDs, func(other string) bool { return other == id })
	switch {
	case len(note.IDs) > 0 && len(note.IDs) == before:
		return nil
	case len(note.IDs) > 0:
		return s.write(ctx, note, revision)
	}
	if err := s.remove(ctx); err != nil || revision == 0 {
		return err
	}
	return later(s.c.host.State().Delete(ctx, s.key(), revision))
}

func (s shared) remove(ctx context.Context) error {
	return s.c.away(ctx, func(ctx context.Context) error {
		return s.c.api.client.RemoveReactionContext(ctx, s.emoji, s.at.item())
	})
}

func (s shared) read(ctx context.Context) (note sharing, revision uint64, err error) {
	note, revision, err = readNote[sharing](ctx, s.c.host.State(), s.key())
	return note, revision, later(err)
}

func (s shared) write(ctx context.Context, note sharing, revision uint64) error {
	note.At = time.Now()
	_, err := writeNote(ctx, s.c.host.State(), s.key(), note, revision)
	return later(err)
}

// later has a delivery come again: to do all of it once more changes nothing.
func later(err error) error {
	if err == nil {
		return nil
	}
	return event.Retry(event.ScopeMessage, 0, err)
}
