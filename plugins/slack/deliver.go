package slack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/slack-go/slack"

	"parley.im/bus/event"
)

// outboundEvent is the type of the metadata that the app's posts carry, and
// outboundID its key for the delivery's id.
const (
	outboundEvent = "parley_outbound"
	outboundID    = "id"
	outboundMark  = "mark"
)

// A post is a message as it goes to Slack.
type post struct {
	id     string // the delivery's
	at     spot   // channel, and the thread it stands in if ts is given
	author string // whose name it bears; empty: the app's own
	text   string // as mrkdwn
	mark   string // Delivery.Mark
}

// metadata goes with the post, seen by apps only.
func (p post) metadata() slack.SlackMetadata {
	payload := map[string]any{outboundID: p.id}
	if p.mark != "" {
		payload[outboundMark] = p.mark
	}
	return slack.SlackMetadata{EventType: outboundEvent, EventPayload: payload}
}

// message posts what somebody outside said.
func (c *connector) message(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	text, err := words(ctx, c.host.Media(), d.Content)
	if err != nil {
		return event.Receipt{}, err
	}
	if len(d.Data) == 0 && d.Ref == "" && len(d.Files) > 0 {
		text = named(d.Files)
	}
	if title := oneLine(d.Title); title != "" {
		text = escape(title) + "\n" + text
	}
	at, err := c.place(ctx, d)
	if err != nil {
		return event.Receipt{}, unsent(err)
	}
	say := func() (spot, string, error) {
		ts, err := c.post(ctx, post{id: d.ID, at: at, author: author(d, at.ts == ""), text: text, mark: d.Mark})
		if isRefusal(err, "thread_not_found") { // somebody has deleted its beginning: it begins anew
			at.ts = ""
			ts, err = c.post(ctx, post{id: d.ID, at: at, author: author(d, true), text: text, mark: d.Mark})
		}
		if err == nil {
			c.log.Info("posted", "message", d.ID, "spot", spot{at.channel, ts}.String())
		}
		return at, ts, err
	}
	if len(d.Files) > 0 {
		return c.withFiles(ctx, d, at, say)
	}
	at, ts, err := say()
	if err != nil {
		return event.Receipt{}, err
	}
	return receipt(d, at, ts), nil
}

func receipt(d event.Delivery, at spot, ts string) event.Receipt {
	r := event.Receipt{State: event.Delivered, RemoteIDs: []string{spot{at.channel, ts}.String()}}
	if !threaded(d) {
		return r
	}
	if at.ts == "" {
		at.ts = ts // it has begun the thread
	}
	r.Anchor = at.String()
	return r
}

// threaded tells whether the conversation shares its channel with others.
func threaded(d event.Delivery) bool { return d.Kind == event.KindMessage && d.Mode != event.ModeRoom }

// place is where a delivery goes: a channel and, where there is one, the
// thread of the conversation.
func (c *connector) place(ctx context.Context, d event.Delivery) (spot, error) {
	channel, err := c.channel(ctx, d)
	if err != nil {
		return spot{}, err
	}
	if anchor, ok := readSpot(d.Anchor); ok && threaded(d) && anchor.channel == channel {
		return anchor, nil
	}
	return spot{channel: channel}, nil
}

func (c *connector) channel(ctx context.Context, d event.Delivery) (string, error) {
	t, err := readAddress(d.Target)
	if err != nil {
		return "", event.Permanent(err)
	}
	me, err := c.api.identity(ctx)
	if err != nil {
		return "", event.Retry(event.ScopeConnector, 0, err)
	}
	if t.team != me.team {
		return "", event.Permanent(fmt.Errorf("%s is of another workspace; this app is installed in %s", d.Target, me.team))
	}
	if !t.person() {
		return t.id, nil
	}
	return c.chats.with(ctx, t.id)
}

// author is the name that a post bears. The first of a thread says more of
// whom it is from.
func author(d event.Delivery, first bool) string {
	name := oneLine(d.SenderName)
	if name == "" {
		return oneLine(string(d.Sender))
	}
	if first && threaded(d) { // the address can't be forged, so it is never cut off
		address := " · " + oneLine(d.Sender.Rest())
		return shorten(name, max(maxUsername-len(address), 10)) + address
	}
	return name
}

// post sends p and returns its timestamp.
func (c *connector) post(ctx context.Context, p post) (string, error) {
	me, err := c.api.identity(ctx)
	if err != nil {
		return "", event.Retry(event.ScopeConnector, 0, err)
	}
	ts, err := c.send(ctx, p, me.customize)
	switch {
	case isRefusal(err, "not_in_channel"):
		if err := c.api.join(ctx, p.at.channel); err != nil {
			return "", unsent(err)
		}
		return c.send(ctx, p, me.customize)
	case lacksNames(err) && me.customize && p.author != "":
		c.log.Warn("slack: the app may not post under other names (chat:write.customize is missing): names stand before the text")
		c.api.plainNames()
		return c.send(ctx, p, false)
	}
	if r := (*refusal)(nil); errors.As(err, &r) {
		c.log.Error("slack refuses a post", "message", p.id, "channel", p.at.channel, "err", err)
	}
	return ts, err
}

// lacksNames tells whether it is the right to post under other names that is
// missing.
func lacksNames(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == "missing_scope" && strings.Contains(r.needed, "chat:write.customize")
}

// send makes the request. https://docs.slack.dev/reference/methods/chat.postMessage
func (c *connector) send(ctx context.Context, p post, customize bool) (ts string, err error) {
	text := p.text
	if p.author != "" && !customize {
		text = escape(p.author) + ": " + text
	}
	options := []slack.MsgOption{
		slack.MsgOptionText(text, false),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(p.metadata()),
	}
	if p.author != "" && customize {
		options = append(options, slack.MsgOptionUsername(p.author))
	}
	if p.at.ts != "" {
		options = append(options, slack.MsgOptionTS(p.at.ts))
	}
	err = c.api.call(ctx, func(ctx context.Context) error {
		_, ts, err = c.api.client.PostMessageContext(ctx, p.at.channel, options...)
		return err
	})
	return ts, err
}

// unsent is the error of a step before the post itself: whatever became of
// that step, the message was not sent. Without an answer nothing goes through
// now.
func unsent(err error) error {
	if _, _, ok := event.AsRetry(err); ok || event.IsPermanent(err) {
		return err
	}
	if unreached := (*url.Error)(nil); errors.As(err, &unreached) {
		return event.Retry(event.ScopeConnector, 0, err)
	}
	return event.Retry(event.ScopeMessage, 0, err)
}

// status tells, in the thread of a message from here, what became of it.
func (c *connector) status(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	at, err := noted(d)
	if err != nil {
		return event.Receipt{}, err
	}
	text, err := words(ctx, c.host.Media(), d.Content)
	if err != nil {
		return event.Receipt{}, err
	}
	ts, err := c.post(ctx, post{id: d.ID, at: at, text: "Not delivered. " + text})
	if isRefusal(err, "thread_not_found") {
		return event.Receipt{}, event.Permanent(fmt.Errorf("the message that it is about was deleted: %w", err))
	}
	if err != nil {
		return event.Receipt{}, err
	}
	return receipt(d, at, ts), nil
}

// noted is where a note about a message stands: in its thread, or under it.
func noted(d event.Delivery) (spot, error) {
	about, _, ok := readName(d.InReplyTo)
	if !ok {
		return spot{}, unknownName(d.InReplyTo)
	}
	if thread, ok := readSpot(d.Anchor); ok && thread.channel == about.channel {
		return thread, nil
	}
	return about, nil
}
