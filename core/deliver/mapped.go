package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"parley.im/bus/event"
	"parley.im/plugins/content/mapping"
)

// errNotTold says that a message is of no use at its target, and of no harm: it
// is settled without being sent.
var errNotTold = errors.New("there is no such thing at the target")

// mapped returns the delivery of a message in the best form that its target
// takes, and what that loses. The message itself stays as it came.
func (s *Stage) mapped(ctx context.Context, it item, able Abilities) (d event.Delivery, losses []string, err error) {
	d = it.Delivery()
	if err := s.name(ctx, it, &d); err != nil {
		return d, nil, ours("look up what the message concerns", err)
	}
	if s.Links != nil {
		d.Links = s.Links(it.Outbound, it.seq)
	}
	taker, note := able.Taker, ""
	if kind := d.Kind; !able.knows(d) {
		if d.Kind, note, err = s.degraded(d); err != nil {
			return d, []string{string(kind) + " not shown"}, err
		}
		losses = append(losses, string(kind)+" as text")
		d.InReplyTo, d.RemoteIDs = "", nil
		if len(taker.Types) == 0 || taker.Types[0] == "*/*" { // words are put to it
			taker.Types = []string{"text/plain"}
		}
	}
	if mapping.Opens(d.Content, taker) {
		if d.Content, err = s.Bus.Load(ctx, d.Content); err != nil {
			return d, nil, ours("read the body", err)
		}
	}
	m := mapping.Message{Content: d.Content, Files: d.Files, Links: d.Links, Note: note}
	m.Fetched = s.fetched(ctx, it.Outbound, mapping.References(m, taker))
	m, lost, err := mapping.Map(m, taker)
	if err != nil {
		return d, nil, event.Permanent(fmt.Errorf("the message can't be shown there: %w", err))
	}
	d.Content, d.Files = m.Content, m.Files
	for _, l := range lost {
		losses = append(losses, string(l))
	}
	return d, losses, nil
}

// name fills in the ids by which the target knows what a message concerns: the
// first of them, and all where all are to be withdrawn.
func (s *Stage) name(ctx context.Context, it item, d *event.Delivery) error {
	if s.Native == nil || it.Concerns == "" || d.InReplyTo != "" {
		return nil
	}
	ids, err := s.Native(ctx, it.Concerns, it.Target)
	if err != nil || len(ids) == 0 {
		return err
	}
	d.InReplyTo = ids[0]
	if d.Kind == event.KindRedact {
		d.RemoteIDs = ids
	}
	return nil
}

// maxFetched is how many files elsewhere are fetched for a message.
const maxFetched = 10

// fetched gets the files elsewhere that a message names, all at once and for so
// long only. What can't be had is no reason not to deliver: the reader is told
// where it is.
func (s *Stage) fetched(ctx context.Context, o event.Outbound, list []mapping.Reference) map[string]event.Content {
	if s.Fetch == nil || len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Policy.Fetch)
	defer cancel()
	var (
		all sync.WaitGroup
		mu  sync.Mutex
		got = map[string]event.Content{}
	)
	for _, r := range list[:min(len(list), maxFetched)] {
		all.Go(func() {
			c, err := s.Fetch(ctx, o, r.URL)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[r.URL] = c
		})
	}
	all.Wait()
	return got
}

// knows tells whether a target takes the kind of a delivery: of an edit, a
// deletion and a reaction only when it knows the message that they are about.
func (a Abilities) knows(d event.Delivery) bool {
	switch d.Kind {
	case event.KindEdit, event.KindRedact, event.KindReact:
		return slices.Contains(a.Kinds, d.Kind) && d.InReplyTo != ""
	}
	return slices.Contains(a.Kinds, d.Kind)
}

// degraded makes a message in words of one of a kind that the target does not
// know, whose body stands below the note.
func (s *Stage) degraded(d event.Delivery) (event.Kind, string, error) {
	notes := map[event.Kind]string{
		event.KindEdit: "[corrected]", event.KindRedact: "[a message was deleted]", event.KindReact: "[reaction]",
	}
	note, known := notes[d.Kind]
	switch {
	case !known:
		return d.Kind, "", event.Permanent(fmt.Errorf("messages of kind %q are not taken here", d.Kind))
	case s.Degrade == nil || !s.Degrade(d.Kind), d.Kind == event.KindEdit && d.Ref == "" && strings.TrimSpace(string(d.Data)) == "":
		return d.Kind, "", errNotTold
	}
	return event.KindMessage, note, nil
}
