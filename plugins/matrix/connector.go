// Package matrix joins Matrix to the bridge, as an application service of one
// homeserver. It is a connector like any other, of the network "matrix".
//
// A person is matrix:u/<name>:<server>, a room matrix:r/<alias>:<server> or
// matrix:roomid/<id>:<server>. Whoever writes from another network is a ghost:
// a Matrix user of the bridge's own whose name says the address and can be read
// back. The homeserver pushes what happens to Serve's paths and repeats it
// until the answer is 200, which it gets when the host has stored it. Towards
// the homeserver each message carries a transaction id made from its own, so
// that a repetition is the same event.
//
// What is known of rooms and ghosts is remembered and can be lost. State holds
// facts that the homeserver could not tell again:
//
//	room/<hash>/…     the ghosts that are in a room, see present
//	encrypted/<hash>  that a room was told that it can't be read
package matrix

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

// New returns the connector, to be given to sdk.Serve. Nothing runs before
// Open.
func New() sdk.Connector {
	return &connector{askAgain: askWhenAway, fetchFor: fetchPatience, uploadFor: uploadPatience, efforts: newEfforts()}
}

type connector struct {
	host         sdk.Host
	log          *slog.Logger
	registration *appservice.Registration
	names        names
	api          *api
	ghosts       *ghosts
	rooms        *rooms
	places       *places
	typing       *typists
	notices      *throttle
	watch        *watch
	askAgain     time.Duration // while the homeserver is away
	fetchFor     time.Duration // at most for one file
	uploadFor    time.Duration // at most for one file
	progress     progress
	efforts      *efforts
	opening      sync.Mutex // held while a room of our own is made
	stop         context.CancelFunc
	running      sync.WaitGroup
}

// Describe says what the connector can do.
func (c *connector) Describe() sdk.Description {
	return sdk.Description{
		Network:  Network,
		Version:  "1",
		Schemes:  []string{Network},
		Kinds:    []event.Kind{event.KindMessage, event.KindEdit, event.KindRedact, event.KindReact, event.KindStatus, event.KindTyping},
		Types:    []string{string(markup.Matrix), "text/plain"},
		MaxBytes: maxText,
		MaxFile:  maxFile,
		HTTP:     true,
		Find:     true,
		Public:   []string{"/_matrix/app/", "/transactions/", "/users/", "/rooms/"},
		States:   []event.State{event.Delivered, event.Displayed, event.Failed},
		Settings: schema,
	}
}

// Open reads the registration and serves the homeserver's requests. It does
// not wait for the homeserver: until that is there, deliveries wait at the
// host.
func (c *connector) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	set, base, err := readSettings(s)
	if err != nil {
		return event.Permanent(fmt.Errorf("matrix: %w", err))
	}
	reg, own, err := readRegistration(set.Registration, set.Domain)
	if err != nil {
		return event.Permanent(fmt.Errorf("matrix: %w", err))
	}
	c.host, c.log, c.registration, c.names = h, h.Log(), reg, own
	c.join(set, base)
	c.places = newPlaces(s.Places, c.rooms, c.log)
	if err := h.Serve(newServer(c).handler()); err != nil {
		return fmt.Errorf("matrix: %w", err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.running.Go(func() { c.watch.run(run) })
	return nil
}

// join puts the parts together.
func (c *connector) join(set settings, base *url.URL) {
	c.api = newAPI(base, c.registration.AppToken)
	c.ghosts = &ghosts{api: c.api, names: c.names, suffix: set.DisplaySuffix, log: c.log, known: map[id.UserID]*ghost{}}
	c.rooms = newRooms(c.api, c.names.bot)
	c.typing = newTypists()
	c.notices = newThrottle()
	c.watch = newWatch(c)
}

// Close waits for what runs.
func (c *connector) Close(context.Context) error {
	if c.stop == nil {
		return nil
	}
	c.stop()
	c.running.Wait()
	c.api.close()
	return nil
}
