package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley.im/bus/event"
)

var (
	errNotTheirs = errors.New("only who said a message may change or delete it")
	errDeleted   = errors.New("the message was deleted")
)

// deliverChange edits or deletes a message that stands here, or shows a
// reaction to it. The message is changed first and the delivery noted second:
// one that comes again between the two makes the same change, which is none.
func (c *connector) deliverChange(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	receipt := event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}
	conv, _, err := c.place(ctx, d)
	if err != nil {
		return event.Receipt{}, err
	}
	if _, done, _, err := c.store.claimed(ctx, d.ID); done || err != nil {
		return receipt, err
	}
	at, err := c.store.locate(ctx, d.InReplyTo)
	if err == nil && at.Conv != conv {
		err = errNoMessage // it stands elsewhere
	}
	if err == nil && !(at.Done && d.Kind == event.KindRedact) { // what is trimmed need not be deleted
		err = c.apply(ctx, d, at)
	}
	if unable(err) {
		err = event.Permanent(fmt.Errorf("%s of %.80q: %w", d.Kind, d.InReplyTo, err))
	}
	if err != nil {
		return event.Receipt{}, err
	}
	return receipt, c.store.note(ctx, d, at)
}

// unable tells whether a change can't be made, now or later.
func unable(err error) bool {
	return slices.ContainsFunc([]error{errNoMessage, errNotTheirs, errDeleted, errReactions, errEmoji, errLarge},
		func(e error) bool { return errors.Is(err, e) })
}

// apply makes the change that a delivery brings. Who may delete a message, the
// network has decided where it was deleted: moderators may, too.
func (c *connector) apply(ctx context.Context, d event.Delivery, at claim) error {
	if at.Done {
		return errNoMessage
	}
	who := author(d)
	change := func(m *message) (*message, error) { return m.deleted(), nil }
	switch {
	case d.Kind == event.KindRedact && at.Kind == event.KindReact:
		change = func(m *message) (*message, error) { return m.unreacted(who, d.InReplyTo) }
	case d.Kind == event.KindRedact && at.Kind == event.KindEdit:
		return event.Permanent(errors.New("an edit can't be taken back here"))
	case d.Kind == event.KindReact:
		words, _, err := c.read(ctx, d.Content)
		if err != nil {
			return err
		}
		r := reaction{Emoji: emoji(words), From: who, Name: authorName(d), ID: d.ID}
		change = func(m *message) (*message, error) { return m.reacted(r) }
	case d.Kind == event.KindEdit:
		text, html, err := c.read(ctx, d.Content)
		if err != nil {
			return err
		}
		files, err := c.keepFiles(ctx, d.Files)
		if err != nil {
			return err
		}
		change = func(m *message) (*message, error) { return m.edited(who, text, html, files) }
	}
	_, err := c.store.change(ctx, at.Conv, at.Seq, func(m *message, _ int64) (*message, error) { return change(m) })
	if errors.Is(err, errNoMessage) && at.Kind == event.KindReact && d.Kind == event.KindRedact {
		return nil // the reaction went with its message
	}
	return err
}

// theirs tells whether who said m. People without a name are not each other.
func (m *message) theirs(who event.Address) bool { return m.From == who && who != event.Anonymous }

// edited returns m as it reads now, or nil when it reads so already. Files stay
// unless there are others.
func (m *message) edited(who event.Address, text, html string, files []file) (*message, error) {
	switch {
	case !m.theirs(who):
		return nil, errNotTheirs
	case m.Deleted:
		return nil, errDeleted
	}
	n := *m
	n.Text, n.HTML = text, html
	if len(files) > 0 {
		n.Files = files
	}
	if len(n.encode()) > maxMessage {
		n.HTML = "" // its words are there
	}
	if n.Text == m.Text && n.HTML == m.HTML && slices.Equal(n.Files, m.Files) {
		return nil, nil
	}
	if len(n.encode()) > maxMessage {
		return nil, errLarge
	}
	n.Edited = time.Now().UnixMilli()
	return &n, nil
}

var errLarge = errors.New("the message would be too large")

// deleted returns m without what it said, or nil when that is gone already.
// Its place stays, so that the same delivery is still known.
func (m *message) deleted() *message {
	if m.Deleted {
		return nil
	}
	n := *m
	n.Deleted = true
	n.Text, n.HTML, n.Title, n.Files, n.Reactions, n.Edited = "", "", "", nil, nil, 0
	return &n
}

// change makes a message what f makes of it, durably and visibly, and returns
// it; f returns nil when nothing changes, and gets the number of the change.
func (s *store) change(ctx context.Context, conv string, seq int64, f func(m *message, rev int64) (*message, error)) (*message, error) {
	c, err := s.conversation(ctx, conv)
	if err != nil {
		return nil, err
	}
	c.marking.Lock()
	defer c.marking.Unlock()
	old := c.find(seq)
	if old == nil {
		return nil, errNoMessage
	}
	rev, err := s.hub.begin(ctx)
	if err != nil {
		return nil, err
	}
	var shown *message
	defer func() { s.hub.finish(rev, shown) }()
	m, err := f(old, rev)
	if err != nil || m == nil {
		return old, err
	}
	seen := !bytes.Equal(m.view(), old.view())
	if seen { // else no page need be told
		m.Rev = rev
	}
	if m.revision, err = overwrite(ctx, s.state, messageKey(conv, seq), m.encode(), old.revision); err != nil {
		return nil, fmt.Errorf("store change: %w", err)
	}
	c.replace(m)
	if seen {
		shown = m
	}
	return m, nil
}
