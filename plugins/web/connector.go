// Package web is the built-in chat: a small team chat in one page, served
// behind the host's HTTP door under /c/<instance>/. It is a connector like any
// other, of the network "web", and needs no service beside the host.
//
// Rooms are web:room/<name>, people web:u/<name>. A person picks a free name
// and talks; the name then belongs to that browser session. What is said is
// kept in the connector's State and shown live to every open page, which
// resumes without a gap after a lost connection or a restart.
//
// The life of a message, either way, is: durable in State, shown, handed on,
// marked. State holds these keys:
//
//	m/<conversation>/<seq>   a message; seq is 20 digits and gives time order
//	id/<hash>                which message a delivery became or changed, see claim
//	o/<seq>                  a message said or changed here that the bridge has not stored yet
//	p/<person>/<conversation> that somebody takes part, and how far they have read
//	n/<person>, s/<hash>     who holds a name, and the sessions
//	clock                    the sequence reserved so far
package web

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// Network is the connector's network and the scheme of its addresses.
const Network = "web"

// maxText is the longest message in bytes, either way.
const maxText = 32 << 10

// maxMessage is the most that a message takes in State, in bytes, with what is
// yet to be noted in it.
const maxMessage = 60 << 10

// New returns the connector, to be given to sdk.Serve. Nothing runs before
// Open.
func New() sdk.Connector { return &connector{} }

type connector struct {
	settings settings
	host     sdk.Host
	hub      *hub
	store    *store
	people   *people
	outbox   *outbox
	uploads  uploads
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// Describe says what the web chat can do.
func (c *connector) Describe() sdk.Description {
	return sdk.Description{
		Network:  Network,
		Version:  "1",
		Schemes:  []string{Network},
		Kinds:    []event.Kind{event.KindMessage, event.KindEdit, event.KindRedact, event.KindReact, event.KindStatus},
		Types:    []string{"text/html", "text/plain"},
		MaxBytes: maxText,
		MaxFile:  maxFile,
		HTTP:     true,
		Find:     true,
		Settings: schema,
	}
}

// Open reads what is left to do from State, begins to serve the page and hands
// over what was said before and had not reached the bridge.
func (c *connector) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	set, err := readSettings(s)
	if err != nil {
		return event.Permanent(fmt.Errorf("web: %w", err))
	}
	c.settings, c.host = set, h
	if c.hub, err = openHub(ctx, h.State()); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	c.store = newStore(h.State(), c.hub, set.History, h.Log())
	c.people = &people{state: h.State(), hub: c.hub, password: set.Password}
	c.outbox = newOutbox(h, c.store)
	if err := c.outbox.load(ctx); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if err := h.Serve(newServer(c).handler()); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.running.Go(func() { c.outbox.run(run) })
	c.running.Go(func() { c.tidy(run) })
	return nil
}

// Close ends the open pages' event streams and waits for what runs.
func (c *connector) Close(context.Context) error {
	if c.stop == nil {
		return nil
	}
	c.hub.close()
	c.stop()
	c.running.Wait()
	return nil
}

// tidy removes, once in a life, what nobody can ask for any more.
func (c *connector) tidy(ctx context.Context) {
	err := errors.Join(c.store.sweep(ctx), c.people.sweep(ctx))
	if err != nil && ctx.Err() == nil {
		c.host.Log().Warn("old entries not removed", "err", err)
	}
}
