package slack

import (
	"context"
	"errors"
	"time"

	"github.com/slack-go/slack"

	"parley.im/bus/event"
)

const (
	// clockMargin is how far Slack's clock may be from ours.
	clockMargin = 2 * time.Minute
	findPage    = 200 // messages of a page
	findPages   = 25  // beyond, nobody can tell
)

// Find looks for the post that carries d's id: in the conversation's thread,
// or in the channel. It is certain that there is none when every page since
// first was read; Slack's throttling of conversations.history only makes it
// ask again later. https://docs.slack.dev/messaging/message-metadata
func (c *connector) Find(ctx context.Context, d event.Delivery, first time.Time) (event.Receipt, bool, error) {
	at, err := c.whereabouts(ctx, d)
	if err != nil {
		return event.Receipt{}, false, err
	}
	if len(d.Files) > 0 {
		return c.findWithFiles(ctx, d, at, first)
	}
	return c.findText(ctx, d, at, first)
}

// findWithFiles knows from its own notes how far a message with files has come.
// Where only its text is found, Deliver goes on behind it.
func (c *connector) findWithFiles(ctx context.Context, d event.Delivery, at spot, first time.Time) (event.Receipt, bool, error) {
	p, revision, err := c.progress(ctx, d.ID)
	switch {
	case err != nil:
		return event.Receipt{}, false, err
	case p.TS != "" && p.Files >= len(d.Files):
		return p.receipt(d, at.channel), true, nil
	case p.TS != "":
		return event.Receipt{}, false, nil
	}
	r, found, err := c.findText(ctx, d, at, first)
	if err != nil || !found {
		return event.Receipt{}, false, err
	}
	posted, _ := readSpot(r.RemoteIDs[0])
	s := sending{c: c, d: d, p: progress{TS: posted.ts, Thread: at.ts}, revision: revision}
	return event.Receipt{}, false, s.advance(ctx)
}

func (c *connector) findText(ctx context.Context, d event.Delivery, at spot, first time.Time) (event.Receipt, bool, error) {
	since, cursor := stamp(first.Add(-clockMargin)), ""
	for range findPages {
		page, next, err := c.page(ctx, at, since, cursor)
		if isRefusal(err, "thread_not_found") {
			return event.Receipt{}, false, nil // nothing stands in a thread that is gone
		}
		if err != nil {
			return event.Receipt{}, false, silent(err)
		}
		for _, m := range page {
			if m.Metadata.EventType == outboundEvent && m.Metadata.EventPayload[outboundID] == d.ID {
				return receipt(d, at, m.Timestamp), true, nil
			}
		}
		if cursor = next; cursor == "" {
			return event.Receipt{}, false, nil
		}
	}
	return event.Receipt{}, false, errors.New("slack: too much was said since to look through it")
}

func (c *connector) whereabouts(ctx context.Context, d event.Delivery) (spot, error) {
	if d.Kind == event.KindStatus {
		return noted(d)
	}
	at, err := c.place(ctx, d)
	if err != nil {
		return spot{}, silent(err)
	}
	return at, nil
}

// silent is an error that says nothing about the message, only when to ask
// again.
func silent(err error) error {
	if event.IsPermanent(err) {
		return explain(err)
	}
	return err
}

func (c *connector) page(ctx context.Context, at spot, since, cursor string) (page []slack.Message, next string, err error) {
	err = c.api.call(ctx, func(ctx context.Context) error {
		if at.ts != "" {
			page, _, next, err = c.api.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
				ChannelID: at.channel, Timestamp: at.ts, Oldest: since, Cursor: cursor, Limit: findPage, Inclusive: true, IncludeAllMetadata: true,
			})
			return err
		}
		h, err := c.api.client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
			ChannelID: at.channel, Oldest: since, Cursor: cursor, Limit: findPage, Inclusive: true, IncludeAllMetadata: true,
		})
		if err == nil {
			page, next = h.Messages, h.ResponseMetaData.NextCursor
		}
		return err
	})
	return page, next, err
}
