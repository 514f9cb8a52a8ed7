// Package slacktest is a Slack workspace in memory, for tests of the connector
// and of the bridge. It answers the Web API methods that the connector uses as
// their documentation says, refuses what Slack refuses, sends events by Socket
// Mode or signed over HTTP, and sends again what was not acknowledged. A test
// plays the people, and has it fail in the ways that Slack can't be asked to.
package slacktest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Options say what kind of workspace it is. Zero values are Slack's own.
type Options struct {
	SendAgain time.Duration // an event that is not acknowledged by then comes again; 3 s
	Pace      bool          // more than a post a second in a channel gets 429
	NoNames   bool          // the app lacks chat:write.customize
	NoFiles   bool          // the app lacks files:read and files:write

	NoReactions bool // the app lacks reactions:write
}

// Server is the workspace. Its methods may be called from several goroutines.
type Server struct {
	Team, App, BotUser, BotID         string
	BotToken, AppToken, SigningSecret string

	options Options
	http    *httptest.Server
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{}
	last     time.Time // of the newest timestamp
	serial   int
	people   map[string]string // id to name
	channels map[string]*channel
	direct   map[string]string // user to channel
	posted   map[string]time.Time
	tickets  map[string]bool
	sockets  []*socket
	turn     int // whose turn it is to get an event
	pending  map[string]*delivery
	files    []*File
	echoes   []*delivery // to be sent when the answer is made
	request  *requestURL
	faults   faults
}

// New starts a workspace without people or channels. Close ends it.
func New(o Options) *Server {
	if o.SendAgain <= 0 {
		o.SendAgain = 3 * time.Second
	}
	s := &Server{
		Team: "T0TEAM", App: "A0APP", BotUser: "U0BOT", BotID: "B0BOT",
		BotToken: "xoxb-of-the-bot", AppToken: "xapp-of-the-app", SigningSecret: "signing-secret",
		options: o, changed: make(chan struct{}), people: map[string]string{}, channels: map[string]*channel{},
		direct: map[string]string{}, posted: map[string]time.Time{}, tickets: map[string]bool{}, pending: map[string]*delivery{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// Close ends the workspace and every connection to it.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	s.faults.release()
	s.mu.Unlock()
	s.http.CloseClientConnections()
	s.http.Close()
	s.running.Wait()
}

// APIURL is what the connector's api_url has to be.
func (s *Server) APIURL() string { return s.http.URL + "/api/" }

// Await waits until done is true, asking it whenever something has changed.
func (s *Server) Await(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell wakes Await. s.mu is held.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// id makes an id. s.mu is held.
func (s *Server) id(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s%08d", prefix, s.serial)
}

// stamp makes the timestamp of a message: later than every other. s.mu is held.
func (s *Server) stamp() string {
	now := time.Now().Truncate(time.Microsecond)
	if !now.After(s.last) {
		now = s.last.Add(time.Microsecond)
	}
	s.last = now
	return fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)
}
