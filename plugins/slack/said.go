package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
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

// said is an event of type message. Fields of other types than they should
// have are taken as empty: what somebody said must not be lost for them.
// https://docs.slack.dev/reference/events/message
type said struct {
	Type        word         `json:"type"`
	Subtype     word         `json:"subtype"`
	User        word         `json:"user"`
	Bot         word         `json:"bot_id"`
	App         word         `json:"app_id"`
	Name        word         `json:"username"` // of a bot's post
	Text        word         `json:"text"`
	TS          word         `json:"ts"`
	ThreadTS    word         `json:"thread_ts"`
	Channel     word         `json:"channel"`
	ChannelType word         `json:"channel_type"`
	Files       files        `json:"files"`
	Attachments parts        `json:"attachments"`
	Metadata    metadataType `json:"metadata"`
	Now         *said        `json:"message"`          // of message_changed
	Before      *said        `json:"previous_message"` // of that, and of message_deleted
	Deleted     word         `json:"deleted_ts"`
	Reaction    word         `json:"reaction"`
	Item        item         `json:"item"`
	EventTS     word         `json:"event_ts"`
}

// word is a JSON string; anything else reads as empty.
type word string

// UnmarshalJSON never fails.
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*w = word(s)
	}
	return nil
}

// files are what somebody added. https://docs.slack.dev/reference/objects/file-object
type files []attached

type attached struct {
	Name  word `json:"name"`
	Title word `json:"title"`
	Type  word `json:"mimetype"`
	Mode  word `json:"mode"`
	URL   word `json:"url_private_download"`
}

// UnmarshalJSON never fails.
func (f *files) UnmarshalJSON(b []byte) error {
	type plain files
	_ = json.Unmarshal(b, (*plain)(f))
	return nil
}

func (f attached) called() word { return cmp.Or(f.Name, f.Title, "file") }

// fetchable tells whether Slack has the file, and has it still.
func (f attached) fetchable() bool {
	return f.URL != "" && f.Mode != "tombstone" && f.Mode != "hidden_by_limit" && f.Mode != "external"
}

// parts are what an app attached.
type parts []struct {
	Text     word `json:"text"`
	Fallback word `json:"fallback"`
}

// UnmarshalJSON never fails.
func (p *parts) UnmarshalJSON(b []byte) error {
	type plain parts
	_ = json.Unmarshal(b, (*plain)(p))
	return nil
}

type metadataType struct {
	Type    word `json:"event_type"`
	Payload struct {
		Mark word `json:"mark"`
	} `json:"event_payload"`
}

// UnmarshalJSON never fails.
func (m *metadataType) UnmarshalJSON(b []byte) error {
	type plain metadataType
	_ = json.Unmarshal(b, (*plain)(m))
	return nil
}

// A heard is a message that somebody said to the bridge.
type heard struct {
	said
	team  string
	kind  event.Kind // empty: something newly said
	about spot       // of the other kinds: the message that they are about
}

func (h heard) spot() spot { return spot{string(h.Channel), string(h.TS)} }

// direct tells whether it was said to the app alone.
func (h heard) direct() bool {
	return h.ChannelType == "im" || strings.HasPrefix(string(h.Channel), "D")
}

// slackbot is Slack's own voice.
const slackbot = "USLACKBOT"

// hear reads a callback. ok is false for everything that is not something said
// by somebody else, or done to what was said: joins, the app's own posts.
func hear(payload []byte) (h heard, ok bool, err error) {
	var cb callback
	if err := json.Unmarshal(payload, &cb); err != nil {
		return h, false, fmt.Errorf("slack: an event can't be read: %w", err)
	}
	if cb.Type != "event_callback" {
		return h, false, nil
	}
	if err := json.Unmarshal(cb.Event, &h.said); err != nil {
		return h, false, fmt.Errorf("slack: an event can't be read: %w", err)
	}
	h.team = cb.Team
	if len(cb.Authorizations) > 0 && cb.Authorizations[0].Team != "" {
		h.team = cb.Authorizations[0].Team
	}
	concerns := h.concern()
	_, valid := readSpot(h.spot().String())
	if concerns {
		return h, valid && !own(cb, h.said), nil
	}
	ok = h.Type == "message" && valid && (h.User != "" || h.Bot != "") && !own(cb, h.said) && newly(string(h.Subtype))
	return h, ok, nil
}

// own tells whether the app itself has posted m.
func own(cb callback, m said) bool {
	if m.App != "" && string(m.App) == cb.App {
		return true
	}
	if m.Metadata.Type == outboundEvent && m.Bot != "" && (m.mark() == "" || m.App == "") {
		return true // what a bridge says for itself is for people only
	}
	for _, a := range cb.Authorizations {
		if a.User != "" && a.User == string(m.User) {
			return true
		}
	}
	return false
}

