package slacktest

import (
	"net/url"
	"slices"
	"unicode/utf8"
)

// The methods below are called with s.mu held.

// mine returns a post of the app's own, or the error that Slack gives.
func (s *Server) mine(args url.Values, denied string) (*Message, object) {
	c := s.visible(args.Get("channel"))
	if c == nil {
		return nil, failed("channel_not_found")
	}
	m := c.find(args.Get("ts"))
	if m == nil {
		return nil, failed("message_not_found")
	}
	if m.User != s.BotUser {
		return nil, failed(denied)
	}
	return m, nil
}

func (s *Server) update(args url.Values) object {
	m, refused := s.mine(args, "cant_update_message")
	switch text := args.Get("text"); {
	case refused != nil:
		return refused
	case text == "":
		return failed("no_text")
	case utf8.RuneCountInString(text) > 40_000:
		return failed("msg_too_long")
	}
	c, before := s.channels[m.Channel], s.wire(m, true)
	m.Raw, m.Text = args.Get("text"), unescape.Replace(args.Get("text"))
	s.tell()
	s.echo(c, object{"subtype": "message_changed", "message": s.wire(m, true), "previous_message": before})
	return object{"ok": true, "channel": m.Channel, "ts": m.TS, "text": m.Raw}
}

func (s *Server) remove(args url.Values) object {
	m, refused := s.mine(args, "cant_delete_message")
	if refused != nil {
		return refused
	}
	c := s.channels[m.Channel]
	c.messages = slices.DeleteFunc(c.messages, func(o *Message) bool { return o == m })
	s.tell()
	s.echo(c, object{"subtype": "message_deleted", "deleted_ts": m.TS, "previous_message": s.wire(m, true)})
	return object{"ok": true, "channel": m.Channel, "ts": m.TS}
}

// echo tells the app what became of a message by its own doing: Slack tells it
// everything.
func (s *Server) echo(c *channel, fields map[string]any) {
	fields["ts"] = s.stamp()
	if fields["type"] == nil {
		fields["type"], fields["hidden"] = "message", true
	}
	s.echoes = append(s.echoes, s.event(c, fields))
}

// reactable returns the message that a reaction is to, or the error that Slack
// gives.
func (s *Server) reactable(args url.Values) (*Message, object) {
	c, name := s.visible(args.Get("channel")), args.Get("name")
	switch {
	case s.options.NoReactions:
		return nil, object{"ok": false, "error": "missing_scope", "needed": "reactions:write", "provided": s.scopes()}
	case args.Get("channel") == "" || args.Get("timestamp") == "":
		return nil, failed("no_item_specified")
	case c == nil:
		return nil, failed("channel_not_found")
	case name != "thumbsup" && name != "tada": // of Slack's names these are enough
		return nil, failed("invalid_name")
	}
	m := c.find(args.Get("timestamp"))
	if m == nil {
		return nil, failed("message_not_found")
	}
	return m, nil
}

func (s *Server) react(args url.Values) object {
	m, refused := s.reactable(args)
	name := args.Get("name")
	switch {
	case refused != nil:
		return refused
	case s.channels[m.Channel].archived:
		return failed("is_archived")
	case slices.Contains(m.Reactions, name):
		return failed("already_reacted")
	}
	m.Reactions = append(m.Reactions, name)
	s.tell()
	s.echoes = append(s.echoes, s.reaction("reaction_added", s.BotUser, m, name))
	return object{"ok": true}
}

func (s *Server) unreact(args url.Values) object {
	m, refused := s.reactable(args)
	name := args.Get("name")
	switch {
	case refused != nil:
		return refused
	case !slices.Contains(m.Reactions, name):
		return failed("no_reaction")
	}
	m.Reactions = slices.DeleteFunc(m.Reactions, func(r string) bool { return r == name })
	s.tell()
	s.echoes = append(s.echoes, s.reaction("reaction_removed", s.BotUser, m, name))
	return object{"ok": true}
}

// reaction is the event of a reaction.
func (s *Server) reaction(kind, user string, m *Message, name string) *delivery {
	return s.event(s.channels[m.Channel], object{
		"type": kind, "user": user, "reaction": name, "item_user": m.User, "event_ts": s.stamp(),
		"item": object{"type": "message", "channel": m.Channel, "ts": m.TS},
	})
}

// React has a person react to a message, or take that back.
func (s *Server) React(user, channel, ts, name string, taken bool) {
	s.mu.Lock()
	kind := "reaction_added"
	if taken {
		kind = "reaction_removed"
	}
	e := s.reaction(kind, user, s.channels[channel].find(ts), name)
	s.mu.Unlock()
	s.send(e)
}
