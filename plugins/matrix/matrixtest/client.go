package matrixtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxEvent is the largest event. Matrix specification, client API, "Size
// limits".
const maxEvent = 65536

// maxRequest is the largest request, whose JSON need not be canonical.
const maxRequest = 1 << 20

// size is the length of an event with this content, and what belongs to it.
func size(content map[string]any) int {
	const around = 2000 // hashes, signatures, references
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(content) != nil {
		return maxEvent + 1
	}
	return b.Len() + around
}

// request is one of the application service.
type request struct {
	*http.Request
	user string // in whose name
	arg  []string
	body map[string]any
}

func (r *request) text(key string) string {
	s, _ := r.body[key].(string)
	return s
}

// An endpoint is a method and a path; each "*" is an argument.
type endpoint struct {
	method, path string
	serve        func(*Server, *request) (any, error)
}

// endpoints are those of the client API that the server knows.
func endpoints() []endpoint {
	return []endpoint{
		{"GET", "versions", (*Server).versions},
		{"POST", "v3/register", (*Server).register},
		{"GET", "v3/account/whoami", (*Server).whoami},
		{"GET", "v3/profile/*/displayname", (*Server).getName},
		{"PUT", "v3/profile/*/displayname", (*Server).putName},
		{"GET", "v3/directory/room/*", (*Server).resolve},
		{"POST", "v3/createRoom", (*Server).createRoom},
		{"POST", "v3/join/*", (*Server).join},
		{"POST", "v3/rooms/*/invite", (*Server).invite},
		{"POST", "v3/rooms/*/leave", (*Server).leave},
		{"GET", "v3/rooms/*/joined_members", (*Server).joinedMembers},
		{"GET", "v3/rooms/*/state/*", (*Server).getState},
		{"GET", "v3/rooms/*/state/*/*", (*Server).getState},
		{"PUT", "v3/rooms/*/state/*", (*Server).putState},
		{"PUT", "v3/rooms/*/state/*/*", (*Server).putState},
		{"GET", "v3/rooms/*/messages", (*Server).getMessages},
		{"GET", "v3/rooms/*/event/*", (*Server).getEvent},
		{"POST", "v3/rooms/*/receipt/*/*", (*Server).receipt},
		{"PUT", "v3/rooms/*/redact/*/*", (*Server).redact},
		{"PUT", "v3/rooms/*/typing/*", (*Server).putTyping},
		{"POST", "v1/appservice/*/ping", (*Server).ping},
	}
}

func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/client/")
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+path)
		s.mu.Unlock()
		if s.trouble(w, r) {
			return
		}
		if arg, ok := match("v3/rooms/*/send/*/*", path); ok && r.Method == http.MethodPut {
			s.serveSend(w, r, arg)
			return
		}
		if s.serveMedia(w, r) {
			return
		}
		answer, err := s.serve(r, path)
		write(w, answer, err)
	})
}

func write(w http.ResponseWriter, answer any, err error) {
	if r := (*refusal)(nil); errors.As(err, &r) {
		r.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// serve answers everything but sends.
func (s *Server) serve(r *http.Request, path string) (any, error) {
	known := false
	for _, e := range endpoints() {
		arg, ok := match(e.path, path)
		known = known || ok
		if !ok || e.method != r.Method {
			continue
		}
		q, err := s.read(r, arg)
		if err != nil {
			return nil, err
		}
		return e.serve(s, q)
	}
	if known {
		return nil, refuse(http.StatusMethodNotAllowed, "M_UNRECOGNIZED", "wrong method")
	}
	return nil, refuse(http.StatusNotFound, "M_UNRECOGNIZED", "unknown endpoint")
}

// match compares a path with a pattern and returns what stands for each "*".
func match(pattern, path string) (arg []string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	for i := range want {
		part, err := url.PathUnescape(got[i])
		if err != nil || want[i] != "*" && want[i] != part || part == "" {
			return nil, false
		}
		if want[i] == "*" {
			arg = append(arg, part)
		}
	}
	return arg, true
}

// read checks who asks and reads the body. Matrix specification, application
// services, "Identity assertion".
func (s *Server) read(r *http.Request, arg []string) (*request, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !ok:
		return nil, refuse(http.StatusUnauthorized, "M_MISSING_TOKEN", "Missing access token")
	case token != s.reg.AppToken || s.faults.revoked:
		return nil, refuse(http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "Unrecognised access token")
	}
	q := &request{Request: r, user: s.Bot(), arg: arg}
	if r.URL.Query().Has("user_id") {
		q.user = r.URL.Query().Get("user_id")
	}
	switch {
	case !s.owns(q.user):
		return nil, forbidden("Application service cannot masquerade as this user")
	case s.people[q.user] == nil:
		return nil, forbidden("Application service has not registered this user")
	}
	if r.Method == http.MethodGet {
		return q, nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "M_UNKNOWN", "The body broke off")
	case len(data) > maxRequest:
		return nil, refuse(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "request too large")
	case !json.Valid(data):
		return nil, refuse(http.StatusBadRequest, "M_NOT_JSON", "Content not JSON.")
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&q.body); err != nil || q.body == nil {
		return nil, refuse(http.StatusBadRequest, "M_BAD_JSON", "Content must be an object")
	}
	return q, nil
}
