package slack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

// item is what a reaction is to. https://docs.slack.dev/reference/events/reaction_added
type item struct {
	Type    word `json:"type"`
	Channel word `json:"channel"`
	TS      word `json:"ts"`
}

// concern makes an event of an edit, a deletion or a reaction one that is heard
// as such. It returns false for any other, and for what is no news: Slack calls
// it a change, too, when it shows a preview of a link.
func (h *heard) concern() bool {
	switch {
	case h.Type == "message" && h.Subtype == "message_changed" && h.Now != nil && h.Before != nil:
		if h.Now.Text == h.Before.Text || h.Now.Bot != "" || h.Now.User == "" {
			return false
		}
		h.kind, h.about = event.KindEdit, spot{string(h.Channel), string(h.Now.TS)}
		h.User, h.Text, h.ThreadTS = h.Now.User, h.Now.Text, h.Now.ThreadTS
	case h.Type == "message" && h.Subtype == "message_deleted" && h.Before != nil:
		if h.Before.Bot != "" || h.Before.User == "" {
			return false
		}
		h.kind, h.about = event.KindRedact, spot{string(h.Channel), string(h.Deleted)}
		h.User, h.Text, h.ThreadTS = h.Before.User, "", h.Before.ThreadTS
	case h.Type == "reaction_added" && h.Item.Type == "message":
		h.Channel, h.TS = h.Item.Channel, h.EventTS
		h.kind, h.about = event.KindReact, spot{string(h.Item.Channel), string(h.Item.TS)}
		h.ThreadTS = h.Item.TS
	default:
		return false
	}
	_, valid := readSpot(h.about.String())
	return valid
}

// concerned hands over what is about an earlier message. What goes nowhere is
// not told to anybody: it is no message.
func (c *connector) concerned(ctx context.Context, h heard) error {
	names, cancel := context.WithTimeout(ctx, nameWait)
	defer cancel()
	in := event.Inbound{Envelope: event.Envelope{
		Kind: h.kind, Sender: address(h.team, string(h.User)), SenderName: c.people.name(names, string(h.User)),
		NativeID: h.spot().String() + "/" + string(h.kind), InReplyTo: h.about.String(),
		Recipient: address(h.team, string(h.Channel)), Sent: moment(string(h.TS)),
	}}
	if h.ThreadTS != "" {
		in.Thread = spot{string(h.Channel), string(h.ThreadTS)}.String()
	}
	if h.direct() {
		in.Recipient = "" // the thread tells
	}
	switch h.kind {
	case event.KindEdit:
		in.Content = c.said(names, h).content()
	case event.KindReact:
		in.Content = wording{text: reaction(string(h.Reaction))}.content()
	}
	_, err := c.host.Put(ctx, in)
	if errors.Is(err, sdk.ErrRefused) || event.IsPermanent(err) {
		c.log.Info("not taken", "native", in.NativeID, "kind", h.kind, "err", err)
		return nil
	}
	return err
}

// reaction is the picture that a reaction is, or its name.
func reaction(name string) string {
	name, _, _ = strings.Cut(name, "::") // of a skin tone
	if picture, ok := markup.Emoji(name); ok {
		return picture
	}
	return ":" + oneLine(name) + ":"
}

// change edits, deletes or reacts to a message in Slack. The app can change its
// own posts only.
func (c *connector) change(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	about, ok := readSpot(d.InReplyTo)
	if !ok {
		return event.Receipt{}, event.Permanent(fmt.Errorf("no message of Slack's is called %.80q", d.InReplyTo))
	}
	var err error
	switch d.Kind {
	case event.KindRedact:
		err = c.api.call(ctx, func(ctx context.Context) error {
			_, _, err := c.api.client.DeleteMessageContext(ctx, about.channel, about.ts)
			return err
		})
		if isRefusal(err, "message_not_found") {
			err = nil // it is gone
		}
	case event.KindReact:
		err = c.react(ctx, d, about)
	default:
		err = c.edit(ctx, d, about)
	}
	if err != nil {
		return event.Receipt{}, err
	}
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{about.String() + "/" + d.ID}}, nil
}

func (c *connector) edit(ctx context.Context, d event.Delivery, about spot) error {
	text, err := words(ctx, c.host.Media(), d.Content)
	if err != nil {
		return err
	}
	me, err := c.api.identity(ctx)
	if err != nil {
		return event.Retry(event.ScopeConnector, 0, err)
	}
	if name := author(d, false); name != "" && !me.customize {
		text = escape(name) + ": " + text
	}
	return c.api.call(ctx, func(ctx context.Context) error {
		_, _, _, err := c.api.client.UpdateMessageContext(ctx, about.channel, about.ts, slack.MsgOptionText(text, false))
		return err
	})
}

// react adds a reaction by one of the names that its picture has.
func (c *connector) react(ctx context.Context, d event.Delivery, about spot) error {
	text, err := words(ctx, c.host.Media(), d.Content)
	if err != nil {
		return err
	}
	err = event.Permanent(fmt.Errorf("slack has no reaction %.40q", text))
	for _, name := range markup.EmojiNames(strings.TrimSpace(text)) {
		err = c.api.call(ctx, func(ctx context.Context) error {
			return c.api.client.AddReactionContext(ctx, name, slack.ItemRef{Channel: about.channel, Timestamp: about.ts})
		})
		if isRefusal(err, "already_reacted") {
			return nil
		}
		if !isRefusal(err, "invalid_name") {
			return err
		}
	}
	return err
}
