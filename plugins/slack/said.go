package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// A callback is what Slack sends when something happened.
// https://docs.slack.dev/apis/events-api
type callback struct {
	Type           string          `json:"type"`
	Team           string          `json:"team_id"`
	App            string          `json:"api_app_id"`
	Challenge      string          `json:"challenge"`
	Event          json.RawMessage `json:"event"`
	Authorizations []struct {
		Team string `json:"team_id"`
		User string `json:"user_id"`
	} `json:"authorizations"`
}

// said is an event of type message.
// https://docs.slack.dev/reference/events/message
type said struct {
	Type        string `json:"type"`
	Subtype     string `json:"subtype"`
	User        string `json:"user"`
	Bot         string `json:"bot_id"`
	App         string `json:"app_id"`
	Name        string `json:"username"` // of a bot's post
	Text        string `json:"text"`
	TS          string `json:"ts"`
	ThreadTS    string `json:"thread_ts"`
	Channel     string `json:"channel"`
	ChannelType string `json:"channel_type"`
	Files       []struct {
		Name  string `json:"name"`
		Title string `json:"title"`
	} `json:"files"`
	Metadata struct {
		Type string `json:"event_type"`
	} `json:"metadata"`
}

// A heard is a message that somebody said to the bridge.
type heard struct {
	said
	team string
}

func (h heard) spot() spot { return spot{h.Channel, h.TS} }

// hear reads a callback. ok is false for everything that is not something
// newly said by somebody else: joins, edits, the app's own posts.
func hear(payload []byte) (h heard, ok bool, err error) {
	var cb callback
	if err := json.Unmarshal(payload, &cb); err != nil {
		return h, false, fmt.Errorf("slack: an event can't be read: %w", err)
	}
	if cb.Type != "event_callback" || json.Unmarshal(cb.Event, &h.said) != nil || h.Type != "message" {
		return h, false, nil
	}
	h.team = cb.Team
	if len(cb.Authorizations) > 0 && cb.Authorizations[0].Team != "" {
		h.team = cb.Authorizations[0].Team
	}
	if _, valid := readSpot(h.spot().String()); !valid || own(cb, h.said) || !newly(h.Subtype) {
		return h, false, nil
	}
	return h, true, nil
}

// own tells whether the app itself has posted m.
func own(cb callback, m said) bool {
	if m.Metadata.Type == outboundEvent || m.App != "" && m.App == cb.App {
		return true
	}
	for _, a := range cb.Authorizations {
		if a.User != "" && a.User == m.User {
			return true
		}
	}
	return false
}

// newly tells whether a message of a subtype is something newly said. Edits,
// deletions, joins and the like are not.
func newly(subtype string) bool {
	switch subtype {
	case "", "thread_broadcast", "me_message", "file_share", "bot_message":
		return true
	}
	return false
}

// take hands a callback over to the host. It returns nil when Slack may be
// told that it was taken: it is stored, or will never be.
func (c *connector) take(ctx context.Context, h heard) error {
	if me, ok := c.api.known(); ok && (h.Bot != "" && h.Bot == me.bot || h.User == me.user) {
		return nil // its own post, without what tells so sooner
	}
	in, err := c.inbound(ctx, h)
	if err == nil {
		_, err = c.host.Put(ctx, in)
	}
	if errors.Is(err, sdk.ErrRefused) || event.IsPermanent(err) {
		c.refused(ctx, h, err)
		return nil
	}
	return err
}

// inbound is what the host is told of h.
func (c *connector) inbound(ctx context.Context, h heard) (event.Inbound, error) {
	author := h.User
	if author == "" {
		author = h.Bot
	}
	in := event.Inbound{Envelope: event.Envelope{
		Kind: event.KindMessage, Sender: address(h.team, author), SenderName: oneLine(h.Name), NativeID: h.spot().String(),
		Recipient: address(h.team, h.Channel), Sent: moment(h.TS), Automatic: h.Bot != "",
	}}
	if h.User != "" && in.SenderName == "" {
		in.SenderName = c.people.name(ctx, h.User)
	}
	if h.ThreadTS != "" {
		in.Thread = spot{h.Channel, h.ThreadTS}.String()
	}
	text := c.text(ctx, h)
	if h.ChannelType == "im" {
		var err error
		if text, err = c.toPerson(ctx, &in, h, text); err != nil {
			return in, err
		}
	}
	in.Content = event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)}
	return in, nil
}

// text is what somebody wrote, with the names of the files they added.
func (c *connector) text(ctx context.Context, h heard) string {
	lines := []string{clean(plain(h.Text, func(user string) string { return c.people.name(ctx, user) }))}
	if lines[0] == "" {
		lines = nil
	}
	for _, f := range h.Files {
		name := oneLine(f.Name)
		if name == "" {
			name = oneLine(f.Title)
		}
		lines = append(lines, "[file: "+name+"]")
	}
	text := strings.Join(lines, "\n")
	if h.Subtype == "me_message" {
		text = "* " + text
	}
	return text
}

// refused says why the host did not take a message: in the log, and in a
// direct conversation to its author, who wrote to nobody else.
func (c *connector) refused(ctx context.Context, h heard, why error) {
	c.log.Info("not taken", "native", h.spot().String(), "err", why)
	if h.ChannelType != "im" || h.Bot != "" || !c.hints.first(h.spot()) {
		return
	}
	at := h.spot()
	if h.ThreadTS != "" {
		at.ts = h.ThreadTS
	}
	_, err := c.post(ctx, post{id: "hint/" + h.spot().String(), at: at, text: hint(why, c.set.SIPDomain)})
	if err != nil {
		c.log.Warn("slack: the author could not be told that a message was not taken", "native", h.spot().String(), "err", err)
	}
}
