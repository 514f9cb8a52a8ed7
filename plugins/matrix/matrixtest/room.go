package matrixtest

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Event is an event of a room.
type Event struct {
	ID       string         `json:"event_id"`
	Room     string         `json:"room_id"`
	Type     string         `json:"type"`
	Sender   string         `json:"sender"`
	StateKey *string        `json:"state_key,omitempty"`
	Time     int64          `json:"origin_server_ts"`
	Content  map[string]any `json:"content"`
}

// Text returns the body of a message.
func (e Event) Text() string {
	body, _ := e.Content["body"].(string)
	return body
}

// A room is one room.
type room struct {
	id      string
	public  bool
	silent  map[string]bool // users who may not speak
	events  []Event
	state   map[[2]string]Event
	members map[string]string
	typing  map[string]bool
	read    map[string]string // user: event
}

func newRoom(id string) *room {
	return &room{
		id: id, silent: map[string]bool{}, state: map[[2]string]Event{}, members: map[string]string{},
		typing: map[string]bool{}, read: map[string]string{},
	}
}

// add appends an event, keeps the room's state and pushes it if the
// application service is concerned. mu is held.
func (s *Server) add(r *room, sender, kind string, key *string, content map[string]any, at time.Time) Event {
	ev := Event{ID: s.id("$"), Room: r.id, Type: kind, Sender: sender, StateKey: key, Time: at.UnixMilli(), Content: content}
	if kind == "m.room.redaction" {
		r.strip(content["redacts"])
	}
	concerned := s.concerned(r) || s.owns(sender)
	if key != nil {
		r.state[[2]string{kind, *key}] = ev
		if kind == "m.room.member" {
			r.members[*key], _ = content["membership"].(string)
			concerned = concerned || s.owns(*key)
		}
	}
	r.events = append(r.events, ev)
	if concerned {
		s.pusher.events = append(s.pusher.events, marshal(ev))
		s.pusher.poke()
	}
	s.tell()
	return ev
}

// strip takes away what an event says, to whom it relates too. Matrix
// specification, room version 11, "Redactions".
func (r *room) strip(redacted any) {
	for i, ev := range r.events {
		if ev.ID == redacted && ev.StateKey == nil {
			r.events[i].Content = map[string]any{}
		}
	}
}

// concerned tells whether the application service has somebody in the room.
func (s *Server) concerned(r *room) bool {
	for u, m := range r.members {
		if m == "join" && s.owns(u) {
			return true
		}
	}
	return false
}

// ephemeral pushes what is not kept. mu is held.
func (s *Server) ephemeral(r *room, kind string, content any) {
	if s.concerned(r) {
		s.pusher.ephemeral = append(s.pusher.ephemeral, marshal(map[string]any{"type": kind, "room_id": r.id, "content": content}))
		s.pusher.poke()
	}
	s.tell()
}

// setMember changes somebody's membership. mu is held.
func (s *Server) setMember(r *room, sender, who, membership string, more map[string]any) Event {
	content := map[string]any{"membership": membership}
	maps.Copy(content, more)
	if p := s.people[who]; p != nil && p.name != "" && membership != "leave" {
		content["displayname"] = p.name
	}
	return s.add(r, sender, "m.room.member", &who, content, time.Now())
}

func marshal(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps of what came from JSON
	}
	return data
}

// Events returns all events of a room in order.
func (s *Server) Events(room string) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[room]; r != nil {
		return slices.Clone(r.events)
	}
	return nil
}

// Messages returns the messages of a room in order.
func (s *Server) Messages(room string) (list []Event) {
	for _, e := range s.Events(room) {
		if e.Type == "m.room.message" {
			list = append(list, e)
		}
	}
	return list
}

// Rooms returns the ids of all rooms that somebody is in or invited to.
func (s *Server) Rooms(who string) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.rooms {
		if m := r.members[who]; m == "join" || m == "invite" {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// Membership returns whether somebody is in a room: join, invite, leave, ban
// or nothing.
func (s *Server) Membership(room, who string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[room]; r != nil {
		return r.members[who]
	}
	return ""
}

// Typing tells whether somebody is shown as composing in a room.
func (s *Server) Typing(room, who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[room]
	return r != nil && r.typing[who]
}

// ReadBy returns the event up to which somebody has read a room.
func (s *Server) ReadBy(room, who string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[room]; r != nil {
		return r.read[who]
	}
	return ""
}

// Resolve returns the room that an alias points to, "" for none.
func (s *Server) Resolve(alias string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aliases[alias]
}
