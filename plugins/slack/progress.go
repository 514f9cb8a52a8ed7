package slack

import (
	"context"
	"fmt"
	"time"

	"parley.im/bus/event"
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

func (c *connector) progress(ctx context.Context, id string) (p progress, revision uint64, err error) {
	return readNote[progress](ctx, c.host.State(), progressPrefix+id)
}

// advance remembers a step. Where that fails nobody knows whether it was done.
func (s *sending) advance(ctx context.Context) error {
	s.p.At = time.Now()
	var err error
	if s.revision, err = writeNote(ctx, s.c.host.State(), progressPrefix+s.d.ID, s.p, s.revision); err != nil {
		return fmt.Errorf("note what was sent: %w", err)
	}
	return nil
}
