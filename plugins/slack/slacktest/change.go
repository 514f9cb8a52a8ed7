package slacktest

import (
	"net/url"
	"slices"
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
	if refused != nil {
		return refused
	}
	if args.Get("text") == "" {
		return failed("no_text")
	}
	m.Raw, m.Text = args.Get("text"), unescape.Replace(args.Get("text"))
	s.tell()
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
	return object{"ok": true, "channel": m.Channel, "ts": m.TS}
}

func (s *Server) react(args url.Values) object {
	c := s.visible(args.Get("channel"))
	if c == nil {
		return failed("channel_not_found")
	}
	m := c.find(args.Get("timestamp"))
	name := args.Get("name")
	switch {
	case m == nil:
		return failed("message_not_found")
	case name != "thumbsup" && name != "tada": // of Slack's names these are enough
		return failed("invalid_name")
	case slices.Contains(m.Reactions, name):
		return failed("already_reacted")
	}
	m.Reactions = append(m.Reactions, name)
	s.tell()
	return object{"ok": true}
}
