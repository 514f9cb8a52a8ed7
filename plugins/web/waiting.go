package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// maxPending is how many changes of one message may wait for the bridge.
const maxPending = 32

// A waiting is a change made here that the bridge has not stored yet. It says
// all that the bridge is told, for the message may have changed again.
type waiting struct {
	Kind   event.Kind `json:"kind"`
	Person string     `json:"person"`
	Time   int64      `json:"time"`  // milliseconds since 1970
	About  string     `json:"about"` // id that the bridge knows what it concerns by
	Thread string     `json:"thread,omitempty"`
	words  string     // what an edited message says now, or an emoji
}

var errWaiting = errors.New("a change in the outbox can't be read")

// encode gives the outbox entry: the id of the change, a line of JSON, and the
// words as they are.
func (w waiting) encode(id string) []byte {
	return slices.Concat([]byte(id), []byte("\n"), marshal(w), []byte("\n"), []byte(w.words))
}

func decodeWaiting(value []byte) (w waiting, err error) {
	_, rest, _ := bytes.Cut(value, []byte("\n"))
	head, words, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || json.Unmarshal(head, &w) != nil {
		return waiting{}, errWaiting
	}
	w.words = string(words)
	return w, nil
}

// waitingID is the id that an outbox entry begins with, of a message or of a
// change.
func waitingID(value []byte) string {
	id, _, _ := bytes.Cut(value, []byte("\n"))
	return string(id)
}

// postChange makes a message what f makes of it, shows it, and queues the
// change for the bridge when outside is true. The entry is in State before the
// change is, and the change says Pending until the bridge has it: so a crash at
// any point hands it over again, with the same native id, or it was never
// promised.
func (o *outbox) postChange(ctx context.Context, conv string, seq int64, outside bool, f func(m *message, id string) (*message, waiting, error)) (*message, error) {
	if outside && len(o.queue) >= queueRoom/2 {
		return nil, errCrowded
	}
	queued := ""
	m, err := o.store.change(ctx, conv, seq, func(m *message, rev int64) (*message, error) {
		id := changeID(conv, seq, rev)
		n, w, err := f(m, id)
		if err != nil || n == nil || !outside {
			return n, err
		}
		if len(n.Pending) >= maxPending {
			return nil, errCrowded
		}
		n.Pending = append(slices.Clip(n.Pending), rev)
		queued = id
		_, err = o.host.State().Put(ctx, outboxKey(id), w.encode(id), 0)
		return n, err
	})
	if err == nil && queued != "" {
		o.queue <- queued
	}
	return m, err
}

// tryChange hands a change over that waits.
func (o *outbox) tryChange(ctx context.Context, id string, attempt int) error {
	conv, seq, rev, err := readChangeID(id)
	if err != nil {
		return discard(ctx, o.host.State(), outboxKey(id), 0)
	}
	e, err := o.host.State().Get(ctx, outboxKey(id))
	if errors.Is(err, sdk.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := o.store.get(ctx, conv, seq)
	if err != nil {
		return err
	}
	w, err := decodeWaiting(e.Value)
	if err != nil || m == nil || !slices.Contains(m.Pending, rev) { // never promised, or settled already
		return discard(ctx, o.host.State(), outboxKey(id), e.Revision)
	}
	mark, reason := markSent, "" // of what was deleted meanwhile, nobody is told what it said
	if !m.Deleted || w.Kind == event.KindRedact {
		if mark, reason, err = o.putChange(ctx, conv, id, w, attempt); err != nil {
			return err
		}
	}
	_, err = o.store.change(ctx, conv, seq, func(m *message, _ int64) (*message, error) {
		return m.settled(rev, personAddress(w.Person), mark, reason), nil
	})
	if err != nil {
		return err
	}
	return discard(ctx, o.host.State(), outboxKey(id), e.Revision)
}

// putChange hands a change to the bridge, see put.
func (o *outbox) putChange(ctx context.Context, conv, id string, w waiting, attempt int) (mark, reason string, err error) {
	in, err := o.concerning(ctx, conv, id, w)
	if err != nil {
		return "", "", err
	}
	_, inRoom := members(conv)
	return o.hand(ctx, in, inRoom, attempt)
}

// settled returns m after the bridge has said yes or no to a change. Of what
// went wrong the author of the message is told.
func (m *message) settled(rev int64, who event.Address, mark, reason string) *message {
	n := *m
	n.Pending = slices.DeleteFunc(slices.Clone(m.Pending), func(p int64) bool { return p == rev })
	if mark == markFailed && m.From == who {
		if failed := n.marked(markFailed, notChanged+reason); failed != nil {
			return failed
		}
	}
	return &n
}

// notChanged begins the reason of a mark that is of a change to the message.
const notChanged = "a change did not arrive: "

// concerning is what the bridge is told of a change.
func (o *outbox) concerning(ctx context.Context, conv, id string, w waiting) (event.Inbound, error) {
	in := event.Inbound{
		Envelope: event.Envelope{
			Kind: w.Kind, Sender: personAddress(w.Person), SenderName: w.Person, InReplyTo: w.About,
			Sent: time.UnixMilli(w.Time), NativeID: id, Wants: []event.State{event.Failed},
		},
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(w.words)},
	}
	if _, inRoom := members(conv); inRoom {
		in.Recipient, in.Thread = roomAddress(strings.TrimPrefix(conv, "r:")), w.Thread
		return in, nil
	}
	p, _, err := o.store.part(ctx, w.Person, conv)
	in.Recipient = p.Peer
	return in, err
}
