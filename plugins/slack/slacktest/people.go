package slacktest

import (
	"fmt"
	"slices"
)

// Person adds somebody to the workspace and returns their id.
func (s *Server) Person(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.id("U")
	s.people[id] = name
	return id
}

// Channel adds a public channel that the app is in, and returns its id.
func (s *Server) Channel(name string) string { return s.add(&channel{name: name, bot: true}) }

// Closed adds a channel that the app is not in, and returns its id.
func (s *Server) Closed(name string, private bool) string {
	return s.add(&channel{name: name, private: private})
}

// Archive archives a channel, or takes that back.
func (s *Server) Archive(id string, archived bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[id].archived = archived
}

func (s *Server) add(c *channel) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.id = s.id("C")
	s.channels[c.id] = c
	return c.id
}

// Delete takes a message away. A thread without answers is gone with it.
func (s *Server) Delete(channel, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	c.messages = slices.DeleteFunc(c.messages, func(m *Message) bool { return m.TS == ts })
	s.tell()
}

// Direct returns the channel in which a person and the app talk.
func (s *Server) Direct(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open(user)
}

// open is called with s.mu held.
func (s *Server) open(user string) string {
	if id := s.direct[user]; id != "" {
		return id
	}
	c := &channel{id: s.id("D"), private: true, with: user, bot: true}
	s.channels[c.id], s.direct[user] = c, c.id
	return c.id
}

// Say has a person say something, in a thread if thread is given, and tells
// the app. text is as Slack sends it: escaped, with references in angle
// brackets. It returns the timestamp.
func (s *Server) Say(user, channel, text, thread string) string {
	ts, envelope := s.said(user, channel, text, thread)
	s.send(envelope)
	return ts
}

// Event returns the body of the event by which Slack tells the app of what a
// person says, without telling it.
func (s *Server) Event(user, channel, text, thread string) (ts string, body []byte) {
	ts, e := s.said(user, channel, text, thread)
	return ts, e.payload
}

func (s *Server) said(user, channel, text, thread string) (ts string, e *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	if c == nil || s.people[user] == "" {
		panic(fmt.Sprintf("slacktest: no %s or %s", user, channel))
	}
	m := &Message{Channel: channel, TS: s.stamp(), ThreadTS: thread, User: user, Name: s.people[user], Raw: text, Text: unescape.Replace(text)}
	c.messages = append(c.messages, m)
	s.tell()
	return m.TS, s.event(c, s.wire(m, true))
}

// Tell sends the app an event of a channel with more or other fields.
func (s *Server) Tell(channel string, fields map[string]any) {
	s.mu.Lock()
	c := s.channels[channel]
	e := s.event(c, fields)
	s.mu.Unlock()
	s.send(e)
}

// Repeat sends the last n events once more, with the ids they had.
func (s *Server) Repeat(n int) {
	s.mu.Lock()
	list := s.faults.events
	list = list[max(0, len(list)-n):]
	again := make([]*delivery, len(list))
	for i, e := range list {
		again[i] = &delivery{payload: e.payload, event: e.event, envelope: s.id("env"), attempt: 1}
	}
	s.mu.Unlock()
	for _, e := range again {
		s.send(e)
	}
}