// mark is by what another bridge, which has posted m, knows it.
func (m said) mark() string {
	if m.Bot == "" || m.Metadata.Type != outboundEvent {
		return ""
	}
	return string(m.Metadata.Payload.Mark)
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
	if me, ok := c.api.known(); ok && (h.Bot != "" && string(h.Bot) == me.bot || string(h.User) == me.user) {
		return nil // its own post, without what tells so sooner
	}
	if h.kind != "" {
		return c.concerned(ctx, h)
	}
	in, err := c.inbound(ctx, h)
	if err == nil && len(in.Data) > 0 {
		_, err = c.host.Put(ctx, in)
	} else if err == nil {
		err = c.host.Accepts(ctx, in)
	}
	if err == nil {
		err = c.commission(ctx, h, in)
	}
	if errors.Is(err, sdk.ErrRefused) || event.IsPermanent(err) {
		c.refused(ctx, h, err)
		return nil
	}
	return err
}

// nameWait is how long a message waits for the names in it: the first is that
// of its author.
const nameWait = time.Second

// inbound is what the host is told of h.
func (c *connector) inbound(ctx context.Context, h heard) (event.Inbound, error) {
	names, cancel := context.WithTimeout(ctx, nameWait)
	defer cancel()
	author := cmp.Or(string(h.User), string(h.Bot))
	in := event.Inbound{Envelope: event.Envelope{
		Kind: event.KindMessage, Sender: address(h.team, author), SenderName: oneLine(string(h.Name)), NativeID: h.spot().String(),
		Recipient: address(h.team, string(h.Channel)), Sent: moment(string(h.TS)), Automatic: h.Bot != "" || h.User == slackbot, Mark: h.mark(),
	}}
	if h.User != "" && in.SenderName == "" {
		in.SenderName = c.people.name(names, string(h.User))
	}
	if h.ThreadTS != "" {
		in.Thread = spot{string(h.Channel), string(h.ThreadTS)}.String()
	}
	said := c.said(names, h)
	if h.direct() {
		rest, err := c.toPerson(ctx, &in, h, said.text)
		if err != nil {
			return in, err
		}
		if rest != said.text { // the address is gone, and its formats with it
			said = wording{text: rest}
		}
	}
	in.Content = said.content()
	return in, nil
}

// A wording is what somebody wrote, as words and, if it has formats, as
// Markdown.
type wording struct{ text, markdown string }

func (w wording) content() event.Content {
	if w.markdown != "" {
		return event.Content{MediaType: "text/markdown;charset=utf-8", Data: []byte(w.markdown)}
	}
	return event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(w.text)}
}

// said is what somebody wrote, with the names of the people in it, and of the
// files that can't be fetched.
func (c *connector) said(ctx context.Context, h heard) wording {
	docs := c.documents(ctx, h)
	var w wording
	if len(docs) > 0 {
		all := markup.Join(docs...)
		w.text, _ = all.Write(markup.Plain) // a form that there is
		if all.Formatted() {
			w.markdown, _ = all.Write(markup.Markdown)
		}
	}
	if h.Subtype == "me_message" {
		return wording{text: "* " + w.text}
	}
	if strings.TrimSpace(w.text) == "" && !slices.ContainsFunc(h.Files, attached.fetchable) {
		return wording{text: "(a message without text)"}
	}
	return w
}

// documents are the parts of what somebody wrote.
func (c *connector) documents(ctx context.Context, h heard) (docs []*markup.Doc) {
	add := func(src string) {
		d, err := mrkdwn(src, func(user string) string { return c.people.name(ctx, user) })
		if err == nil && len(d.Blocks) > 0 {
			docs = append(docs, d)
		}
	}
	add(string(h.Text))
	for _, a := range h.Attachments {
		add(string(cmp.Or(a.Fallback, a.Text)))
	}
	for _, f := range h.Files {
		if !f.fetchable() {
			add("[file: " + escape(oneLine(string(f.called()))) + "]")
		}
	}
	return docs
}

// refused says why the host did not take a message: in the log, and in a
// direct conversation to its author, who wrote to nobody else.
func (c *connector) refused(ctx context.Context, h heard, why error) {
	c.log.Info("not taken", "native", h.spot().String(), "err", why)
	if !h.direct() || h.Bot != "" || !c.hints.first(h.spot()) {
		return
	}
	at := h.spot()
	if h.ThreadTS != "" {
		at.ts = string(h.ThreadTS)
	}
	err := c.tell(ctx, post{id: "hint/" + h.spot().String(), at: at, text: escape(hint(why, c.set.SIPDomain))})
	if err != nil {
		c.log.Warn("slack: the author could not be told that a message was not taken", "native", h.spot().String(), "err", err)
	}
}

// maxPause is the longest that a hint waits when it was too fast: Slack waits
// three seconds for the acknowledgement of what it answers.
const maxPause = 2 * time.Second

// tell posts what is no delivery, so that the host did not wait for the
// channel's pace: once more when Slack says that this was too fast.
func (c *connector) tell(ctx context.Context, p post) error {
	_, err := c.post(ctx, p)
	scope, after, again := event.AsRetry(err)
	if !again || scope != event.ScopeTarget || after > maxPause {
		return err
	}
	select {
	case <-time.After(after):
		_, err = c.post(ctx, p)
	case <-ctx.Done():
	}
	return err
}
