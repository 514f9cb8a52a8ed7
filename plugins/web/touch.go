package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"parley.im/bus/event"
)

// picker are the emoji that a page offers.
var picker = []string{"👍", "❤️", "😂", "🎉", "😮", "😢", "👀", "✅"}

// A touch is what a person does to a message that stands here.
type touch struct {
	Conv   string
	Seq    int64
	Text   string // of an edit
	Emoji  string // of a reaction
	Remove bool   // the reaction
}

// check returns what is wrong with an edit, in words for the person.
func (t touch) check() error {
	switch {
	case strings.TrimSpace(t.Text) == "":
		return errors.New("write something first, or delete the message")
	case len(t.Text) > maxText:
		return errors.New("that is too long; at most 32,768 bytes")
	case !utf8.ValidString(t.Text):
		return errors.New("that is not valid UTF-8")
	}
	return nil
}

// A maker makes of a message what a touch asks for, and what the bridge is
// told of that; or nil, when it is so already.
type maker func(p person, t touch, m *message, id string) (*message, waiting, error)

// touching answers requests that edit, delete or react.
func (s *server) touching(f maker) func(http.ResponseWriter, *http.Request, person) {
	return func(w http.ResponseWriter, r *http.Request, p person) {
		var t touch
		if !readJSON(w, r, &t) || !s.inConversation(w, r, p, t.Conv) {
			return
		}
		m, err := s.touch(r.Context(), p, t, f)
		if err != nil {
			s.failTouch(w, err)
			return
		}
		answer(w, m.shown())
	}
}

// touch makes a change and returns the message when it is durable. One that
// was made already changes nothing.
func (s *server) touch(ctx context.Context, p person, t touch, f maker) (*message, error) {
	c, err := s.store.conversation(ctx, t.Conv)
	if err != nil {
		return nil, err
	}
	c.posting.Lock() // the bridge hears of changes in their order, and after the message
	defer c.posting.Unlock()
	outside := !strings.HasPrefix(t.Conv, "w:")
	return s.outbox.postChange(ctx, t.Conv, t.Seq, outside, func(m *message, id string) (*message, waiting, error) {
		if !m.visibleTo(p.Name, p.Since) {
			return nil, waiting{}, errNoMessage
		}
		n, w, err := f(p, t, m, id)
		w.Person, w.Time, w.Thread = p.Name, time.Now().UnixMilli(), m.thread()
		return n, w, err
	})
}

// A badTouch is a request that the person can mend.
type badTouch struct{ error }

func (s *server) failTouch(w http.ResponseWriter, err error) {
	var bad badTouch
	switch {
	case errors.As(err, &bad), errors.Is(err, errEmoji):
		refuse(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, errNotTheirs):
		refuse(w, http.StatusForbidden, err.Error())
	case errors.Is(err, errDeleted), errors.Is(err, errReactions), errors.Is(err, errLarge):
		refuse(w, http.StatusConflict, err.Error())
	case errors.Is(err, errCrowded):
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, err.Error())
	default:
		s.fail(w, err)
	}
}

// mine is the address that p changes m by. What somebody said who had the name
// before is not theirs.
func (p person) mine(m *message) event.Address {
	if m.Seq < p.Since {
		return ""
	}
	return personAddress(p.Name)
}

func editIt(p person, t touch, m *message, _ string) (*message, waiting, error) {
	if err := t.check(); err != nil {
		return nil, waiting{}, badTouch{err}
	}
	n, err := m.edited(p.mine(m), short(clean(t.Text, true), maxText), "", nil)
	if n == nil {
		return nil, waiting{}, err
	}
	return n, waiting{Kind: event.KindEdit, About: m.id(), words: n.Text}, err
}

func deleteIt(p person, _ touch, m *message, _ string) (*message, waiting, error) {
	if !m.theirs(p.mine(m)) {
		return nil, waiting{}, errNotTheirs
	}
	return m.deleted(), waiting{Kind: event.KindRedact, About: m.id()}, nil
}

func reactToIt(p person, t touch, m *message, id string) (*message, waiting, error) {
	me, sign := personAddress(p.Name), emoji(t.Emoji)
	known := slices.Contains(picker, sign) || slices.ContainsFunc(m.Reactions, func(r reaction) bool { return r.Emoji == sign })
	i := m.reaction(me, sign)
	switch {
	case t.Remove && i < 0, !t.Remove && i >= 0:
		return nil, waiting{}, nil
	case t.Remove:
		old := m.Reactions[i].ID
		n, err := m.unreacted(me, old)
		return n, waiting{Kind: event.KindRedact, About: old}, err
	case !known:
		return nil, waiting{}, errEmoji
	}
	n, err := m.reacted(reaction{Emoji: sign, From: me, Name: p.Name, ID: id})
	return n, waiting{Kind: event.KindReact, About: m.id(), words: sign}, err
}
