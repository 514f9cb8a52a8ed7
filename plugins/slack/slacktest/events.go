package slacktest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// maxAttempts is how often an event is sent: once, and three times again.
const maxAttempts = 4

// A delivery is an event on its way to the app.
type delivery struct {
	envelope string
	event    string // event_id, the same for repetitions
	payload  []byte
	attempt  int
	reason   string
	timer    *time.Timer
	acked    chan struct{} // closed when it was acknowledged; may be nil
}

type requestURL struct {
	url    string
	client *http.Client
}

// event makes the event that tells the app of a message. s.mu is held.
func (s *Server) event(c *channel, message map[string]any) *delivery {
	kind := "channel"
	switch {
	case c.with != "":
		kind = "im"
	case c.private:
		kind = "group"
	}
	inner := map[string]any{"channel": c.id, "channel_type": kind, "event_ts": message["ts"]}
	for k, v := range message {
		inner[k] = v
	}
	e := &delivery{envelope: s.id("env"), event: s.id("Ev")}
	e.payload, _ = json.Marshal(map[string]any{ // of maps and strings
		"token": "verification", "team_id": s.Team, "api_app_id": s.App, "event": inner, "type": "event_callback",
		"event_id": e.event, "event_time": time.Now().Unix(), "is_ext_shared_channel": false,
		"authorizations": []any{map[string]any{"team_id": s.Team, "user_id": s.BotUser, "is_bot": true, "is_enterprise_install": false}},
	})
	if !c.bot {
		e.payload = nil // the app hears nothing of it
	}
	s.faults.events = append(s.faults.events, e)
	return e
}

// RequestURL has events sent over HTTP to url, by client, instead of by Socket
// Mode.
func (s *Server) RequestURL(url string, client *http.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request = &requestURL{url, client}
}

// send sends an event to the app, and again while it is not acknowledged.
func (s *Server) send(e *delivery) {
	if e.payload == nil {
		return
	}
	s.mu.Lock()
	request := s.request
	s.mu.Unlock()
	if request == nil {
		s.byWebSocket(e)
		return
	}
	s.running.Go(func() {
		for e.attempt < maxAttempts && s.ctx.Err() == nil {
			if s.Post(s.ctx, request.client, request.url, e.payload, e.attempt) == nil {
				return
			}
			e.attempt++
			select {
			case <-time.After(s.options.SendAgain):
			case <-s.ctx.Done():
			}
		}
	})
}

// Post sends the body of an event as Slack does, signed, and returns an error
// unless it was acknowledged within three seconds.
func (s *Server) Post(ctx context.Context, client *http.Client, url string, body []byte, retry int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	s.Sign(r.Header, body, time.Now())
	r.Header.Set("Content-Type", "application/json")
	if retry > 0 {
		r.Header.Set("X-Slack-Retry-Num", strconv.Itoa(retry))
		r.Header.Set("X-Slack-Retry-Reason", "http_timeout")
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("not acknowledged: %s", resp.Status)
	}
	return nil
}

// Sign signs a body as of a moment.
func (s *Server) Sign(h http.Header, body []byte, at time.Time) {
	when := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(s.SigningSecret))
	fmt.Fprintf(mac, "v0:%s:%s", when, body)
	h.Set("X-Slack-Request-Timestamp", when)
	h.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
}

// byWebSocket sends to one of the open connections; while there is none, the
// event waits.
func (s *Server) byWebSocket(e *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || e.attempt >= maxAttempts {
		return
	}
	s.pending[e.envelope] = e
	if len(s.sockets) == 0 {
		return // the next connection gets it
	}
	s.hand(e)
}

// Push sends the body of an event once by Socket Mode and returns an error
// unless it was acknowledged within three seconds.
func (s *Server) Push(ctx context.Context, body []byte) error {
	s.mu.Lock()
	e := &delivery{envelope: s.id("env"), payload: body, attempt: maxAttempts - 1, acked: make(chan struct{})}
	s.mu.Unlock()
	s.byWebSocket(e)
	select {
	case <-e.acked:
		return nil
	case <-time.After(3 * time.Second):
		return errors.New("not acknowledged")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hand gives an event to the connection whose turn it is. s.mu is held.
func (s *Server) hand(e *delivery) {
	s.turn++
	to := s.sockets[s.turn%len(s.sockets)]
	frame, _ := json.Marshal(map[string]any{ // of strings and JSON
		"envelope_id": e.envelope, "type": "events_api", "accepts_response_payload": false,
		"retry_attempt": e.attempt, "retry_reason": e.reason, "payload": json.RawMessage(e.payload),
	})
	e.timer = time.AfterFunc(s.options.SendAgain, func() { s.again(e.envelope) })
	to.write(frame)
}

// again sends what was not acknowledged once more, in a new envelope.
func (s *Server) again(envelope string) {
	s.mu.Lock()
	e := s.pending[envelope]
	delete(s.pending, envelope)
	if e == nil {
		s.mu.Unlock()
		return
	}
	next := &delivery{envelope: s.id("env"), event: e.event, payload: e.payload, attempt: e.attempt + 1, reason: "timeout"}
	s.mu.Unlock()
	s.byWebSocket(next)
}

// Unacknowledged returns how many events the app has not acknowledged.
func (s *Server) Unacknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// Connections returns how many Socket Mode connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// socket is one Socket Mode connection.
type socket struct {
	conn   *websocket.Conn
	frames chan []byte
}

// write queues a frame; a connection that takes nothing is closed.
func (w *socket) write(frame []byte) {
	select {
	case w.frames <- frame:
	default:
		_ = w.conn.CloseNow()
	}
}
