package matrixtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Server) resolve(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(r.arg[0], "#") || !strings.Contains(r.arg[0], ":") {
		return nil, refuse(http.StatusBadRequest, "M_INVALID_PARAM", "Room alias invalid")
	}
	at, ok := s.aliases[r.arg[0]]
	if !ok {
		return nil, notFound("Room alias not found")
	}
	return map[string]any{"room_id": at, "servers": []string{s.Domain}}, nil
}

func (s *Server) createRoom(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alias := ""
	if local := r.text("room_alias_name"); local != "" {
		alias = "#" + local + ":" + s.Domain
		switch {
		case !matches(s.names, alias):
			return nil, refuse(http.StatusBadRequest, "M_EXCLUSIVE", "not an alias of this application service")
		case s.aliases[alias] != "":
			return nil, refuse(http.StatusBadRequest, "M_ROOM_IN_USE", "Room alias already taken")
		}
	}
	at := newRoom(s.id("!") + ":" + s.Domain)
	at.public = r.text("preset") == "public_chat"
	s.rooms[at.id] = at
	key := ""
	s.add(at, r.user, "m.room.create", &key, map[string]any{"creator": r.user}, time.Now())
	s.setMember(at, r.user, r.user, "join", nil)
	if alias != "" {
		s.aliases[alias] = at.id
		s.add(at, r.user, "m.room.canonical_alias", &key, map[string]any{"alias": alias}, time.Now())
	}
	invited, _ := r.body["invite"].([]any)
	for _, u := range invited {
		if who, ok := u.(string); ok {
			s.setMember(at, r.user, who, "invite", map[string]any{"is_direct": r.body["is_direct"] == true})
		}
	}
	return map[string]any{"room_id": at.id}, nil
}

// room returns the room of a request. mu is held.
func (s *Server) room(r *request) (*room, error) {
	at := s.rooms[r.arg[0]]
	if at == nil {
		return nil, notFound("Unknown room")
	}
	return at, nil
}

// inside returns the room of a request whose user is inside. mu is held.
func (s *Server) inside(r *request) (*room, error) {
	at := s.rooms[r.arg[0]]
	if at == nil || at.members[r.user] != "join" {
		return nil, forbidden("User " + r.user + " not in room " + r.arg[0])
	}
	return at, nil
}

func (s *Server) join(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to, ok := s.aliases[r.arg[0]]; ok {
		r.arg[0] = to
	}
	at, err := s.room(r)
	if err != nil {
		return nil, err
	}
	switch m := at.members[r.user]; {
	case m == "join":
		return map[string]any{"room_id": at.id}, nil
	case m == "ban":
		return nil, forbidden(r.user + " is banned from the room")
	case m != "invite" && !at.public:
		return nil, forbidden("You are not invited to this room.")
	}
	s.setMember(at, r.user, r.user, "join", nil)
	return map[string]any{"room_id": at.id}, nil
}

func (s *Server) invite(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	who := r.text("user_id")
	switch m := at.members[who]; {
	case !strings.HasPrefix(who, "@"):
		return nil, refuse(http.StatusBadRequest, "M_BAD_JSON", "user_id missing")
	case m == "join":
		return nil, forbidden(who + " is already in the room.")
	case m == "ban":
		return nil, forbidden(who + " is banned from the room")
	case at.silent[r.user]:
		return nil, forbidden("You don't have permission to invite users")
	}
	s.setMember(at, r.user, who, "invite", nil)
	return map[string]any{}, nil
}

func (s *Server) leave(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.room(r)
	if err != nil {
		return nil, err
	}
	if m := at.members[r.user]; m != "join" && m != "invite" {
		return nil, forbidden("User " + r.user + " not in room " + at.id)
	}
	s.setMember(at, r.user, r.user, "leave", map[string]any{"reason": r.text("reason")})
	return map[string]any{}, nil
}

func (s *Server) joinedMembers(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	joined := map[string]any{}
	for u, m := range at.members {
		if m != "join" {
			continue
		}
		entry := map[string]any{}
		if p := s.people[u]; p != nil {
			entry["display_name"] = p.name
		}
		joined[u] = entry
	}
	return map[string]any{"joined": joined}, nil
}

func (s *Server) getState(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	key := [2]string{r.arg[1], ""}
	if len(r.arg) > 2 {
		key[1] = r.arg[2]
	}
	ev, ok := at.state[key]
	if !ok {
		return nil, notFound("Event not found.")
	}
	return ev.Content, nil
}

