package slack

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"parley.im/plugins/sdk"
)

// A reacted is the note of a person's reaction. Slack has no id for one, and a
// reaction that is taken back can be made again: the note says which is meant.
type reacted struct {
	Name string // native id
	At   time.Time
}

const reactionPrefix = "reaction/"

// reactionKey is the key of the note of a reaction: a person's, to a message.
func (h heard) reactionKey() string {
	return noteKey(reactionPrefix, h.about, string(h.User)+"/"+string(h.Reaction))
}

// noteReaction notes a reaction that was handed over. Slack sends it again if
// that does not come to pass.
func (c *connector) noteReaction(ctx context.Context, h heard) error {
	old, err := c.host.State().Get(ctx, h.reactionKey())
	if err != nil && !errors.Is(err, sdk.ErrNotFound) {
		return err
	}
	_, err = writeNote(ctx, c.host.State(), h.reactionKey(), reacted{h.nativeID(h.about.String()), time.Now()}, old.Revision)
	return err
}

// takeBack hands over that a reaction was taken back, if it is known.
func (c *connector) takeBack(ctx context.Context, h heard) error {
	e, err := c.host.State().Get(ctx, h.reactionKey())
	if errors.Is(err, sdk.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var note reacted
	if json.Unmarshal(e.Value, &note) == nil {
		if _, err := c.hand(ctx, h, note.Name); err != nil {
			return err
		}
	}
	err = c.host.State().Delete(ctx, e.Key, e.Revision)
	if errors.Is(err, sdk.ErrConflict) || errors.Is(err, sdk.ErrNotFound) {
		return nil
	}
	return err
}
