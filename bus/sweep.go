package bus

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus/event"
)

// Sweep removes what was stored before a time and no event refers to any more,
// and returns how much that was.
func (m *Media) Sweep(ctx context.Context, before time.Time) (objects int, bytes uint64, err error) {
	old, err := m.list(ctx, func(o *jetstream.ObjectInfo) bool { return o.ModTime.Before(before) })
	if err != nil || len(old) == 0 {
		return 0, 0, err
	}
	used, err := m.used(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, o := range old {
		if used[o.Name] {
			continue
		}
		if err := m.remove(ctx, o); err != nil {
			return objects, bytes, err
		}
		objects, bytes = objects+1, bytes+o.Size
	}
	return objects, bytes, nil
}

// Remove removes bodies by their Refs, except those that some event refers to.
// What is not there is passed over.
func (m *Media) Remove(ctx context.Context, refs map[string]bool) (objects int, err error) {
	if len(refs) == 0 {
		return 0, nil
	}
	used, err := m.used(ctx)
	if err != nil {
		return 0, err
	}
	list, err := m.list(ctx, func(o *jetstream.ObjectInfo) bool { return refs[o.Name] && !used[o.Name] })
	if err != nil {
		return 0, err
	}
	for _, o := range list {
		if err := m.remove(ctx, o); err != nil {
			return objects, err
		}
		objects++
	}
	return objects, nil
}

// Discard removes a body that no event refers to.
func (m *Media) Discard(ctx context.Context, c event.Content) error {
	info, err := m.store.GetInfo(ctx, c.Ref)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("media %s: %w", c.Ref, unavailable(err))
	}
	return m.remove(ctx, info)
}

func (m *Media) list(ctx context.Context, want func(*jetstream.ObjectInfo) bool) (list []*jetstream.ObjectInfo, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	all, err := m.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list media: %w", unavailable(err))
	}
	for _, o := range all {
		if want(o) {
			list = append(list, o)
		}
	}
	return list, nil
}

// used returns the Refs that the events of the log have.
func (m *Media) used(ctx context.Context) (map[string]bool, error) {
	refs := map[string]bool{}
	for _, s := range []Stream{Inbounds, Outbounds, Deads} {
		err := m.bus.Scan(ctx, s, time.Time{}, func(r Record) bool {
			for _, name := range Refs(r.Event) {
				refs[name] = true
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return refs, nil
}

// Refs returns the names in Media that an event refers to.
func Refs(e event.Event) (names []string) {
	var about event.Envelope
	switch e := e.(type) {
	case event.Inbound:
		about = e.Envelope
	case event.Outbound:
		about = e.Envelope
	case event.Dead:
		about = e.Envelope
	}
	if c := contentOf(e); c != nil {
		names = append(names, c.Ref)
	}
	for _, f := range about.Files {
		names = append(names, f.Ref)
	}
	names = append(names, about.Original)
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// remove removes an object whole. The object store's own Delete would leave an
// entry for ever.
func (m *Media) remove(ctx context.Context, o *jetstream.ObjectInfo) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	stream, err := m.bus.js.Stream(ctx, "OBJ_"+mediaBucket)
	if err != nil {
		return fmt.Errorf("remove media %s: %w", o.Name, unavailable(err))
	}
	for _, subject := range []string{
		"$O." + mediaBucket + ".M." + base64.URLEncoding.EncodeToString([]byte(o.Name)),
		"$O." + mediaBucket + ".C." + o.NUID,
	} {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("remove media %s: %w", o.Name, unavailable(err))
		}
	}
	return nil
}
