package matrix

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// maxBody is the largest transaction: a hundred events as large as they can
// be, and what the host's door lets through.
const maxBody = 32 << 20

// server answers the homeserver. Matrix specification, application services.
type server struct {
	c     *connector
	token [sha256.Size]byte
}

func newServer(c *connector) *server {
	return &server{c, sha256.Sum256([]byte(c.registration.ServerToken))}
}

func (s *server) handler() http.Handler { return http.HandlerFunc(s.serve) }

// An endpoint is one of the paths; the rest of the path is its argument.
type endpoint struct {
	path, method string
	serve        func(http.ResponseWriter, *http.Request, string)
}

// endpoints are the paths, without what stands before them: the homeserver may
// use the old ones, without a version.
func (s *server) endpoints() []endpoint {
	return []endpoint{
		{"transactions", http.MethodPut, s.transaction},
		{"users", http.MethodGet, s.user},
		{"rooms", http.MethodGet, s.room},
		{"ping", http.MethodPost, s.ping},
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/app/v1")
	name, rest, more := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	argument, err := url.PathUnescape(rest)
	for _, e := range s.endpoints() {
		if e.path != name || more == (name == "ping") || err != nil || more && argument == "" {
			continue
		}
		if r.Method != e.method {
			refuse(w, http.StatusMethodNotAllowed, "M_UNRECOGNIZED", "this path takes "+e.method)
			return
		}
		if s.authenticated(w, r) {
			e.serve(w, r, argument)
		}
		return
	}
	refuse(w, http.StatusNotFound, "M_UNRECOGNIZED", "there is no such path")
}

// authenticated makes sure that the homeserver asks. Matrix specification,
// application services, "Authorization".
func (s *server) authenticated(w http.ResponseWriter, r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		refuse(w, http.StatusUnauthorized, "M_MISSING_TOKEN", "give the hs_token of the registration as bearer token")
		return false
	}
	sum := sha256.Sum256([]byte(given))
	if !hmac.Equal(sum[:], s.token[:]) {
		s.c.log.Warn("a request with a wrong hs_token was refused; is the registration that the homeserver has the same file?", "path", short(r.URL.Path, 64))
		refuse(w, http.StatusForbidden, "M_FORBIDDEN", "the token is wrong")
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status int, code, why string) {
	reply(w, status, map[string]string{"errcode": code, "error": why})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the homeserver has gone
}

// transaction takes what happened. It answers 200 when the host has stored all
// of it; until then the homeserver repeats it, and nothing is stored twice.
func (s *server) transaction(w http.ResponseWriter, r *http.Request, id string) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "the transaction is too large")
		return
	}
	if err != nil {
		return // the homeserver broke off
	}
	t, err := readTransaction(data)
	if err != nil {
		refuse(w, http.StatusBadRequest, "M_NOT_JSON", err.Error())
		return
	}
	if err := s.c.take(r.Context(), t); err != nil {
		s.c.log.Warn("transaction not taken; the homeserver repeats it", "transaction", short(clean(id, false), 64), "err", err)
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "M_UNKNOWN", "not stored; try again")
		return
	}
	reply(w, http.StatusOK, struct{}{})
}

// user tells whether a user of ours exists, and makes it if it should.
func (s *server) user(w http.ResponseWriter, r *http.Request, who string) {
	a, ok := s.c.names.author(id.UserID(who))
	if !ok {
		refuse(w, http.StatusNotFound, "M_NOT_FOUND", "nobody has that name")
		return
	}
	err := s.c.host.Accepts(r.Context(), event.Inbound{Envelope: event.Envelope{Recipient: a}})
	if err == nil {
		_, err = s.c.ghosts.ensure(r.Context(), a, "")
	}
	s.answer(w, err)
}

// room tells whether a room of ours exists, and makes it if a route names it.
func (s *server) room(w http.ResponseWriter, r *http.Request, alias string) {
	if !s.c.names.ownsAlias(alias) {
		refuse(w, http.StatusNotFound, "M_NOT_FOUND", "that is no alias of the bridge")
		return
	}
	a := aliasAddress(alias)
	err := s.c.host.Accepts(r.Context(), event.Inbound{Envelope: event.Envelope{Recipient: a}})
	if err == nil {
		err = s.c.openRoom(r.Context(), alias)
	}
	s.answer(w, err)
}

func (s *server) answer(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		reply(w, http.StatusOK, struct{}{})
	case errors.Is(err, sdk.ErrRefused), event.IsPermanent(err):
		refuse(w, http.StatusNotFound, "M_NOT_FOUND", err.Error())
	default:
		s.c.log.Warn("a question of the homeserver was not answered", "err", err)
		refuse(w, http.StatusServiceUnavailable, "M_UNKNOWN", "can't tell now; try again")
	}
}

// ping answers the homeserver's own question whether it reaches the bridge.
func (s *server) ping(w http.ResponseWriter, _ *http.Request, _ string) {
	reply(w, http.StatusOK, struct{}{})
}
