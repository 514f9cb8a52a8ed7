package slack

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

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

// tombstone is the subtype of what stands for a deleted message that has
// answers: Slack tells it as a change of that message.
const tombstone = "tombstone"

// concern makes an event of an edit, a deletion or a reaction one that is heard
// as such. It returns false for any other, and for what is no news: Slack calls
// it a change, too, when it shows a preview of a link.
func (h *heard) concern() bool {
	switch {
	case h.Type == "message" && h.Before != nil && (h.Subtype == "message_deleted" || h.gone()):
		return h.become(event.KindRedact, *h.Before, cmp.Or(h.Deleted, h.Before.TS))
	case h.Type == "message" && h.Subtype == "message_changed" && h.Before != nil && h.Now != nil:
		if h.Now.Text == h.Before.Text || h.Now.User != h.Before.User || !h.Before.personal() {
			return false
		}
		return h.become(event.KindEdit, *h.Now, h.Now.TS)
	case h.Type == "reaction_added" && h.Item.Type == "message":
		return h.reacted(event.KindReact)
	case h.Type == "reaction_removed" && h.Item.Type == "message":
		return h.reacted(event.KindRedact)
	}
	return false
}

// gone tells whether a change says that a message was deleted.
func (h *heard) gone() bool {
	return h.Subtype == "message_changed" && h.Now != nil && h.Now.Subtype == tombstone
}

// personal tells whether m is something that a person has said. What apps post
// is theirs to change, and what they change is no news: this app's own posts
// are changed for somebody outside.
func (m said) personal() bool {
	return m.User != "" && m.User != slackbot && m.Bot == "" && newly(string(m.Subtype))
}

// become makes h what m says, about the message at ts, if that is a person's.
func (h *heard) become(kind event.Kind, m said, ts word) bool {
	about := spot{string(h.Channel), string(ts)}
	if _, valid := readSpot(about.String()); !valid || !m.personal() {
		return false
	}
	h.kind, h.about = kind, about
	h.User, h.App, h.Metadata = m.User, m.App, m.Metadata
	h.Subtype, h.Text, h.ThreadTS, h.Files = m.Subtype, m.Text, m.ThreadTS, m.Files
	return true
}

func (h *heard) reacted(kind event.Kind) bool {
	h.Channel, h.TS = h.Item.Channel, h.EventTS
	h.kind, h.about = kind, spot{string(h.Item.Channel), string(h.Item.TS)}
	_, valid := readSpot(h.about.String())
	return valid && h.User != "" && h.Reaction != ""
}

// concerned hands over what is about an earlier message. What goes nowhere is
// not told to anybody: it is no message.
func (c *connector) concerned(ctx context.Context, h heard) error {
	names := []string{h.about.String()}
	switch {
	case h.kind == event.KindReact:
		taken, err := c.hand(ctx, h, names[0])
		if err == nil && taken {
			err = c.noteReaction(ctx, h)
		}
		return err
	case h.Reaction != "":
		return c.takeBack(ctx, h)
	case h.kind == event.KindRedact:
		names = h.parts()
	}
	for _, name := range names {
		if _, err := c.hand(ctx, h, name); err != nil {
			return err
		}
	}
	return nil
}

// parts are the names of the messages that one with files came in as.
func (h heard) parts() (names []string) {
	whole := h.Text != "" || len(h.Files) == 0
	for i, f := range h.Files {
		if f.fetchable() || f.Mode == tombstone {
			names = append(names, partName(h.about.String(), i))
		} else {
			whole = true // it has named that file
		}
	}
	if whole {
		names = slices.Insert(names, 0, h.about.String())
	}
	return names
}

// nativeID is the name of what h does to what is called name.
func (h heard) nativeID(name string) string {
	return name + "/" + string(h.kind) + "@" + string(h.TS)
}

// hand hands over what concerns the message that is called name. taken tells
// whether the host has it.
func (c *connector) hand(ctx context.Context, h heard, name string) (taken bool, err error) {
	names, cancel := context.WithTimeout(ctx, nameWait)
	defer cancel()
	in := event.Inbound{Envelope: event.Envelope{
		Kind: h.kind, Sender: address(h.team, string(h.User)), SenderName: c.people.name(names, string(h.User)),
		NativeID: h.nativeID(name), InReplyTo: name, Sent: moment(string(h.TS)),
	}}
	c.locate(&in, h)
	switch h.kind {
	case event.KindEdit:
		in.Content = c.corrected(names, h).content()
	case event.KindReact:
		in.Content = wording{text: reaction(string(h.Reaction))}.content()
	}
	_, err = c.host.Put(ctx, in)
	if errors.Is(err, sdk.ErrRefused) || event.IsPermanent(err) {
		c.log.Info("not taken", "native", in.NativeID, "kind", h.kind, "err", err)
		return false, nil
	}
	return err == nil, err
}

// locate says where the conversation is. Slack does not say in which thread the
// message stands that a reaction is to: the host knows by the message.
func (c *connector) locate(in *event.Inbound, h heard) {
	if h.Reaction != "" {
		return
	}
	thread := string(h.ThreadTS)
	if h.direct() {
		thread = cmp.Or(thread, h.about.ts) // it has begun its thread
	} else {
		in.Recipient = address(h.team, string(h.Channel))
	}
	if thread != "" {
		in.Thread = spot{string(h.Channel), thread}.String()
	}
}

// corrected is what somebody has made of what they had said. The address that
// begins a direct conversation is none of it.
func (c *connector) corrected(ctx context.Context, h heard) wording {
	w := c.said(ctx, h)
	if h.direct() && (h.ThreadTS == "" || string(h.ThreadTS) == h.about.ts) {
		if _, rest, ok := dial(w.text, c.set.SIPDomain); ok {
			return wording{text: rest}
		}
	}
	return w
}

// reaction is the picture that a reaction is, or its name.
func reaction(name string) string {
	name, _, _ = strings.Cut(name, "::") // of a skin tone
	if picture, ok := markup.Emoji(name); ok {
		return picture
	}
	return ":" + oneLine(name) + ":"
}
