package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix/id"
)

// How often the homeserver is asked whether it is there.
const (
	askWhenAway = 5 * time.Second
	askWhenHere = 5 * time.Minute
)

// maxPings is how often the way back is tried before that counts as trouble:
// the bridge's own door may open later than the connector.
const maxPings = 3

// watch asks the homeserver whether it is there and knows the bridge, and says
// when that changes. Deliveries and what comes in do not wait for it.
type watch struct {
	c     *connector
	again chan struct{} // somebody saw trouble
	said  string        // what was logged last
	here  bool
	back  bool // the way back works, or can't be tried
	pings int  // in vain
}

func newWatch(c *connector) *watch { return &watch{c: c, again: make(chan struct{}, 1)} }

// look has the homeserver asked soon.
func (w *watch) look() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// run asks until ctx ends.
func (w *watch) run(ctx context.Context) {
	for {
		every := w.c.askAgain
		if w.ask(ctx) {
			every = askWhenHere
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		case <-w.again:
			if !w.here { // it is asked often enough
				select {
				case <-ctx.Done():
					return
				case <-time.After(w.c.askAgain):
				}
			}
		}
	}
}

// ask asks once and tells whether all is well, both ways.
func (w *watch) ask(ctx context.Context) bool {
	asking, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := w.whoami(asking)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		w.here, w.back, w.pings = false, false, 0
		w.trouble(err)
		return false
	}
	if !w.here {
		w.here = true
		w.said = ""
		w.c.log.Info("homeserver reached", "user", w.c.names.bot)
		w.arrive(ctx)
	}
	if !w.back {
		w.back = w.ping(asking)
	}
	return w.back
}

// trouble logs why the homeserver can't be used, once for each reason.
func (w *watch) trouble(err error) {
	var f *failure
	say := "homeserver away; messages wait"
	if errors.As(err, &f) && f.status != 0 {
		say = "homeserver refuses the bridge; messages wait"
	}
	if is(err, "M_UNKNOWN_TOKEN", "M_MISSING_TOKEN") {
		say = "homeserver refuses the token; messages wait. Register the file with the homeserver and restart that"
	}
	if w.said != say {
		w.c.log.Error(say, "homeserver", w.c.api.base.HomeserverURL.Redacted(), "registration", w.c.registration.ID, "err", err)
	}
	w.said = say
}

// whoami makes sure that the homeserver knows the bridge by the names of the
// registration. The bot may have to be registered as a user first.
func (w *watch) whoami(ctx context.Context) error {
	var out struct {
		User id.UserID `json:"user_id"`
	}
	ask := func() error {
		return w.c.api.call(ctx, "", http.MethodGet, []any{"v3", "account", "whoami"}, nil, nil, &out)
	}
	err := ask()
	if is(err, "M_FORBIDDEN", "M_NOT_FOUND") {
		if _, err := w.c.ghosts.register(ctx, w.c.names.bot); err != nil {
			return err
		}
		err = ask()
	}
	if err == nil && out.User != w.c.names.bot {
		err = fmt.Errorf("the homeserver knows the bridge as %s, not as %s: are domain and registration right?", out.User, w.c.names.bot)
	}
	return err
}

// arrive does what can be done only when the homeserver is there: it joins the
// places that routes name, and makes those whose aliases are the bridge's own.
func (w *watch) arrive(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := w.c.ghosts.register(ctx, w.c.names.bot); err != nil && !is(err, "M_EXCLUSIVE") {
		w.c.log.Warn("bot not registered", "user", w.c.names.bot, "err", err)
	}
	for _, p := range w.c.places.list {
		at, err := w.c.roomOf(ctx, p.target)
		if err == nil {
			err = w.c.rooms.enter(ctx, w.c.names.bot, at, p.target.via)
		}
		if err != nil && ctx.Err() == nil {
			w.c.log.Warn("a room that a route names can't be joined; create it, or invite the bot", "address", p.address, "bot", w.c.names.bot, "err", err)
		}
	}
}

// ping has the homeserver call back, and tells whether that went well or can't
// be tried. Matrix specification, application services, "Pinging".
func (w *watch) ping(ctx context.Context) bool {
	err := w.c.api.call(ctx, "", http.MethodPost, []any{"v1", "appservice", w.c.registration.ID, "ping"}, nil, map[string]any{"transaction_id": "parley"}, nil)
	if err == nil {
		w.c.log.Info("homeserver reaches the bridge", "url", w.c.registration.URL)
		return true
	}
	if is(err, "M_UNRECOGNIZED", "M_NOT_FOUND") { // an older homeserver
		return true
	}
	if w.pings++; w.pings == maxPings {
		w.c.log.Error("homeserver can't reach the bridge; nothing comes in from Matrix", "url", w.c.registration.URL, "err", err)
	}
	return false
}
