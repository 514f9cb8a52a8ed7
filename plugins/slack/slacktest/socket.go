package slacktest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"
)

// serveSocket upgrades a request whose ticket is good, once.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	s.mu.Lock()
	good := s.tickets[ticket]
	delete(s.tickets, ticket)
	s.mu.Unlock()
	if !good {
		http.Error(w, "no such ticket", http.StatusNotFound)
		return
	}
	s.running.Add(1) // before the server loses sight of the connection
	defer s.running.Done()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the SDKs send an Origin of their own
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	one := &socket{conn: conn, frames: make(chan []byte, 1000)}
	s.opened(one)
	defer s.closed(one)
	s.running.Go(func() { s.pump(ctx, one) })
	s.read(ctx, one)
}

// opened greets a connection and gives it what waits.
func (s *Server) opened(one *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = append(s.sockets, one)
	hello, _ := json.Marshal(map[string]any{
		"type": "hello", "num_connections": len(s.sockets), "connection_info": map[string]any{"app_id": s.App},
		"debug_info": map[string]any{"host": "applink-1", "approximate_connection_time": 18060},
	})
	one.write(hello)
	for _, e := range s.pending {
		if e.timer == nil {
			s.hand(e)
		}
	}
	s.tell()
}

func (s *Server) closed(one *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = slices.DeleteFunc(s.sockets, func(o *socket) bool { return o == one })
	_ = one.conn.CloseNow()
	s.tell()
}

// pump writes frames, and pings as Slack does.
func (s *Server) pump(ctx context.Context, one *socket) {
	ping := time.NewTicker(5 * time.Second)
	defer ping.Stop()
	for {
		select {
		case frame := <-one.frames:
			if err := one.conn.Write(ctx, websocket.MessageText, frame); err != nil {
				return
			}
		case <-ping.C:
			go func() { _ = one.conn.Ping(ctx) }() // the reader notices a dead one
		case <-ctx.Done():
			_ = one.conn.CloseNow()
			return
		}
	}
}

// read takes acknowledgements.
func (s *Server) read(ctx context.Context, one *socket) {
	for {
		_, frame, err := one.conn.Read(ctx)
		if err != nil {
			return
		}
		var ack struct {
			Envelope string `json:"envelope_id"`
		}
		if json.Unmarshal(frame, &ack) != nil {
			continue
		}
		s.mu.Lock()
		if e := s.pending[ack.Envelope]; e != nil {
			if e.timer != nil {
				e.timer.Stop()
			}
			if e.acked != nil {
				close(e.acked)
			}
			delete(s.pending, ack.Envelope)
			s.tell()
		}
		s.mu.Unlock()
	}
}

// Refresh asks every connection to be renewed, as Slack does now and then, and
// closes it.
func (s *Server) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sockets {
		frame, _ := json.Marshal(map[string]any{"type": "disconnect", "reason": "refresh_requested", "debug_info": map[string]any{"host": "applink-1"}})
		one.write(frame)
	}
	s.sockets = nil
}

// Cut drops every connection without a word.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sockets {
		_ = one.conn.CloseNow()
	}
	s.sockets = nil
}
