package slacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// serve answers a request of the Web API, or upgrades one for Socket Mode.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/link" {
		s.serveSocket(w, r)
		return
	}
	if s.serveFile(w, r) {
		return
	}
	method, ok := strings.CutPrefix(r.URL.Path, "/api/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	args, token, err := arguments(r)
	if err != nil {
		answer(w, failed("invalid_form_data"))
		return
	}
	s.mu.Lock()
	if s.faults.requests == nil {
		s.faults.requests = map[string]int{}
	}
	s.faults.requests[method]++
	f := s.faults
	s.mu.Unlock()
	if wait := f.slow[method]; wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return
		}
	}
	if f.status != 0 {
		http.Error(w, "<html>this went wrong</html>", f.status)
		return
	}
	s.method(w, r, method, args, token)
}

type object = map[string]any

func failed(code string) object { return object{"ok": false, "error": code} }

func answer(w http.ResponseWriter, o object) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(o) // into a connection
}

// arguments reads a method's arguments: a form, a query, or JSON.
func arguments(r *http.Request) (args url.Values, token string, err error) {
	args = r.URL.Query()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
	case kind == "application/json":
		var o map[string]any
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&o); err != nil && err != io.EOF {
			return nil, "", err
		}
		for k, v := range o {
			switch v := v.(type) {
			case string:
				args.Set(k, v)
			case nil:
			default:
				b, _ := json.Marshal(v) // it was JSON
				args.Set(k, string(b))
			}
		}
	default:
		if err := r.ParseMultipartForm(1 << 20); err != nil && err != http.ErrNotMultipart {
			return nil, "", err
		}
		args = r.Form
	}
	token = args.Get("token")
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = t
	}
	return args, token, nil
}

