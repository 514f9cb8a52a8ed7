package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"testing"
	"time"
)

// A chatMessage is a message as the chat page gets it.
type chatMessage struct {
	Conv, From, Name, Mark, Reason, Text, HTML string
	Seq                                        int64
	Files                                      []struct{ Name string }
	Reply, Edited                              int64
	Deleted                                    bool
	Reactions                                  []struct{ Emoji, From, Name string }
}

// A person uses the web chat as the page does: over HTTP, with live events.
type person struct {
	t    *testing.T
	base string
	web  http.Client
	csrf string
	stop func()

	mu       sync.Mutex
	messages map[string]chatMessage // by conversation and Seq: the last that is known
	order    []string
	changed  chan struct{}
}

// joinChat lets somebody in under a name.
func joinChat(t *testing.T, httpPort int, name string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, base: fmt.Sprintf("http://127.0.0.1:%d/c/web/", httpPort), web: http.Client{Jar: jar},
		messages: map[string]chatMessage{}, changed: make(chan struct{})}
	var s struct{ Token string }
	p.post("api/join", map[string]any{"name": name}, &s)
	p.csrf = s.Token
	var state struct {
		Cursor        int64
		Conversations []struct{ Messages []chatMessage }
	}
	p.get("api/state", &state)
	for _, c := range state.Conversations {
		for _, m := range c.Messages {
			p.keep(m)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.follow(ctx, state.Cursor)
	}()
	p.stop = sync.OnceFunc(func() { cancel(); <-done; p.web.CloseIdleConnections() })
	t.Cleanup(p.stop)
	return p
}

func (p *person) post(path string, body, answer any) {
	p.t.Helper()
	j, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequest("POST", p.base+path, bytes.NewReader(j))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", strings.SplitN(p.base, "/c/", 2)[0])
	r.Header.Set("X-Parley-Token", p.csrf)
	p.do(r, answer)
}

func (p *person) get(path string, answer any) {
	p.t.Helper()
	r, err := http.NewRequest("GET", p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(r, answer)
}

func (p *person) do(r *http.Request, answer any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	resp, err := p.web.Do(r.WithContext(ctx))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(resp.Body); err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %s %s", r.Method, r.URL, resp.Status, buf.String())
	}
	if answer != nil {
		if err := json.Unmarshal(buf.Bytes(), answer); err != nil {
			p.t.Fatalf("%s: %v in %s", r.URL, err, buf.String())
		}
	}
}

// follow reads live events and comes back after every break, as a browser does.
func (p *person) follow(ctx context.Context, cursor int64) {
	last := fmt.Sprint(cursor)
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, "GET", p.base+"events?since="+fmt.Sprint(cursor), nil)
		if err != nil {
			return
		}
		r.Header.Set("Last-Event-ID", last)
		if resp, err := p.web.Do(r); err == nil {
			p.stream(resp, &last)
			resp.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *person) stream(resp *http.Response, last *string) {
	kind := ""
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		field, value, _ := strings.Cut(s.Text(), ": ")
		switch field {
		case "id":
			*last = value
		case "event":
			kind = value
		case "data":
			var m chatMessage
			if kind == "message" && json.Unmarshal([]byte(value), &m) == nil {
				p.keep(m)
			}
		}
	}
}

func (p *person) keep(m chatMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprintf("%s/%d", m.Conv, m.Seq)
	if _, known := p.messages[key]; !known {
		p.order = append(p.order, key)
	}
	p.messages[key] = m
	close(p.changed)
	p.changed = make(chan struct{})
}

// sees waits for a message with a text and returns it when ok holds of it.
func (p *person) sees(text string, ok func(chatMessage) bool) chatMessage {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		for _, m := range p.messages {
			if m.Text == text && (ok == nil || ok(m)) {
				p.mu.Unlock()
				return m
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("never seen in the chat: %q; seen: %v", text, p.texts(""))
		}
	}
}

// marked waits until the person's own message has a mark.
func (p *person) marked(text, mark string) chatMessage {
	p.t.Helper()
	return p.sees(text, func(m chatMessage) bool { return m.Mark == mark })
}

// texts returns what was said, in the order of the first sight, if it begins
// with prefix.
func (p *person) texts(prefix string) (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range p.order {
		if m := p.messages[key]; strings.HasPrefix(m.Text, prefix) {
			list = append(list, m.Text)
		}
	}
	return list
}

// say says something in a conversation, "r:lobby" for the room.
func (p *person) say(conv, text string) {
	p.t.Helper()
	p.post("api/messages", map[string]any{"conv": conv, "text": text, "nonce": fmt.Sprintf("nonce-%d", time.Now().UnixNano())}, nil)
}

// touch edits, deletes or reacts to a message.
func (p *person) touch(what string, m chatMessage, more map[string]any) {
	p.t.Helper()
	body := map[string]any{"conv": m.Conv, "seq": m.Seq}
	maps.Copy(body, more)
	p.post("api/"+what, body, nil)
}

// where waits until something holds of a message that is known already.
func (p *person) where(m chatMessage, what string, ok func(chatMessage) bool) chatMessage {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		now, changed := p.messages[fmt.Sprintf("%s/%d", m.Conv, m.Seq)], p.changed
		p.mu.Unlock()
		if ok(now) {
			return now
		}
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("never seen in the chat: %s; it is %+v", what, now)
		}
	}
}
