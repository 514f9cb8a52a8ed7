package matrixtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/appservice"
)

// Options say what homeserver it is.
type Options struct {
	Domain       string // server name; "hs.org" when empty
	Registration string // path of the registration file; one is made when empty
}

// Server is a homeserver. Its methods may be called from several goroutines.
type Server struct {
	URL          string // of the client API
	Domain       string
	Registration string // path of the registration file

	reg    appservice.Registration
	users  []*regexp.Regexp // namespaces
	names  []*regexp.Regexp // of aliases
	http   *httptest.Server
	pusher pusher

	mu      sync.Mutex
	changed chan struct{}
	people  map[string]*user
	rooms   map[string]*room
	aliases map[string]string
	sent    map[string]string // user, room, type and transaction id of a send: its event
	files   map[string]File
	last    int
	faults  faults
	asked   []string // requests that were made, as METHOD path
}

// A user is an account.
type user struct {
	name string // display name
}

// New starts a homeserver that ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{
		Domain: o.Domain, Registration: o.Registration, changed: make(chan struct{}),
		people: map[string]*user{}, rooms: map[string]*room{}, aliases: map[string]string{}, sent: map[string]string{},
	}
	if s.Domain == "" {
		s.Domain = "hs.org"
	}
	if s.Registration == "" {
		s.Registration = filepath.Join(t.TempDir(), "registration.yaml")
		if err := os.WriteFile(s.Registration, s.newRegistration(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.readRegistration(); err != nil {
		t.Fatal(err)
	}
	s.people[s.Bot()] = &user{}
	s.http = httptest.NewServer(s.handler())
	s.URL = s.http.URL
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.pusher.wake = make(chan struct{}, 1)
	go func() {
		defer close(done)
		s.push(ctx)
	}()
	t.Cleanup(func() {
		stop()
		s.Restore()
		s.http.CloseClientConnections()
		s.http.Close()
		<-done
	})
	return s
}

func (s *Server) newRegistration() []byte {
	return []byte(strings.NewReplacer("DOMAIN", regexp.QuoteMeta(s.Domain)).Replace(`id: parley
url: http://127.0.0.1:8025/c/matrix
as_token: as-secret
hs_token: hs-secret
sender_localpart: _parley_bot
rate_limited: false
namespaces:
  users: [{regex: '@_parley_.*:DOMAIN', exclusive: true}]
  aliases: [{regex: '#_parley_.*:DOMAIN', exclusive: true}]
receive_ephemeral: true
`))
}

func (s *Server) readRegistration() error {
	data, err := os.ReadFile(s.Registration)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, &s.reg); err != nil {
		return err
	}
	for _, ns := range s.reg.Namespaces.UserIDs {
		re, err := regexp.Compile("^(?:" + ns.Regex + ")$")
		if err != nil {
			return err
		}
		s.users = append(s.users, re)
	}
	for _, ns := range s.reg.Namespaces.RoomAliases {
		re, err := regexp.Compile("^(?:" + ns.Regex + ")$")
		if err != nil {
			return err
		}
		s.names = append(s.names, re)
	}
	return nil
}

// Bot returns the user id of the application service itself.
func (s *Server) Bot() string { return "@" + s.reg.SenderLocalpart + ":" + s.Domain }

// Token returns the hs_token, by which the homeserver proves who it is.
func (s *Server) Token() string { return s.reg.ServerToken }

// owns tells whether a user belongs to the application service.
func (s *Server) owns(u string) bool { return u == s.Bot() || matches(s.users, u) }

func matches(list []*regexp.Regexp, s string) bool {
	for _, re := range list {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// Await waits until done is true, asking it whenever something has happened.
// done may call the Server's methods.
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
			return fmt.Errorf("the homeserver waited in vain: %w", ctx.Err())
		}
	}
}

// tell wakes Await. mu is held.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// id returns a new identifier. mu is held.
func (s *Server) id(sigil string) string {
	s.last++
	return fmt.Sprintf("%sid%d", sigil, s.last)
}

// Asked returns the requests of the application service so far, each as its
// method and its path without the prefix of the client API.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// Name returns a user's display name.
func (s *Server) Name(u string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.people[u]; p != nil {
		return p.name
	}
	return ""
}

// Users returns how many accounts of the application service there are, with
// the bot's.
func (s *Server) Users() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u := range s.people {
		if s.owns(u) {
			n++
		}
	}
	return n
}

// refusal is an error as the specification has it.
type refusal struct {
	status int
	code   string
	text   string
	after  int64 // milliseconds
}

func (r *refusal) Error() string { return r.code + ": " + r.text }

func refuse(status int, code, text string) error {
	return &refusal{status: status, code: code, text: text}
}

func forbidden(text string) error { return refuse(http.StatusForbidden, "M_FORBIDDEN", text) }
func notFound(text string) error  { return refuse(http.StatusNotFound, "M_NOT_FOUND", text) }

// write answers with it; without a code as a proxy does.
func (r *refusal) write(w http.ResponseWriter) {
	if r.code == "" {
		http.Error(w, strconv.Itoa(r.status)+" from a proxy", r.status)
		return
	}
	body := map[string]any{"errcode": r.code, "error": r.text}
	if r.after > 0 {
		body["retry_after_ms"] = r.after
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(body)
}
