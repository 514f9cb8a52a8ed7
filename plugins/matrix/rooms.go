package matrix

import (
	"context"
	"net/http"
	"net/url"
	"sync"

	"maunium.net/go/mautrix/id"
)

// rooms remembers what the homeserver said about rooms, until an event says
// otherwise. All of it can be asked for again. It may be used from several
// goroutines.
type rooms struct {
	api *api
	bot id.UserID

	mu      sync.Mutex
	aliases map[string]id.RoomID
	known   map[id.RoomID]*room
	changes uint64 // how often something was forgotten
}

// A room is what is known of one.
type room struct {
	inside    map[id.UserID]bool   // users of ours that have joined
	present   map[id.UserID]bool   // people who have joined or are invited
	people    map[id.UserID]string // everybody who has joined, with their names; nil when not known
	encrypted *bool
	noted     map[id.UserID]bool // ghosts that State says are inside
}

func newRooms(a *api, bot id.UserID) *rooms {
	return &rooms{api: a, bot: bot, aliases: map[string]id.RoomID{}, known: map[id.RoomID]*room{}}
}

// with calls f with what is known of a room.
func (r *rooms) with(at id.RoomID, f func(*room)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.get(at))
}

// get is called with mu held.
func (r *rooms) get(at id.RoomID) *room {
	k := r.known[at]
	if k == nil {
		if len(r.known) >= maxKnown {
			clear(r.known)
		}
		k = &room{inside: map[id.UserID]bool{}, present: map[id.UserID]bool{}, noted: map[id.UserID]bool{}}
		r.known[at] = k
	}
	return k
}

// learn keeps an answer unless something was forgotten since it was asked for.
func (r *rooms) learn(asked uint64, at id.RoomID, f func(*room)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes == asked {
		f(r.get(at))
	}
}

func (r *rooms) now() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

// forget drops what is known of a room.
func (r *rooms) forget(at id.RoomID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	delete(r.known, at)
	for alias, to := range r.aliases {
		if to == at {
			delete(r.aliases, alias)
		}
	}
}

// forgetMembers drops what is known of who is in a room.
func (r *rooms) forgetMembers(at id.RoomID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	k := r.get(at)
	k.people = nil
	clear(k.inside)
	clear(k.present)
}

// resolve returns the room that an alias points to.
func (r *rooms) resolve(ctx context.Context, alias string) (id.RoomID, error) {
	r.mu.Lock()
	at, known := r.aliases[alias]
	asked := r.changes
	r.mu.Unlock()
	if known {
		return at, nil
	}
	var out struct {
		Room id.RoomID `json:"room_id"`
	}
	if err := r.api.call(ctx, "", http.MethodGet, []any{"v3", "directory", "room", alias}, nil, nil, &out); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.aliases) >= maxKnown {
		clear(r.aliases)
	}
	if r.changes == asked {
		r.aliases[alias] = out.Room
	}
	return out.Room, nil
}

// enter makes a user of ours join a room. Where the room does not let it in,
// the bot invites it, if it can.
func (r *rooms) enter(ctx context.Context, as id.UserID, at id.RoomID, via []string) error {
	var inside bool
	r.with(at, func(k *room) { inside = k.inside[as] })
	if inside {
		return nil
	}
	asked := r.now()
	err := r.join(ctx, as, at, via)
	if is(err, "M_FORBIDDEN", "M_NOT_FOUND") && as != r.bot {
		if r.enter(ctx, r.bot, at, via) == nil && r.invite(ctx, r.bot, at, as) == nil {
			asked = r.now()
			err = r.join(ctx, as, at, via)
		}
	}
	if err == nil {
		r.learn(asked, at, func(k *room) { k.inside[as] = true })
	}
	return err
}

func (r *rooms) join(ctx context.Context, as id.UserID, at id.RoomID, via []string) error {
	query := url.Values{}
	for _, server := range via {
		query.Add("via", server)
		query.Add("server_name", server) // its name before version 1.12
	}
	return r.api.call(ctx, as, http.MethodPost, []any{"v3", "join", at}, query, struct{}{}, nil)
}

func (r *rooms) invite(ctx context.Context, as id.UserID, at id.RoomID, whom id.UserID) error {
	return r.api.call(ctx, as, http.MethodPost, []any{"v3", "rooms", at, "invite"}, nil, map[string]any{"user_id": whom}, nil)
}

// leave leaves a room, or refuses an invitation to it, and says why.
func (r *rooms) leave(ctx context.Context, as id.UserID, at id.RoomID, why string) error {
	return r.api.call(ctx, as, http.MethodPost, []any{"v3", "rooms", at, "leave"}, nil, map[string]any{"reason": why}, nil)
}

// isEncrypted tells whether a room is encrypted, as somebody who is inside.
func (r *rooms) isEncrypted(ctx context.Context, as id.UserID, at id.RoomID) (bool, error) {
	var known *bool
	r.with(at, func(k *room) { known = k.encrypted })
	if known != nil {
		return *known, nil
	}
	asked := r.now()
	err := r.api.call(ctx, as, http.MethodGet, []any{"v3", "rooms", at, "state", "m.room.encryption"}, nil, nil, nil)
	encrypted := err == nil
	if err != nil && !is(err, "M_NOT_FOUND") {
		return false, err
	}
	r.learn(asked, at, func(k *room) { k.encrypted = &encrypted })
	return encrypted, nil
}

// setEncrypted notes that a room is encrypted: it can never be undone.
func (r *rooms) setEncrypted(at id.RoomID) {
	yes := true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	r.get(at).encrypted = &yes
}

// people returns who has joined a room, with their names, as somebody who is
// inside.
func (r *rooms) people(ctx context.Context, as id.UserID, at id.RoomID) (map[id.UserID]string, error) {
	var people map[id.UserID]string
	r.with(at, func(k *room) { people = k.people })
	if people != nil {
		return people, nil
	}
	asked := r.now()
	var out struct {
		Joined map[id.UserID]struct {
			Name string `json:"display_name"`
		} `json:"joined"`
	}
	if err := r.api.call(ctx, as, http.MethodGet, []any{"v3", "rooms", at, "joined_members"}, nil, nil, &out); err != nil {
		return nil, err
	}
	people = make(map[id.UserID]string, len(out.Joined))
	for u, m := range out.Joined {
		people[u] = m.Name
	}
	r.learn(asked, at, func(k *room) { k.people = people })
	return people, nil
}

// expect makes sure that somebody is in a room or invited to it, as a user of
// ours who is inside.
func (r *rooms) expect(ctx context.Context, as id.UserID, at id.RoomID, whom id.UserID) error {
	var present bool
	r.with(at, func(k *room) { present = k.present[whom] })
	if present {
		return nil
	}
	asked := r.now()
	var member struct {
		Membership string `json:"membership"`
	}
	err := r.api.call(ctx, as, http.MethodGet, []any{"v3", "rooms", at, "state", "m.room.member", whom}, nil, nil, &member)
	if err != nil && !is(err, "M_NOT_FOUND") {
		return err
	}
	if member.Membership != "join" && member.Membership != "invite" {
		if err := r.invite(ctx, as, at, whom); err != nil {
			return err
		}
	}
	r.learn(asked, at, func(k *room) { k.present[whom] = true })
	return nil
}
