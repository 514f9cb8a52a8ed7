package matrix

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// maxKnown is how much of each kind is remembered; then it is asked for again.
const maxKnown = 10000

// maxName is the longest display name in bytes.
const maxName = 200

// ghosts makes sure that the users exist who stand for authors, under their
// names. It may be used from several goroutines.
type ghosts struct {
	api    *api
	names  names
	suffix string
	log    *slog.Logger

	mu    sync.Mutex
	known map[id.UserID]*ghost
}

// A ghost is what is known of one; all can be asked for again.
type ghost struct {
	mu         sync.Mutex
	registered bool
	fresh      bool   // registered by us just now: it has no name yet
	name       string // "" when not known
}

// ensure returns the ghost of an author. It exists and has the name; without
// one it keeps the one it has, and a new ghost is called by the address. The error is what the host is told.
func (g *ghosts) ensure(ctx context.Context, a event.Address, name string) (id.UserID, error) {
	u, err := g.names.ghost(a)
	if err != nil {
		return "", event.Permanent(err)
	}
	k := g.get(u)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.registered {
		created, err := g.register(ctx, u)
		if err != nil {
			return "", unsent("register "+string(u), err)
		}
		k.registered, k.fresh = true, created
	}
	if name != "" || k.fresh {
		g.rename(ctx, u, k, g.display(a, name))
	}
	return u, nil
}

func (g *ghosts) get(u id.UserID) *ghost {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.known[u]
	if k == nil {
		if len(g.known) >= maxKnown {
			clear(g.known)
		}
		k = &ghost{}
		g.known[u] = k
	}
	return k
}

// display is the name that people see; without one it is the address.
func (g *ghosts) display(a event.Address, name string) string {
	name = strings.TrimSpace(clean(name, false))
	if name == "" {
		name = a.Rest()
	}
	return short(name, maxName) + g.suffix
}

// register creates a user. It tells whether the user is new. Matrix
// specification, application services, "Server admin style permissions".
func (g *ghosts) register(ctx context.Context, u id.UserID) (created bool, err error) {
	in := map[string]any{"type": "m.login.application_service", "username": u.Localpart(), "inhibit_login": true}
	err = g.api.call(ctx, "", http.MethodPost, []any{"v3", "register"}, nil, in, nil)
	if is(err, "M_USER_IN_USE") {
		return false, nil
	}
	return err == nil, err
}

// rename gives a ghost its name if it has another. A message does not wait for
// a name that could not be set: the next one tries again.
func (g *ghosts) rename(ctx context.Context, u id.UserID, k *ghost, name string) {
	if k.name == name {
		return
	}
	if k.name == "" && !k.fresh {
		var old struct {
			Name string `json:"displayname"`
		}
		if g.api.call(ctx, u, http.MethodGet, []any{"v3", "profile", u, "displayname"}, nil, nil, &old) == nil && old.Name == name {
			k.name = name
			return
		}
	}
	err := g.api.call(ctx, u, http.MethodPut, []any{"v3", "profile", u, "displayname"}, nil, map[string]any{"displayname": name}, nil)
	if err != nil {
		g.log.Warn("display name not set", "user", u, "err", err)
		return
	}
	k.name, k.fresh = name, false
}