func (s *Server) putState(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	key := ""
	if len(r.arg) > 2 {
		key = r.arg[2]
	}
	if at.silent[r.user] || r.arg[1] == "m.room.member" {
		return nil, forbidden("You don't have permission to post that to the room.")
	}
	return map[string]any{"event_id": s.add(at, r.user, r.arg[1], &key, r.body, time.Now()).ID}, nil
}

// getMessages returns the last messages of a room, the newest first, one page.
func (s *Server) getMessages(r *request) (any, error) {
	var filter struct{ Types, Senders []string }
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || r.URL.Query().Get("dir") != "b" {
		return nil, refuse(http.StatusBadRequest, "M_INVALID_PARAM", "dir must be b, and limit a number")
	}
	if f := r.URL.Query().Get("filter"); f != "" && json.Unmarshal([]byte(f), &filter) != nil {
		return nil, refuse(http.StatusBadRequest, "M_NOT_JSON", "filter")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	chunk := []Event{}
	for _, ev := range slices.Backward(at.events) {
		if len(filter.Types) > 0 && !slices.Contains(filter.Types, ev.Type) || len(filter.Senders) > 0 && !slices.Contains(filter.Senders, ev.Sender) {
			continue
		}
		if chunk = append(chunk, ev); len(chunk) == limit {
			break
		}
	}
	return map[string]any{"chunk": chunk, "start": "s"}, nil
}

func (s *Server) getEvent(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	for _, ev := range at.events {
		if ev.ID == r.arg[1] {
			return ev, nil
		}
	}
	return nil, notFound("Event not found.")
}

func (s *Server) receipt(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	if r.arg[1] != "m.read" {
		return nil, refuse(http.StatusBadRequest, "M_INVALID_PARAM", "Receipt type must be m.read")
	}
	s.setRead(at, r.user, r.arg[2])
	return map[string]any{}, nil
}

func (s *Server) putTyping(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	on, ok := r.body["typing"].(bool)
	switch {
	case r.arg[1] != r.user:
		return nil, forbidden("Cannot set another user's typing state")
	case !ok:
		return nil, refuse(http.StatusBadRequest, "M_BAD_JSON", "typing missing")
	}
	s.setTyping(at, r.user, on)
	return map[string]any{}, nil
}

// serveSend stores an event, once for each transaction id. Matrix
// specification, client API, "Transaction identifiers".
func (s *Server) serveSend(w http.ResponseWriter, r *http.Request, arg []string) {
	if s.before(w) {
		return
	}
	q, err := s.read(r, arg)
	if err != nil {
		write(w, nil, err)
		return
	}
	ev, err := s.send(q)
	if err == nil && s.after(w, r, ev) {
		return
	}
	write(w, map[string]any{"event_id": ev.ID}, err)
}

func (s *Server) send(r *request) (Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return Event{}, err
	}
	key := strings.Join(append([]string{r.user}, r.arg...), " ")
	if id, ok := s.sent[key]; ok {
		for _, ev := range at.events {
			if ev.ID == id {
				return ev, nil
			}
		}
	}
	when := time.Now()
	if ts := r.URL.Query().Get("ts"); ts != "" {
		ms, err := strconv.ParseInt(ts, 10, 64)
		if err != nil {
			return Event{}, refuse(http.StatusBadRequest, "M_INVALID_PARAM", "ts must be an integer")
		}
		when = time.UnixMilli(ms)
	}
	if r.arg[1] == "m.room.message" {
		_, typed := r.body["msgtype"].(string)
		if _, ok := r.body["body"].(string); !ok || !typed {
			return Event{}, refuse(http.StatusBadRequest, "M_BAD_JSON", "msgtype and body are required")
		}
	}
	if size(r.body) > maxEvent {
		return Event{}, refuse(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "event too large")
	}
	if at.silent[r.user] {
		return Event{}, forbidden("You don't have permission to post that to the room.")
	}
	ev := s.add(at, r.user, r.arg[1], nil, r.body, when)
	s.sent[key] = ev.ID
	return ev, nil
}

// redact takes what an event says away, once for each transaction id. Matrix
// specification, client API, "Redactions": a member may do so with its own
// events.
func (s *Server) redact(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.inside(r)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(at.events, func(ev Event) bool { return ev.ID == r.arg[1] })
	switch {
	case i < 0:
		return nil, notFound("Event not found")
	case at.events[i].Sender != r.user:
		return nil, forbidden("You don't have permission to redact that event.")
	}
	key := strings.Join(append([]string{r.user, "redact"}, r.arg...), " ")
	if s.sent[key] == "" {
		s.sent[key] = s.add(at, r.user, "m.room.redaction", nil, map[string]any{"redacts": r.arg[1]}, time.Now()).ID
	}
	return map[string]any{"event_id": s.sent[key]}, nil
}
