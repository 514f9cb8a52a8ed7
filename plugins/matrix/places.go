package matrix

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"

	"parley.im/bus/event"
)

// missingFor is how long an alias that points nowhere is not asked for again.
const missingFor = 2 * time.Second

// places are the rooms that routes name. It may be used from several
// goroutines.
type places struct {
	list  []place
	rooms *rooms

	mu      sync.Mutex
	missing map[string]time.Time // aliases that pointed nowhere
}

// A place is one of them.
type place struct {
	address event.Address
	target  target
}

// newPlaces reads the addresses. A person is no place; what is no address is
// said and left out, so that one mistake does not stop the others.
func newPlaces(list []event.Address, r *rooms, log *slog.Logger) *places {
	p := &places{rooms: r, missing: map[string]time.Time{}}
	for _, a := range list {
		t, err := readAddress(a)
		if err != nil {
			log.Error("a route names what is no Matrix address", "address", a, "err", err)
			continue
		}
		if t.kind != aUser {
			p.list = append(p.list, place{a, t})
		}
	}
	return p
}

// at returns the address by which routes know a room, "" for any other room.
// An error means that this can't be told now.
func (p *places) at(ctx context.Context, room id.RoomID) (event.Address, error) {
	for _, place := range p.list {
		if place.target.kind == aRoom && place.target.id == string(room) {
			return place.address, nil
		}
	}
	var unknown error
	for _, place := range p.list {
		if place.target.kind != aAlias || p.isMissing(place.target.id) {
			continue
		}
		found, err := p.rooms.resolve(ctx, place.target.id)
		switch {
		case err != nil && event.IsPermanent(unsent("", err)): // there is no such room
			p.miss(place.target.id)
		case err != nil:
			unknown = err // it may be another
		case found == room:
			return place.address, nil
		}
	}
	return "", unknown
}

// names tells whether a route names a room by an alias.
func (p *places) names(alias string) bool {
	return slices.ContainsFunc(p.list, func(at place) bool { return at.target.id == alias })
}

func (p *places) isMissing(alias string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.missing[alias]) < missingFor
}

// askAgain has aliases that pointed nowhere asked for again: somebody may have
// made the room just now.
func (p *places) askAgain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.missing)
}

func (p *places) miss(alias string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missing[alias] = time.Now()
}
