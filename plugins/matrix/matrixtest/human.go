package matrixtest

import (
	"time"
)

// Human is a person with an account.
type Human struct {
	ID string
	s  *Server
}

// Human returns the person of a name, who needs no introduction the second
// time. display may be empty.
func (s *Server) Human(localpart, display string) *Human {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &Human{"@" + localpart + ":" + s.Domain, s}
	if s.people[h.ID] == nil {
		s.people[h.ID] = &user{display}
	}
	return h
}

// Room says what room a Human makes.
type Room struct {
	Alias     string // localpart; none when empty
	Public    bool   // anybody may join
	Encrypted bool
	Invite    []string
}

// Create makes a room and returns its id.
func (h *Human) Create(o Room) string {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	r := newRoom(h.s.id("!") + ":" + h.s.Domain)
	r.public = o.Public
	h.s.rooms[r.id] = r
	if o.Alias != "" {
		h.s.aliases["#"+o.Alias+":"+h.s.Domain] = r.id
	}
	key := ""
	h.s.add(r, h.ID, "m.room.create", &key, map[string]any{"creator": h.ID}, time.Now())
	h.s.setMember(r, h.ID, h.ID, "join", nil)
	if o.Encrypted {
		h.s.add(r, h.ID, "m.room.encryption", &key, map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}, time.Now())
	}
	for _, who := range o.Invite {
		h.s.setMember(r, h.ID, who, "invite", nil)
	}
	return r.id
}

// member changes a membership as h.
func (h *Human) member(room, who, membership string) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.setMember(h.s.rooms[room], h.ID, who, membership, nil)
}

// Join joins a room.
func (h *Human) Join(room string) { h.member(room, h.ID, "join") }

// Leave leaves a room.
func (h *Human) Leave(room string) { h.member(room, h.ID, "leave") }

// Invite invites somebody.
func (h *Human) Invite(room, who string) { h.member(room, who, "invite") }

// Kick throws somebody out.
func (h *Human) Kick(room, who string) { h.member(room, who, "leave") }

// Ban throws somebody out for good.
func (h *Human) Ban(room, who string) { h.member(room, who, "ban") }

// Silence has somebody not speak in a room any more.
func (h *Human) Silence(room, who string) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.rooms[room].silent[who] = true
}

// Move makes an alias point to another room.
func (s *Server) Move(alias, room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aliases[alias] = room
}

// Say says something in a room and returns the event's id.
func (h *Human) Say(room, text string) string {
	return h.Send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": text})
}

// Answer says something in the thread of another event.
func (h *Human) Answer(room, root, text string) string {
	return h.Send(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": text, "m.relates_to": map[string]any{
			"rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": map[string]any{"event_id": root},
		},
	})
}

// Send sends any event.
func (h *Human) Send(room, kind string, content map[string]any) string {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.add(h.s.rooms[room], h.ID, kind, nil, content, time.Now()).ID
}

// SetState sends a state event.
func (h *Human) SetState(room, kind, key string, content map[string]any) string {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.add(h.s.rooms[room], h.ID, kind, &key, content, time.Now()).ID
}

// Type begins or stops composing.
func (h *Human) Type(room string, on bool) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	r := h.s.rooms[room]
	h.s.setTyping(r, h.ID, on)
}

// Read reads up to an event.
func (h *Human) Read(room, event string) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.setRead(h.s.rooms[room], h.ID, event)
}

// setTyping is called with mu held.
func (s *Server) setTyping(r *room, who string, on bool) {
	if r.typing[who] = on; !on {
		delete(r.typing, who)
	}
	list := []string{}
	for u := range r.typing {
		list = append(list, u)
	}
	s.ephemeral(r, "m.typing", map[string]any{"user_ids": list})
}

// setRead is called with mu held.
func (s *Server) setRead(r *room, who, event string) {
	r.read[who] = event
	s.ephemeral(r, "m.receipt", map[string]any{
		event: map[string]any{"m.read": map[string]any{who: map[string]any{"ts": time.Now().UnixMilli()}}},
	})
}
