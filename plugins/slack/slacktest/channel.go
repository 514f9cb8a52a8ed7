package slacktest

import (
	"encoding/json"
	"slices"
	"strings"
)

// Message is a message as people see it.
type Message struct {
	Channel   string
	TS        string
	ThreadTS  string   // of the thread it stands in, or begins with an answer
	User      string   // who posted it; the app's own user for its posts
	Name      string   // it bears: the person's, or what the app gave
	Text      string   // escapes taken back
	Raw       string   // as it was posted
	Reactions []string // of the app, by their names
	ID        string   // of a post of the connector's: that of the delivery
	metadata  json.RawMessage
}

// channel is one place where people talk.
type channel struct {
	id       string
	name     string
	private  bool
	archived bool
	with     string // the person of a direct conversation
	bot      bool   // the app is inside
	messages []*Message
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// find returns a message by its timestamp.
func (c *channel) find(ts string) *Message {
	for _, m := range c.messages {
		if m.TS == ts {
			return m
		}
	}
	return nil
}

// Messages returns what was said in a channel, oldest first.
func (s *Server) Messages(channel string) (list []Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil {
		return nil
	}
	for _, m := range c.messages {
		list = append(list, *m)
	}
	return list
}

// All returns what was said anywhere, by channel.
func (s *Server) All() (list []Message) {
	s.mu.Lock()
	var ids []string
	for id := range s.channels {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		list = append(list, s.Messages(id)...)
	}
	return list
}

// wire is the JSON of a message in the Web API and in events.
func (s *Server) wire(m *Message, metadata bool) map[string]any {
	w := map[string]any{"type": "message", "ts": m.TS, "text": m.Raw, "user": m.User}
	if m.ThreadTS != "" {
		w["thread_ts"] = m.ThreadTS
	}
	if m.User == s.BotUser {
		w["bot_id"], w["app_id"] = s.BotID, s.App
		if m.Name != "" { // as a post under another name is shown
			w["subtype"], w["username"] = "bot_message", m.Name
			delete(w, "user")
		}
	}
	if metadata && m.metadata != nil {
		w["metadata"] = m.metadata
	}
	return w
}
