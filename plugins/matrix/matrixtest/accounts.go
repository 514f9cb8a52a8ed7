package matrixtest

import (
	"bytes"
	"net/http"
	"strings"
)

func (s *Server) versions(*request) (any, error) {
	return map[string]any{"versions": []string{"v1.4", "v1.11"}}, nil
}

func (s *Server) whoami(r *request) (any, error) { return map[string]any{"user_id": r.user}, nil }

// register makes an account. Matrix specification, application services,
// "Server admin style permissions".
func (s *Server) register(r *request) (any, error) {
	name := r.text("username")
	who := "@" + name + ":" + s.Domain
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.text("type") != "m.login.application_service":
		return nil, refuse(http.StatusBadRequest, "M_INVALID_PARAM", "an application service registers with its own type")
	case name == "" || len(who) > 255 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._=-/+") != "":
		return nil, refuse(http.StatusBadRequest, "M_INVALID_USERNAME", "User ID can only contain certain characters")
	case !s.owns(who):
		return nil, refuse(http.StatusBadRequest, "M_EXCLUSIVE", "Invalid user localpart for this application service.")
	case s.people[who] != nil:
		return nil, refuse(http.StatusBadRequest, "M_USER_IN_USE", "User ID already taken.")
	}
	s.people[who] = &user{}
	s.tell()
	return map[string]any{"user_id": who}, nil
}

func (s *Server) getName(r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.people[r.arg[0]]
	if p == nil {
		return nil, notFound("Profile was not found")
	}
	return map[string]any{"displayname": p.name}, nil
}

func (s *Server) putName(r *request) (any, error) {
	name, ok := r.body["displayname"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.arg[0] != r.user:
		return nil, forbidden("Cannot set another user's displayname")
	case !ok:
		return nil, refuse(http.StatusBadRequest, "M_BAD_JSON", "displayname missing")
	case len(name) > 256:
		return nil, refuse(http.StatusBadRequest, "M_INVALID_PARAM", "Displayname is too long (max 256)")
	}
	s.people[r.user].name = name
	s.tell()
	return map[string]any{}, nil
}

// ping asks the application service whether it is there. Matrix
// specification, application services, "Pinging".
func (s *Server) ping(r *request) (any, error) {
	s.mu.Lock()
	client, base := s.pusher.client, s.pusher.base
	s.mu.Unlock()
	switch {
	case r.arg[0] != s.reg.ID:
		return nil, forbidden("that is another application service")
	case client == nil:
		return nil, refuse(http.StatusBadGateway, "M_CONNECTION_FAILED", "nobody listens")
	}
	q, err := http.NewRequestWithContext(r.Context(), http.MethodPost, base+"/_matrix/app/v1/ping", bytes.NewReader(marshal(r.body)))
	if err != nil {
		return nil, refuse(http.StatusBadGateway, "M_CONNECTION_FAILED", err.Error())
	}
	q.Header.Set("Authorization", "Bearer "+s.reg.ServerToken)
	res, err := client.Do(q)
	if err != nil {
		return nil, refuse(http.StatusBadGateway, "M_CONNECTION_FAILED", err.Error())
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, refuse(http.StatusBadGateway, "M_BAD_STATUS", res.Status)
	}
	return map[string]any{"duration_ms": 1}, nil
}
