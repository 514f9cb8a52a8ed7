package slack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/content/markup"
)

// notExchanged is what the edit of a message loses: in Slack its files can't be
// changed.
const notExchanged content.Loss = "files of an edit"

// change edits, deletes or reacts to a message in Slack. The app can change its
// own posts only.
func (c *connector) change(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	about, _, ok := readName(d.InReplyTo)
	if !ok {
		return event.Receipt{}, unknownName(d.InReplyTo)
	}
	name := about.String() + "/" + string(d.Kind) + "/" + d.ID
	var err error
	switch d.Kind {
	case event.KindRedact:
		err = c.withdrawAll(ctx, d)
	case event.KindReact:
		var emoji string
		emoji, err = c.react(ctx, d, about)
		name = about.String() + "/" + reactPrefix + emoji + "/" + d.ID
	default:
		err = c.edit(ctx, d, about)
	}
	if isRefusal(err, "missing_scope") { // what is said is not held back for it
		err = event.Permanent(explain(err))
	}
	if err != nil {
		return event.Receipt{}, err
	}
	r := event.Receipt{State: event.Delivered, RemoteIDs: []string{name}}
	if d.Kind == event.KindEdit && len(d.Files) > 0 {
		r.Losses = []string{string(notExchanged)}
	}
	return r, nil
}

func unknownName(name string) error {
	return event.Permanent(fmt.Errorf("no message of Slack's is called %.80q", name))
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

// react adds a reaction by one of the names that its picture has, and returns
// that name. It may be there already, for somebody else outside.
func (c *connector) react(ctx context.Context, d event.Delivery, about spot) (string, error) {
	text, err := words(ctx, c.host.Media(), d.Content)
	if err != nil {
		return "", err
	}
	err = event.Permanent(fmt.Errorf("slack has no reaction %.40q", text))
	for _, name := range markup.EmojiNames(strings.TrimSpace(text)) {
		err = c.api.call(ctx, func(ctx context.Context) error { return c.api.client.AddReactionContext(ctx, name, about.item()) })
		if err == nil || isRefusal(err, "already_reacted") {
			return name, c.shared(about, name).join(ctx, d.ID)
		}
		if !isRefusal(err, "invalid_name") {
			return "", err
		}
	}
	return "", err
}

func (s spot) item() slack.ItemRef { return slack.ItemRef{Channel: s.channel, Timestamp: s.ts} }

// withdrawAll takes back all that a message is in Slack. What Slack refuses to
// take back does not keep the rest.
func (c *connector) withdrawAll(ctx context.Context, d event.Delivery) (refused error) {
	names := d.RemoteIDs
	if len(names) == 0 {
		names = []string{d.InReplyTo}
	}
	for _, name := range names {
		err := c.withdraw(ctx, name)
		if err != nil && !event.IsPermanent(err) && !isRefusal(err, "missing_scope") {
			return err
		}
		if err != nil {
			refused = err
		}
	}
	return refused
}

// withdraw takes back one thing of the app's: a post, a file or a reaction. An
// edit stays, as there is no going back to what was before.
func (c *connector) withdraw(ctx context.Context, name string) error {
	if file, ok := strings.CutPrefix(name, filePrefix); ok {
		return c.away(ctx, func(ctx context.Context) error { return c.api.client.DeleteFileContext(ctx, file) })
	}
	at, rest, ok := readName(name)
	reaction, isReaction := strings.CutPrefix(rest, reactPrefix)
	switch {
	case !ok:
		return unknownName(name)
	case isReaction:
		emoji, id, _ := strings.Cut(reaction, "/")
		return c.shared(at, emoji).leave(ctx, id)
	case strings.HasPrefix(rest, string(event.KindReact)+"@"):
		return event.Permanent(errors.New("a person's reaction is theirs to take back"))
	case rest == "" || isPart(rest):
		return c.away(ctx, func(ctx context.Context) error {
			_, _, err := c.api.client.DeleteMessageContext(ctx, at.channel, at.ts)
			return err
		})
	}
	return nil
}

// away makes a request that takes something away, which may be gone already.
func (c *connector) away(ctx context.Context, request func(context.Context) error) error {
	err := c.api.call(ctx, request)
	if isRefusal(err, "message_not_found", "no_reaction", "file_not_found", "file_deleted") {
		return nil
	}
	return err
}