// method checks the token and answers.
func (s *Server) method(w http.ResponseWriter, r *http.Request, name string, args url.Values, token string) {
	s.mu.Lock()
	revoked := s.faults.revoked
	s.mu.Unlock()
	opening := name == "apps.connections.open"
	switch {
	case token == "":
		answer(w, failed("not_authed"))
		return
	case revoked:
		answer(w, failed("token_revoked"))
		return
	case token != s.BotToken && token != s.AppToken:
		answer(w, failed("invalid_auth"))
		return
	case opening != (token == s.AppToken):
		answer(w, failed("not_allowed_token_type"))
		return
	case name == "chat.postMessage":
		s.postMessage(w, r, args)
		return
	}
	call, ok := map[string]func(url.Values) object{
		"auth.test": s.authTest, "apps.connections.open": s.openConnection, "users.info": s.usersInfo,
		"conversations.open": s.openDirect, "conversations.info": s.info, "conversations.join": s.join,
		"chat.update": s.update, "chat.delete": s.remove, "reactions.add": s.react, "reactions.remove": s.unreact,
		"files.getUploadURLExternal": s.uploadURL, "files.completeUploadExternal": s.complete,
		"files.info": s.fileInfo, "files.delete": s.deleteFile,
		"conversations.history": s.history, "conversations.replies": s.replies,
	}[name]
	if !ok {
		answer(w, failed("unknown_method"))
		return
	}
	w.Header().Set("X-OAuth-Scopes", s.scopes())
	s.mu.Lock()
	o, lost, echoes := call(args), s.faults.unheard(name), s.echoes
	s.echoes = nil
	s.mu.Unlock()
	for _, e := range echoes {
		s.send(e)
	}
	if lost {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	answer(w, o)
}

func (s *Server) scopes() string {
	list := "channels:history,channels:join,channels:read,chat:write,groups:history,groups:read,im:history,im:write,reactions:read,users:read"
	for scope, missing := range map[string]bool{
		"chat:write.customize": s.options.NoNames, "files:read": s.options.NoFiles, "files:write": s.options.NoFiles, "reactions:write": s.options.NoReactions,
	} {
		if !missing {
			list += "," + scope
		}
	}
	return list
}

// The methods below are called with s.mu held.

func (s *Server) authTest(url.Values) object {
	return object{"ok": true, "url": "https://team.slack.com/", "team": "Team", "user": "parley", "team_id": s.Team, "user_id": s.BotUser, "bot_id": s.BotID}
}

func (s *Server) openConnection(url.Values) object {
	if len(s.sockets) >= 10 {
		return failed("too_many_websockets")
	}
	ticket := s.id("ticket")
	s.tickets[ticket] = true
	return object{"ok": true, "url": "ws" + strings.TrimPrefix(s.http.URL, "http") + "/link?ticket=" + ticket}
}

func (s *Server) usersInfo(args url.Values) object {
	name, ok := s.people[args.Get("user")]
	if !ok {
		return failed("user_not_found")
	}
	return object{"ok": true, "user": object{
		"id": args.Get("user"), "team_id": s.Team, "name": strings.ToLower(name), "real_name": name,
		"profile": object{"display_name": name, "real_name": name},
	}}
}

func (s *Server) openDirect(args url.Values) object {
	user := args.Get("users")
	switch {
	case user == "":
		return failed("users_list_not_supplied")
	case user == s.BotUser:
		return failed("cannot_dm_bot")
	case s.people[user] == "":
		return failed("user_not_found")
	}
	return object{"ok": true, "channel": object{"id": s.open(user)}}
}

// visible returns a channel that the app can know of.
func (s *Server) visible(id string) *channel {
	c := s.channels[id]
	if c == nil || c.private && !c.bot {
		return nil
	}
	return c
}

func (s *Server) info(args url.Values) object {
	c := s.visible(args.Get("channel"))
	if c == nil {
		return failed("channel_not_found")
	}
	return object{"ok": true, "channel": object{"id": c.id, "name": c.name, "is_member": c.bot, "is_private": c.private, "is_archived": c.archived, "is_im": c.with != ""}}
}

func (s *Server) join(args url.Values) object {
	c := s.visible(args.Get("channel"))
	switch {
	case c == nil:
		return failed("channel_not_found")
	case c.private:
		return failed("method_not_supported_for_channel_type")
	case c.archived:
		return failed("is_archived")
	}
	c.bot = true
	return object{"ok": true, "channel": object{"id": c.id}}
}

// history answers with what stands at the top of a channel, newest first.
func (s *Server) history(args url.Values) object {
	c := s.visible(args.Get("channel"))
	if c == nil {
		return failed("channel_not_found")
	}
	if !c.bot {
		return failed("not_in_channel")
	}
	var list []*Message
	for i := len(c.messages) - 1; i >= 0; i-- {
		if m := c.messages[i]; m.ThreadTS == "" || m.ThreadTS == m.TS {
			list = append(list, m)
		}
	}
	return s.pageOf(list, args)
}

// replies answers with a thread, oldest first, its root always.
func (s *Server) replies(args url.Values) object {
	c := s.visible(args.Get("channel"))
	if c == nil {
		return failed("channel_not_found")
	}
	if !c.bot {
		return failed("not_in_channel")
	}
	root := c.find(args.Get("ts"))
	if root == nil {
		return failed("thread_not_found")
	}
	list := []*Message{root}
	for _, m := range c.messages {
		if m.ThreadTS == root.TS && m != root {
			list = append(list, m)
		}
	}
	return s.pageOf(list, args)
}

// pageOf cuts a list as its arguments say.
func (s *Server) pageOf(list []*Message, args url.Values) object {
	limit, err := strconv.Atoi(args.Get("limit"))
	if err != nil || limit <= 0 {
		limit = 100
	}
	from, _ := strconv.Atoi(args.Get("cursor"))
	page, next := []any{}, ""
	for i, m := range list {
		switch {
		case i < from, m.TS < args.Get("oldest"):
		case len(page) == min(limit, 999):
			if next == "" {
				next = fmt.Sprint(i)
			}
		default:
			page = append(page, s.wire(m, args.Get("include_all_metadata") == "1" || args.Get("include_all_metadata") == "true"))
		}
	}
	return object{"ok": true, "messages": page, "has_more": next != "", "response_metadata": object{"next_cursor": next}}
}
