package web

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley.im/bus/event"
)

// pageLength is how many messages of a conversation a page loads at once.
const pageLength = 40

type sessionAnswer struct {
	Title    string `json:"title"`
	Password bool   `json:"password"` // must be given to join
	Domain   string `json:"domain,omitempty"`
	Name     string `json:"name,omitempty"`
	Token    string `json:"token,omitempty"`

	Reactions []string `json:"reactions"` // emoji to choose from
}

func (s *server) session(p person) sessionAnswer {
	a := sessionAnswer{Title: s.settings.Title, Password: s.settings.Password != "", Name: p.Name, Reactions: picker}
	if p.Name != "" {
		a.Token, a.Domain = p.csrf(), s.settings.SIPDomain
	}
	return a
}

func (s *server) getSession(w http.ResponseWriter, r *http.Request) {
	p, err := s.people.who(r.Context(), token(r))
	if err != nil && !errors.Is(err, errStranger) {
		s.fail(w, err)
		return
	}
	answer(w, s.session(p))
}

func (s *server) postJoin(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name, Password string }
	if !s.joins.allow(peer(r)) {
		slowDown(w)
		return
	}
	if !readJSON(w, r, &in) {
		return
	}
	name, err := checkName(in.Name)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if s.settings.Password != "" && !s.people.admits(in.Password) {
		if !s.tries.allow("") {
			slowDown(w)
			return
		}
		s.fail(w, errPassword)
		return
	}
	if old, err := s.people.who(r.Context(), token(r)); err == nil && old.Name != name {
		refuse(w, http.StatusConflict, "you are already here as "+old.Name+"; leave first")
		return
	}
	p, err := s.people.claim(r.Context(), name, token(r))
	if err != nil {
		s.fail(w, err)
		return
	}
	http.SetCookie(w, cookie(r, p.token, int(nameUnused/time.Second)))
	answer(w, s.session(p))
}

func cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: prefix(r), MaxAge: age, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func (s *server) postLeave(w http.ResponseWriter, r *http.Request, p person) {
	if err := s.people.leave(r.Context(), p); err != nil {
		s.fail(w, err)
		return
	}
	http.SetCookie(w, cookie(r, "", -1))
	answer(w, struct{}{})
}

// A convView is a conversation as a page lists it.
type convView struct {
	ID       string        `json:"id"`
	Kind     string        `json:"kind"` // room, person or outside
	Title    string        `json:"title"`
	Peer     event.Address `json:"peer,omitempty"`
	Read     int64         `json:"read"`
	Unread   int           `json:"unread"`
	More     bool          `json:"more"` // there are older messages
	Messages []*message    `json:"messages"`
}

type stateAnswer struct {
	Cursor        int64      `json:"cursor"` // where /events goes on
	Conversations []convView `json:"conversations"`
	Present       []string   `json:"present"`
	People        []string   `json:"people"`
}

func (s *server) getState(w http.ResponseWriter, r *http.Request, p person) {
	http.SetCookie(w, cookie(r, p.token, int(nameUnused/time.Second)))
	a := stateAnswer{Cursor: s.hub.cursor(), Present: s.hub.present()}
	var err error
	if a.Conversations, err = s.conversations(r.Context(), p); err == nil {
		a.People, err = s.people.known(r.Context())
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, a)
}

// conversations lists the rooms and the person's direct conversations.
func (s *server) conversations(ctx context.Context, p person) ([]convView, error) {
	parts, err := s.store.parts(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	list := []convView{}
	for _, room := range s.settings.Rooms {
		v, err := s.view(ctx, p, roomConv(room), parts[roomConv(room)])
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	for id, part := range parts {
		if strings.HasPrefix(id, "r:") {
			continue
		}
		v, err := s.view(ctx, p, id, part)
		if err != nil {
			return nil, err
		}
		if len(v.Messages) > 0 || part.Opened >= p.Since {
			list = append(list, v)
		}
	}
	return list, nil
}

func (s *server) view(ctx context.Context, p person, id string, part participation) (convView, error) {
	c, err := s.store.conversation(ctx, id)
	if err != nil {
		return convView{}, err
	}
	v := convView{ID: id, Peer: part.Peer, Title: string(part.Peer), Read: part.Read, Kind: "outside"}
	switch names, everybody := members(id); {
	case everybody:
		v.Kind, v.Title = "room", strings.TrimPrefix(id, "r:")
	case strings.HasPrefix(id, "w:"):
		v.Kind, v.Title = "person", names[0]
		if names[0] == p.Name {
			v.Title = names[1]
		}
	}
	since := s.since(p, id)
	v.Messages, v.More = c.before(math.MaxInt64, since, pageLength)
	v.Messages = shown(v.Messages)
	v.Unread = c.unread(max(part.Read, since-1), string(personAddress(p.Name)))
	return v, nil
}

// since is where a conversation begins for p.
func (s *server) since(p person, conv string) int64 {
	if _, everybody := members(conv); everybody {
		return 0
	}
	return p.Since
}

// takesPart tells whether p may read and write in conv.
func (s *server) takesPart(ctx context.Context, p person, conv string) (bool, error) {
	names, everybody := members(conv)
	if everybody {
		return s.settings.hasRoom(strings.TrimPrefix(conv, "r:")), nil
	}
	if !slices.Contains(names, p.Name) {
		return false, nil
	}
	_, revision, err := s.store.part(ctx, p.Name, conv)
	return revision != 0, err
}

// inConversation answers when p has no part in conv.
func (s *server) inConversation(w http.ResponseWriter, r *http.Request, p person, conv string) bool {
	ok, err := s.takesPart(r.Context(), p, conv)
	if err != nil {
		s.fail(w, err)
	} else if !ok {
		refuse(w, http.StatusNotFound, "there is no such conversation")
	}
	return ok && err == nil
}

func (s *server) getHistory(w http.ResponseWriter, r *http.Request, p person) {
	conv := r.FormValue("conv")
	before, err := strconv.ParseInt(r.FormValue("before"), 10, 64)
	if err != nil {
		refuse(w, http.StatusBadRequest, "before which message?")
		return
	}
	if !s.inConversation(w, r, p, conv) {
		return
	}
	c, err := s.store.conversation(r.Context(), conv)
	if err != nil {
		s.fail(w, err)
		return
	}
	list, more := c.before(before, s.since(p, conv), pageLength)
	answer(w, map[string]any{"messages": shown(list), "more": more})
}

func (s *server) postRead(w http.ResponseWriter, r *http.Request, p person) {
	var in struct {
		Conv string
		Seq  int64
	}
	if !readJSON(w, r, &in) || !s.inConversation(w, r, p, in.Conv) {
		return
	}
	seq := min(in.Seq, s.hub.cursor())
	news, err := s.store.read(r.Context(), p.Name, in.Conv, seq)
	if err != nil {
		s.fail(w, err)
		return
	}
	if news {
		s.hub.tell(p.Name, notice{0, "read", marshal(map[string]any{"conv": in.Conv, "read": seq})})
	}
	answer(w, struct{}{})
}
