package core

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"parley.im/bus"
	"parley.im/bus/event"
)

// erase removes what the store holds of a user: the messages to and from an
// address with all that became of them, the entries of the buckets that name
// it, and large bodies. The connectors stand still meanwhile and start again
// without what they remembered. Messages that waited for the user, or from
// them, are gone with the rest. It returns what was removed, in words.
func (h *Host) erase(ctx context.Context, who string, address event.Address) ([]string, error) {
	if s := address.Scheme(); s == "sip" || s == "sips" {
		aor, err := h.edge.AOR(string(address))
		if err != nil {
			return nil, err
		}
		address = aor
	}
	if err := address.Check(); err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	done, records, err := h.eraseAll(context.WithoutCancel(ctx), address)
	words := erasedWords(done, records)
	if err != nil {
		h.Log.Error("not everything was erased; ask again", "by", who, "done", words, "err", err)
		return nil, fmt.Errorf("not everything was erased; ask again: %w", err)
	}
	h.Log.Info("erased a user", "by", who, "done", words)
	return words, nil
}

// eraseAll stops the connectors, erases, and starts them anew.
func (h *Host) eraseAll(ctx context.Context, address event.Address) (done bus.Erased, records int, err error) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	if err := h.isReady(); err != nil {
		return done, 0, err
	}
	p, err := h.planAgain(ctx)
	if err != nil {
		return done, 0, err
	}
	h.current.Store(p.after)
	p.stop()
	done, err = h.bus.Erase(ctx, bus.Erasure{
		Event: func(_ bus.Stream, r bus.Record) bool { return names(r.Event, address) },
		Entry: func(bucket string, e bus.Entry) bool {
			if bucket == "deliver" {
				return waitsFor(e.Value, address)
			}
			return mentions([]byte(e.Key), address) || mentions(e.Value, address)
		},
	})
	h.talks.Forget()
	if err == nil {
		records, err = h.bus.Scrub(ctx)
	}
	p.start(ctx, h)
	h.sip.Wake(address) // what waited for them is gone
	return done, records, err
}

// planAgain has every connector started anew.
func (h *Host) planAgain(ctx context.Context) (*plan, error) {
	before := h.now()
	p := &plan{after: &setup{config: before.config, table: before.table, connectors: map[string]*connector{}}}
	for _, name := range slices.Sorted(maps.Keys(before.connectors)) {
		c, err := h.newConnector(ctx, name, before.config)
		if err != nil {
			return nil, err
		}
		c.last = before.connectors[name].describe()
		p.after.connectors[name] = c
		p.changed, p.ended = append(p.changed, name), append(p.ended, before.connectors[name])
	}
	return p, nil
}

// names tells whether an event is about a user.
func names(e event.Event, a event.Address) bool {
	envelope := func(e event.Envelope) bool { return e.Sender == a || e.Recipient == a }
	switch e := e.(type) {
	case event.Inbound:
		return envelope(e.Envelope)
	case event.Outbound:
		return envelope(e.Envelope) || e.Target == a || e.From == a || e.Correspondent == a
	case event.Status:
		return e.Sender == a || e.Recipient == a || e.Target == a || e.From == a
	case event.Dead:
		return names(e.Outbound, a)
	}
	return false
}

// waitsFor tells whether a record is of a lane to a user. Others stay, whatever
// they say: their messages are read from the log by it.
func waitsFor(record []byte, a event.Address) bool {
	var r struct{ Target event.Address }
	return json.Unmarshal(record, &r) == nil && r.Target == a
}

// mentions tells whether a text has the address, and not only as part of a
// longer one.
func mentions(text []byte, a event.Address) bool {
	for {
		i := bytes.Index(text, []byte(a))
		if i < 0 {
			return false
		}
		before, after := i == 0 || !partOfAddress(text[i-1]), text[i+len(a):]
		if before && (len(after) == 0 || !partOfAddress(after[0])) {
			return true
		}
		text = text[i+1:]
	}
}

func partOfAddress(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
}

func erasedWords(e bus.Erased, records int) (words []string) {
	for _, s := range bus.Streams() {
		if n := e.Events[s]; n > 0 {
			words = append(words, fmt.Sprintf("%d events of %s", n, s))
		}
	}
	for _, b := range slices.Sorted(maps.Keys(e.Entries)) {
		words = append(words, fmt.Sprintf("%d entries of %s", e.Entries[b], b))
	}
	if e.Media > 0 {
		words = append(words, fmt.Sprintf("%d large bodies", e.Media))
	}
	if records > 0 {
		words = append(words, fmt.Sprintf("%d records overwritten on disk", records))
	}
	return words
}
