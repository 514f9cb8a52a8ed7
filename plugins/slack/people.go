package slack

import (
	"context"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

// How long what Slack said about a person is believed, and how many are known
// at once.
const (
	nameFresh   = time.Hour
	nameUnknown = time.Minute // when it could not say
	maxPeople   = 10_000
)

// people remembers the names of the workspace's people. It may be used from
// several goroutines.
type people struct {
	api *api

	mu    sync.Mutex
	known map[string]person
}

type person struct {
	name  string
	until time.Time
}

func newPeople(a *api) *people { return &people{api: a, known: map[string]person{}} }

// name returns how a person is called; the id if Slack does not say.
func (p *people) name(ctx context.Context, user string) string {
	p.mu.Lock()
	known, ok := p.known[user]
	p.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.name
	}
	fresh := p.ask(ctx, user)
	if ctx.Err() != nil {
		return user // there was no time to ask; the next one may
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPeople {
		clear(p.known)
	}
	p.known[user] = fresh
	return fresh.name
}

func (p *people) ask(ctx context.Context, user string) person {
	if ctx.Err() != nil {
		return person{name: user}
	}
	var u *slack.User
	err := p.api.call(ctx, func(ctx context.Context) (err error) { u, err = p.api.client.GetUserInfoContext(ctx, user); return err })
	if err != nil {
		return person{user, time.Now().Add(nameUnknown)}
	}
	for _, name := range []string{u.Profile.DisplayName, u.Profile.RealName, u.RealName, u.Name} {
		if n := oneLine(name); n != "" {
			return person{n, time.Now().Add(nameFresh)}
		}
	}
	return person{user, time.Now().Add(nameFresh)}
}

// chats remembers the app's direct conversation with each person. It may be
// used from several goroutines.
type chats struct {
	api *api

	mu    sync.Mutex
	known map[string]string // user to channel
}

func newChats(a *api) *chats { return &chats{api: a, known: map[string]string{}} }

// with returns the channel of the app's direct conversation with a person.
// Opening it twice opens the same one.
func (c *chats) with(ctx context.Context, user string) (string, error) {
	c.mu.Lock()
	channel, known := c.known[user]
	c.mu.Unlock()
	if known {
		return channel, nil
	}
	var opened *slack.Channel
	err := c.api.call(ctx, func(ctx context.Context) (err error) {
		opened, _, _, err = c.api.client.OpenConversationContext(ctx, &slack.OpenConversationParameters{Users: []string{user}})
		return err
	})
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxPeople {
		clear(c.known)
	}
	c.known[user] = opened.ID
	return opened.ID, nil
}

// seen remembers for a while what was answered, so that an event that comes
// again is not answered again.
type seen struct {
	mu    sync.Mutex
	spots map[spot]bool
}

func newSeen() *seen { return &seen{spots: map[spot]bool{}} }

// first tells whether a spot is new.
func (s *seen) first(at spot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spots[at] {
		return false
	}
	if len(s.spots) >= 1000 {
		clear(s.spots)
	}
	s.spots[at] = true
	return true
}
