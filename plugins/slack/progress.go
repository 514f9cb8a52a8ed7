package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// progress is how far a message with files has come: Slack has no key against
// doing a thing twice, so each step is remembered when it is done.
type progress struct {
	TS      string   // of the text
	Thread  string   // in which the text stands; "" if at the top
	Files   int      // how many are settled
	Names   []string // of those that Slack has taken, and of the notes about others
	Losses  []string // one for each that it has not
	Pending string   // id of the next, if it may be shown already
	Tries   int      // uploads that failed
	Told    bool     // the thread that the text has begun was returned once more
	At      time.Time
}

// receipt is what became of a message that has come so far.
func (p progress) receipt(d event.Delivery, channel string) event.Receipt {
	r := receipt(d, spot{channel, p.Thread}, p.TS)
	r.RemoteIDs, r.Losses = append(r.RemoteIDs, p.Names...), p.Losses
	return r
}

const progressPrefix = "sent/"

// keepNotes is longer than any message is tried, or concerned by another.
const keepNotes = 8 * 24 * time.Hour

func (c *connector) progress(ctx context.Context, id string) (p progress, revision uint64, err error) {
	e, err := c.host.State().Get(ctx, progressPrefix+id)
	if errors.Is(err, sdk.ErrNotFound) {
		return p, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, &p)
	}
	return p, e.Revision, err
}

// advance remembers a step. Where that fails nobody knows whether it was done.
func (s *sending) advance(ctx context.Context) error {
	s.p.At = time.Now()
	value, err := json.Marshal(s.p)
	if err == nil {
		s.revision, err = s.c.host.State().Put(ctx, progressPrefix+s.d.ID, value, s.revision)
	}
	if err != nil {
		return fmt.Errorf("note what was sent: %w", err)
	}
	return nil
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
