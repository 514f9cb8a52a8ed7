package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"parley.im/bus/event"
)

// maxSocketPath is what every system's sockaddr_un holds.
const maxSocketPath = 100

// Source yields live events, with their sequence in their stream or 0, until
// ctx ends. It calls ready once, when every later event will be yielded, and
// then f from one goroutine at a time.
type Source func(ctx context.Context, ready func(), f func(seq uint64, e event.Event)) error

// Operator is the operators' API on a unix socket that only the host's user
// can open:
//
//	GET /v1/tail?stream=&connector=&type=&state=&id=&body=   live events, one JSON object a line
//	GET /v1/status                                            what Status returns
//	GET /v1/trace?id=&since=                                  what Trace yields, one JSON object a line
//	GET /v1/dead?id=&connector=&conversation=&target=&reason=&since=&body=   open dead letters, one JSON object a line
//	POST /v1/reload                                           answers with what was changed, a JSON array of strings
//	POST /v1/erase                                            an address, a JSON string; answers with what was removed, a JSON array of strings
//	POST /v1/dead/retry, /v1/dead/drop                        a JSON array of their ids; answers with an Outcome for each
type Operator struct {
	// Status returns what /v1/status shows, as JSON. Nil means 404. Set it
	// before Run.
	Status func(context.Context) (any, error)
	// Trace yields the events of the messages that go by an id, since a time.
	// Nil means 404. Set it before Run.
	Trace func(ctx context.Context, id string, since time.Time, f func(seq uint64, e event.Event)) error

	// Dead yields the open dead letters that q chooses; RetryDead and DropDead
	// do something about those with the ids, and are told who asked. Nil means
	// 404. Set them before Run.
	Dead                func(ctx context.Context, q DeadQuery, f func(DeadLetter)) error
	RetryDead, DropDead func(ctx context.Context, who string, ids []string) ([]Outcome, error)

	// Reload reads the configuration again and returns what that changed, in
	// words; an error means that nothing was. Nil means 404. Set it before Run.
	Reload func(ctx context.Context, who string) ([]string, error)

	// Erase removes a user from the store and returns what was removed, in
	// words. Nil means 404. Set it before Run.
	Erase func(ctx context.Context, who string, address event.Address) ([]string, error)

	path   string
	source Source
	log    *slog.Logger
}

// NewOperator returns the API that listens on the socket at path and tails
// source.
func NewOperator(path string, source Source, log *slog.Logger) *Operator {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Operator{path: path, source: source, log: log}
}

// Run serves until ctx ends; tails end with it at once. It refuses to start
// beside a host that answers on the socket already, and removes the socket of
// one that died.
func (o *Operator) Run(ctx context.Context) error {
	l, err := listenPrivate(o.path)
	if err != nil {
		return fmt.Errorf("operator socket: %w", err)
	}
	defer os.Remove(o.path)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/tail", o.serveTail)
	mux.HandleFunc("GET /v1/status", o.serveStatus)
	mux.HandleFunc("GET /v1/trace", o.serveTrace)
	mux.HandleFunc("GET /v1/dead", o.serveDead)
	mux.HandleFunc("POST /v1/dead/retry", o.serveClose(o.RetryDead))
	mux.HandleFunc("POST /v1/dead/drop", o.serveClose(o.DropDead))
	mux.HandleFunc("POST /v1/reload", o.serveReload)
	mux.HandleFunc("POST /v1/erase", o.serveErase)
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := newServer(mux, base, o.log)
	srv.ConnContext = withCaller
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case <-ctx.Done():
		shut(srv, cancel)
		<-served
		return nil
	case err := <-served:
		return fmt.Errorf("operator socket: %w", err)
	}
}

func (o *Operator) serveStatus(w http.ResponseWriter, r *http.Request) {
	if o.Status == nil {
		refuse(w, http.StatusNotFound, "this host keeps no status")
		return
	}
	s, err := o.Status(r.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	o.answer(w, s)
}

// answer writes v as JSON. A client that has gone meanwhile misses it.
func (o *Operator) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		o.log.Debug("operator: answer not written", "error", err)
	}
}

// listenPrivate binds a socket at path that has mode 0600 from the moment it
// has that name.
func listenPrivate(path string) (net.Listener, error) {
	if c, err := dialSocket(context.Background(), path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another host answers on %s", path)
	}
	fresh := path + "~"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	short, err := socketPath(fresh)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(fresh, 0o600)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		l.Close()
		return nil, errors.Join(err, os.Remove(fresh))
	}
	return l, nil
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	short, err := socketPath(path)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", short)
}

// socketPath returns a spelling of path that a socket address can hold: as it
// is, absolute, or from the working folder.
func socketPath(path string) (string, error) {
	if len(path) < maxSocketPath {
		return path, nil
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < maxSocketPath {
			return rel, nil
		}
	}
	return "", fmt.Errorf("%s is %d bytes long and a socket's path may have %d: choose a shorter bus.data", path, len(path), maxSocketPath-1)
}
