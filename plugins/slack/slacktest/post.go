package slacktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"
)

// postMessage stores a post, tells the app of it too, and answers, unless the
// test wants it otherwise.
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request, args url.Values) {
	s.mu.Lock()
	after := s.faults.after
	if wait := s.pace(args.Get("channel")); after == 0 {
		after = wait
	}
	s.mu.Unlock()
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_ = json.NewEncoder(w).Encode(failed("ratelimited"))
		return
	}
	s.mu.Lock()
	o, m, echo := s.store(args)
	s.mu.Unlock()
	if m != nil {
		s.send(echo)
		if s.lost(r, m.ID) {
			panic(http.ErrAbortHandler) // the connection breaks
		}
	}
	answer(w, o)
}

// pace says how long a post has to wait, if the workspace keeps a pace. s.mu
// is held.
func (s *Server) pace(channel string) time.Duration {
	if !s.options.Pace {
		return 0
	}
	now := time.Now()
	if wait := s.posted[channel].Add(time.Second).Sub(now); wait > 50*time.Millisecond {
		return wait
	}
	s.posted[channel] = now
	return 0
}

// store checks the arguments of chat.postMessage and keeps the message. s.mu
// is held.
func (s *Server) store(args url.Values) (o object, m *Message, echo *delivery) {
	c := s.visible(args.Get("channel"))
	text, thread := args.Get("text"), args.Get("thread_ts")
	var meta struct {
		Type    string         `json:"event_type"`
		Payload map[string]any `json:"event_payload"`
	}
	metadata := args.Get("metadata")
	switch {
	case c == nil:
		return failed("channel_not_found"), nil, nil
	case c.archived:
		return failed("is_archived"), nil, nil
	case !c.bot:
		return failed("not_in_channel"), nil, nil
	case text == "":
		return failed("no_text"), nil, nil
	case utf8.RuneCountInString(text) > 40_000:
		return failed("msg_too_long"), nil, nil
	case args.Get("username") != "" && s.options.NoNames:
		return object{"ok": false, "error": "missing_scope", "needed": "chat:write.customize", "provided": s.scopes()}, nil, nil
	case metadata != "" && (json.Unmarshal([]byte(metadata), &meta) != nil || meta.Type == "" || meta.Payload == nil):
		return failed("invalid_metadata_format"), nil, nil
	case thread != "" && c.find(thread) == nil:
		return failed("thread_not_found"), nil, nil
	}
	m = &Message{Channel: c.id, TS: s.stamp(), ThreadTS: thread, User: s.BotUser, Name: args.Get("username"), Raw: text, Text: unescape.Replace(text)}
	if metadata != "" {
		m.metadata = json.RawMessage(metadata)
		m.ID, _ = meta.Payload["id"].(string)
	}
	if root := c.find(thread); root != nil && root.ThreadTS == "" {
		root.ThreadTS = root.TS
	}
	c.messages = append(c.messages, m)
	s.tell()
	return object{"ok": true, "channel": c.id, "ts": m.TS, "message": s.wire(m, true)}, m, s.event(c, s.wire(m, false))
}
