package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxResume is how many changes a page is shown after it was away; beyond it
// is told to load everything anew.
const maxResume = 500

// heartbeat keeps idle streams alive, writeWait ends hung ones.
const (
	heartbeat = 20 * time.Second
	writeWait = 15 * time.Second
)

// getEvents shows a page what happens, as Server-Sent Events. Last-Event-ID,
// or since at first, says what it has seen. The order is: join the hub, then
// read what has changed from State, then what the hub has queued, so that
// nothing falls between.
func (s *server) getEvents(w http.ResponseWriter, r *http.Request, p person) {
	seen, err := strconv.ParseInt(r.FormValue("since"), 10, 64)
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		seen, err = strconv.ParseInt(id, 10, 64)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "since when?")
		return
	}
	pg, from, ok := s.hub.join(p.Name, p.Since)
	if !ok {
		slowDown(w)
		return
	}
	defer s.hub.leave(pg)
	missed, err := s.missed(r.Context(), p, seen)
	if err != nil {
		s.fail(w, err)
		return
	}
	st := newStream(w)
	if len(missed) > maxResume || seen > from {
		_ = st.send(notice{0, "reset", []byte("{}")})
		return
	}
	for _, m := range missed {
		id := m.Rev
		if id > from { // something before it may be under way
			id = 0
		}
		if st.send(notice{id, "message", m.view()}) != nil {
			return
		}
	}
	if st.send(notice{from, "ready", []byte("{}")}) == nil {
		st.follow(r.Context(), pg)
	}
}

// missed returns what p may see and has changed after seen, in the order it
// changed.
func (s *server) missed(ctx context.Context, p person, seen int64) ([]*message, error) {
	parts, err := s.store.parts(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	for _, room := range s.settings.Rooms {
		parts[roomConv(room)] = participation{}
	}
	var all []*message
	for id := range parts {
		c, err := s.store.conversation(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, m := range c.changed(seen) {
			if m.visibleTo(p.Name, p.Since) {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b *message) int { return bySeq(&message{Seq: a.Rev}, b.Rev) })
	return all, nil
}

// A stream writes Server-Sent Events.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	return &stream{w, http.NewResponseController(w)}
}

// send writes n, whose data is one line.
func (s *stream) send(n notice) error {
	id := ""
	if n.ID != 0 {
		id = fmt.Sprintf("id: %d\n", n.ID)
	}
	return s.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, n.Kind, n.Data))
}

func (s *stream) write(text string) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeWait)) // a server that has none still ends with its connection
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.c.Flush()
}

// follow shows what the hub queues, until the page goes or is dropped.
func (s *stream) follow(ctx context.Context, p *page) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-p.gone:
			return
		case n := <-p.queue:
			err = s.send(n)
		case <-beat.C:
			err = s.write(": still here\n\n")
		}
		if err != nil {
			return
		}
	}
}
