package web

import (
	"errors"
	"slices"
	"strings"

	"parley.im/bus/event"
)

// What a message keeps of reactions at most: of all together in number and
// bytes, and of one in bytes.
const (
	maxReactions     = 64
	maxReactionBytes = 16 << 10
	maxEmoji         = 64
)

var (
	errReactions = errors.New("the message has as many reactions as are kept")
	errEmoji     = errors.New("a reaction is one emoji")
)

// A reaction is one person's to a message.
type reaction struct {
	Emoji string        `json:"emoji"`
	From  event.Address `json:"from"`
	Name  string        `json:"name,omitempty"`
	ID    string        `json:"id"` // of the delivery it came by, or of the change made here
}

// emoji makes hostile text a reaction: one short line, "" for none.
func emoji(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(short(strings.TrimSpace(clean(line, false)), maxEmoji))
}

// reaction returns the place of somebody's reaction among those of m, -1 if
// there is none.
func (m *message) reaction(who event.Address, emoji string) int {
	return slices.IndexFunc(m.Reactions, func(r reaction) bool { return r.From == who && r.Emoji == emoji })
}

// reacted returns m with r, or nil when it has that already. A network that
// does not tell of removals may bring the same one again: then the newer
// counts.
func (m *message) reacted(r reaction) (*message, error) {
	switch {
	case m.Deleted:
		return nil, errDeleted
	case r.Emoji == "":
		return nil, errEmoji
	}
	n := *m
	n.Reactions = slices.Clone(m.Reactions)
	if i := m.reaction(r.From, r.Emoji); i < 0 {
		n.Reactions = append(n.Reactions, r)
	} else if n.Reactions[i].ID == r.ID {
		return nil, nil
	} else {
		n.Reactions[i] = r
	}
	if len(n.Reactions) > maxReactions || len(marshal(n.Reactions)) > maxReactionBytes || len(n.encode()) > maxMessage {
		return nil, errReactions
	}
	return &n, nil
}

// unreacted returns m without the reaction of an id, or nil when it is gone.
func (m *message) unreacted(who event.Address, id string) (*message, error) {
	i := slices.IndexFunc(m.Reactions, func(r reaction) bool { return r.ID == id })
	if i < 0 {
		return nil, nil
	}
	if m.Reactions[i].From != who {
		return nil, errNotTheirs
	}
	n := *m
	n.Reactions = slices.Delete(slices.Clone(m.Reactions), i, i+1)
	return &n, nil
}
