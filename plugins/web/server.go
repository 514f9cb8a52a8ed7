package web

import (
	"embed"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

//go:embed page/*.html page/*.js page/*.css
var pageFiles embed.FS

// maxBody is the largest request in bytes.
const maxBody = 64 << 10

// cookieName is the session's cookie; its path is the connector's.
const cookieName = "parley_web"

// A server answers the page's requests.
type server struct {
	*connector
	log   *slog.Logger
	joins *limiter // by the address a request came from
	tries *limiter // wrong passwords, all together
	posts *limiter // by person: what is said
	other *limiter // by person: everything else that changes something
}

func newServer(c *connector) *server {
	return &server{
		connector: c, log: c.host.Log(),
		joins: newLimiter(12, time.Minute), tries: newLimiter(60, time.Minute),
		posts: newLimiter(20, 10*time.Second), other: newLimiter(120, 10*time.Second),
	}
}

// handler is everything under the connector's part of the host's door.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	files, _ := fs.Sub(pageFiles, "page") // the folder is compiled in
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /api/session", s.getSession)
	mux.HandleFunc("POST /api/join", s.guardPost(s.postJoin))
	mux.HandleFunc("POST /api/leave", s.personal(s.other, s.postLeave))
	mux.HandleFunc("GET /api/state", s.person(s.getState))
	mux.HandleFunc("GET /api/history", s.person(s.getHistory))
	mux.HandleFunc("POST /api/open", s.personal(s.other, s.postOpen))
	mux.HandleFunc("POST /api/read", s.personal(s.other, s.postRead))
	mux.HandleFunc("POST /api/messages", s.personal(s.posts, s.postMessage))
	mux.HandleFunc("POST /api/edit", s.personal(s.posts, s.touching(editIt)))
	mux.HandleFunc("POST /api/delete", s.personal(s.posts, s.touching(deleteIt)))
	mux.HandleFunc("POST /api/react", s.personal(s.posts, s.touching(reactToIt)))
	mux.HandleFunc("POST /api/files", s.uploading(s.postFile))
	mux.HandleFunc("GET /api/file", s.person(s.getFile))
	mux.HandleFunc("GET /events", s.person(s.getEvents))
	return s.door(mux)
}

// door sets the headers every answer has, and without a password lets nobody
// in but this machine: a loopback peer, as the host's door saw it, that asks
// for a loopback name, so that no foreign site can point its own name here.
func (s *server) door(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
			"img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if s.settings.Password == "" && !(isLoopback(peer(r)) && isLoopback(r.Host)) {
			refuse(w, http.StatusForbidden, "this chat has no password, so only the machine it runs on may use it; "+
				"open it as localhost there, or set plugins.web.password")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// peer is the address that the host's door has seen.
func peer(r *http.Request) string {
	all := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	return strings.TrimSpace(all[len(all)-1])
}

// network is what an address belongs to: of IPv6 everybody has very many.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	n, _ := ip.Prefix(64) // an IPv6 address is longer
	return n.String()
}

// isLoopback takes an address or a host name, with or without a port.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// prefix is the path under which the browser sees the connector, ending in a
// slash.
func prefix(r *http.Request) string {
	p := strings.Trim(r.Header.Get("X-Forwarded-Prefix"), "/")
	for _, c := range p {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/-_.", c)) {
			return "/"
		}
	}
	if p == "" {
		return "/"
	}
	return "/" + p + "/"
}

// sameOrigin tells whether a request comes from this very page: browsers say
// so themselves, and no other page can make them lie.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") != ""
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host != r.Host {
		return false
	}
	proto := r.Header.Get("X-Forwarded-Proto")
	return proto == "" || u.Scheme == proto
}

// guardPost lets requests through that change something and come from the page
// itself, with a JSON body of a bounded size.
func (s *server) guardPost(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case !sameOrigin(r):
			refuse(w, http.StatusForbidden, "this request does not come from the chat's own page")
		case err != nil || kind != "application/json":
			refuse(w, http.StatusUnsupportedMediaType, "send application/json")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next(w, r)
		}
	}
}

// token is the session's, from its cookie.
func token(r *http.Request) string {
	if c, err := r.Cookie(cookieName); err == nil {
		return c.Value
	}
	return ""
}

// person lets people with a session through.
func (s *server) person(next func(http.ResponseWriter, *http.Request, person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := s.people.who(r.Context(), token(r))
		if err != nil {
			s.fail(w, err)
			return
		}
		next(w, r, p)
	}
}

// personal lets requests of people through that change something.
func (s *server) personal(l *limiter, next func(http.ResponseWriter, *http.Request, person)) http.HandlerFunc {
	return s.guardPost(s.person(func(w http.ResponseWriter, r *http.Request, p person) {
		switch {
		case !equal(r.Header.Get("X-Parley-Token"), p.csrf()):
			refuse(w, http.StatusForbidden, "the page is out of date; reload it")
		case !l.allow(p.Name):
			slowDown(w)
		default:
			next(w, r, p)
		}
	}))
}

// uploading lets files of people through that come from the page itself.
func (s *server) uploading(next func(http.ResponseWriter, *http.Request, person)) http.HandlerFunc {
	guarded := s.person(func(w http.ResponseWriter, r *http.Request, p person) {
		switch {
		case !equal(r.Header.Get("X-Parley-Token"), p.csrf()):
			refuse(w, http.StatusForbidden, "the page is out of date; reload it")
		case !s.posts.allow(p.Name):
			slowDown(w)
		default:
			next(w, r, p)
		}
	})
	return func(w http.ResponseWriter, r *http.Request) {
		if !sameOrigin(r) {
			refuse(w, http.StatusForbidden, "this request does not come from the chat's own page")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		guarded(w, r)
	}
}

// readJSON reads a request's body into v and answers when it can't.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	err := decodeJSON(r.Body, v)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, "that is too long")
	case err != nil:
		refuse(w, http.StatusBadRequest, "that is not the JSON expected here")
	}
	return err == nil
}

func decodeJSON(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(marshal(v))
}

// refuse answers with words for the person.
func refuse(w http.ResponseWriter, status int, words string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(map[string]string{"error": words}))
}

func slowDown(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	refuse(w, http.StatusTooManyRequests, "that was a lot at once; wait a few seconds")
}

// fail turns an error's meaning into an answer. What the person can't mend is
// logged and not told.
func (s *server) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errStranger):
		refuse(w, http.StatusUnauthorized, err.Error())
	case errors.Is(err, errPassword):
		refuse(w, http.StatusForbidden, err.Error())
	case errors.Is(err, errTaken):
		refuse(w, http.StatusConflict, err.Error())
	case errors.Is(err, errNoMessage):
		refuse(w, http.StatusNotFound, err.Error())
	default:
		s.log.Warn("request failed", "err", err)
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusServiceUnavailable, "the chat cannot store anything now; try again in a moment")
	}
}
