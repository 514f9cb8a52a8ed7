// Package slack joins a Slack workspace to the bridge, as an app of that
// workspace. It is a connector like any other, of the network "slack".
//
// A channel is slack:<team>/<C…>, a person slack:<team>/<U…>. What people write
// comes by Socket Mode or over HTTP, and Slack repeats it until it is
// acknowledged, which happens when the host has stored it: a message is known
// by its channel and timestamp, so a repetition is the same message. Messages
// from outside are posted under their author's name. The app has one direct
// conversation with each person, so everybody who writes to a person from
// outside has a thread of their own in it.
//
// Slack has no key against posting twice. Each post carries the delivery's id
// as metadata instead, by which Find recognises it.
package slack

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

// Network is the connector's network and the scheme of its addresses.
const Network = "slack"

// pace is that of posts into a channel. Slack allows one a second, by its own
// clock (docs.slack.dev, "Rate limits").
const pace = 1100 * time.Millisecond

// New returns the connector, to be given to sdk.Serve. Nothing runs before
// Open.
func New() sdk.Connector { return &connector{haste: usualHaste()} }

type connector struct {
	host    sdk.Host
	log     *slog.Logger
	set     settings
	api     *api
	people  *people
	chats   *chats
	queue   *queue
	errands poker
	hints   *seen
	haste   haste

	strangers minutely // requests that are not Slack's
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Describe says what the connector can do.
func (c *connector) Describe() sdk.Description {
	return sdk.Description{
		Network:  Network,
		Version:  "1",
		Schemes:  []string{Network},
		Kinds:    []event.Kind{event.KindMessage, event.KindEdit, event.KindRedact, event.KindReact, event.KindStatus},
		Types:    []string{string(markup.Slack)},
		MaxBytes: maxText,
		MaxFile:  maxFile,
		Gate:     sdk.Gate{Outstanding: 1, Every: pace},
		HTTP:     true,
		Public:   []string{eventsPath},
		States:   []event.State{event.Failed},
		Settings: schema,
	}
}

// Open does not wait for Slack: until it answers, deliveries wait at the host.
func (c *connector) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	set, err := readSettings(s)
	if err != nil {
		return event.Permanent(fmt.Errorf("slack: %w", err))
	}
	c.host, c.log, c.set = h, h.Log(), set
	c.api = newAPI(set)
	c.people, c.chats, c.hints = newPeople(c.api), newChats(c.api), newSeen()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.queue, c.errands = newQueue(run), make(poker, 1)
	if set.SigningSecret != "" {
		if err := h.Serve(c.events()); err != nil {
			return fmt.Errorf("slack: %w", err)
		}
	}
	c.running.Go(func() { c.introduce(run, s.Places) })
	c.running.Go(func() { c.fetchAll(run) })
	c.running.Go(func() { c.forgetAll(run) })
	if set.AppToken != "" {
		for range sockets {
			c.running.Go(func() { c.listen(run) })
		}
	}
	return nil
}

// Close breaks off what is coming in: Slack has no acknowledgement for it yet
// and repeats it.
func (c *connector) Close(context.Context) error {
	if c.stop == nil {
		return nil
	}
	c.stop()
	c.running.Wait()
	c.queue.wait()
	c.api.close()
	return nil
}

// introduce learns who the app is, as soon as Slack says it, and warns of
// channels that it can't use.
func (c *connector) introduce(ctx context.Context, places []event.Address) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		me, err := c.api.identity(ctx)
		if err == nil {
			c.log.Info("slack: the app is known", "team", me.team, "user", me.user, "own_names", me.customize)
			break
		}
		if ctx.Err() != nil {
			return
		}
		c.log.Error("slack: the app can't introduce itself; messages wait", "err", err, "again", wait.String())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	for _, p := range places {
		c.settleIn(ctx, p)
	}
}

// settleIn enters a channel, again while it is Slack that can't let it.
func (c *connector) settleIn(ctx context.Context, place event.Address) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		err := c.enter(ctx, place)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.log.Error("slack: a route's channel can't be used", "channel", place, "err", err)
		if event.IsPermanent(err) {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// enter makes sure that the app is in a channel that a route names.
func (c *connector) enter(ctx context.Context, a event.Address) error {
	t, err := readAddress(a)
	if err != nil || t.person() {
		return err
	}
	member, err := c.api.member(ctx, t.id)
	if err != nil || member {
		return err
	}
	return c.api.join(ctx, t.id)
}

// Deliver posts a message or a note about one.
func (c *connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	switch d.Kind {
	case event.KindMessage:
		return c.message(ctx, d)
	case event.KindEdit, event.KindRedact, event.KindReact:
		return c.change(ctx, d)
	case event.KindStatus:
		return c.status(ctx, d)
	}
	return event.Receipt{}, event.Permanent(fmt.Errorf("kind %q is not taken", d.Kind))
}
