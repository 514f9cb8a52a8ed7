package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/httpd"
	"parley.im/core/route"
)

// A closing says what an operator did about a dead letter. It is stored in the
// bucket "dead" under the letter's id; a letter without one is open.
type closing struct {
	As string    `json:"as"` // retried or dropped
	By string    `json:"by"`
	At time.Time `json:"at"`
}

func (h *Host) closings(ctx context.Context) (*bus.Bucket, error) { return h.bus.Bucket(ctx, "dead") }

// openLetters calls f with each open dead letter since a time, without its
// body and with its sequence, oldest first, until f returns false.
func (h *Host) openLetters(ctx context.Context, since time.Time, f func(event.Dead, uint64) bool) error {
	b, err := h.closings(ctx)
	if err != nil {
		return err
	}
	list, err := b.List(ctx, "", "", 0)
	if err != nil {
		return fmt.Errorf("read what was done about dead letters: %w", err)
	}
	closed := make(map[string]bool, len(list))
	for _, e := range list {
		closed[e.Key] = true
	}
	return h.bus.Scan(ctx, bus.Deads, since, func(r bus.Record) bool {
		d, ok := r.Event.(event.Dead)
		return !ok || closed[d.DeadID] || f(d, r.Seq)
	})
}

// deadLetters is the operators' list.
func (h *Host) deadLetters(ctx context.Context, q httpd.DeadQuery, f func(httpd.DeadLetter)) error {
	var failed error
	err := h.openLetters(ctx, q.Since, func(d event.Dead, seq uint64) bool {
		l := letter(d)
		if !q.Takes(l) {
			return true
		}
		if q.Body {
			if l.Body, failed = h.bodyOf(ctx, seq); failed != nil {
				return false
			}
		}
		f(l)
		return true
	})
	return errors.Join(err, failed)
}

// wholeLetter returns the dead letter with a sequence, with its body or the
// reference to it.
func (h *Host) wholeLetter(ctx context.Context, seq uint64) (event.Dead, error) {
	r, err := h.bus.At(ctx, bus.Deads, seq)
	if err != nil {
		return event.Dead{}, err
	}
	d, ok := r.Event.(event.Dead)
	if !ok {
		return d, fmt.Errorf("%s at %d is no dead letter", bus.Deads, seq)
	}
	return d, nil
}

func (h *Host) bodyOf(ctx context.Context, seq uint64) ([]byte, error) {
	d, err := h.wholeLetter(ctx, seq)
	if err != nil {
		return nil, err
	}
	c, err := h.bus.Load(ctx, d.Content)
	return c.Data, err
}

func letter(d event.Dead) httpd.DeadLetter {
	return httpd.DeadLetter{
		ID: d.DeadID, Time: d.At, Reason: string(d.Reason), Detail: d.Detail, Inbound: d.Inbound, Outbound: d.ID, NativeID: d.NativeID,
		Connector: d.Connector, Conversation: d.Conversation, Route: d.Route, Generation: d.Generation,
		Sender: string(d.Sender), Recipient: string(d.Recipient), Target: string(d.Target),
		MediaType: d.MediaType,
	}
}

// retryDead sends dead letters anew, as generation n+1.
func (h *Host) retryDead(ctx context.Context, who string, ids []string) ([]httpd.Outcome, error) {
	return h.closeDead(ctx, who, "retried", ids, h.sendAnew)
}

// dropDead gives dead letters up.
func (h *Host) dropDead(ctx context.Context, who string, ids []string) ([]httpd.Outcome, error) {
	return h.closeDead(ctx, who, "dropped", ids, func(context.Context, event.Dead) (string, error) { return "dropped", nil })
}

// closeDead does something about each letter and notes that it was done. What
// do does is harmless when a crash has it done again.
func (h *Host) closeDead(ctx context.Context, who, as string, ids []string, do func(context.Context, event.Dead) (string, error)) ([]httpd.Outcome, error) {
	open, wanted := map[string]uint64{}, map[string]bool{} // sequences
	for _, id := range ids {
		wanted[id] = true
	}
	err := h.openLetters(ctx, time.Time{}, func(d event.Dead, seq uint64) bool {
		if wanted[d.DeadID] {
			open[d.DeadID] = seq
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	b, err := h.closings(ctx)
	if err != nil {
		return nil, err
	}
	var out []httpd.Outcome
	for _, id := range ids {
		seq, ok := open[id]
		if !ok {
			out = append(out, httpd.Outcome{ID: id, Text: "no open dead letter has this id", Failed: true})
			continue
		}
		delete(open, id) // once, however often it is named
		d, err := h.wholeLetter(ctx, seq)
		var text string
		if err == nil {
			text, err = do(ctx, d)
		}
		if err == nil {
			h.Log.Info("dead letter "+as, "message", d.Inbound, "dead", id, "by", who)
			err = note(ctx, b, id, closing{as, who, time.Now().UTC()})
		}
		if err != nil {
			out = append(out, httpd.Outcome{ID: id, Text: err.Error(), Failed: true})
			continue
		}
		out = append(out, httpd.Outcome{ID: id, Text: text})
	}
	return out, nil
}

func note(ctx context.Context, b *bus.Bucket, id string, c closing) error {
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = b.Put(ctx, id, v, 0)
	if errors.Is(err, bus.ErrConflict) {
		return errors.New("somebody else has closed it at the same time; look at the log")
	}
	return err
}

// sendAnew stores the next generation of a dead letter's message, and says
// what becomes of its order.
func (h *Host) sendAnew(ctx context.Context, d event.Dead) (string, error) {
	if d.Target == "" {
		return h.routeAnew(ctx, d)
	}
	if d.Connector != event.BuiltinSIP && h.now().connectors[d.Connector] == nil {
		return "", fmt.Errorf("no connector %q is configured", d.Connector)
	}
	text := "sent again"
	last, err := h.bus.Last(ctx, bus.Outbounds, d.Connector, d.Lane)
	if err != nil && !errors.Is(err, bus.ErrNotFound) {
		return "", err
	}
	if o, ok := last.Event.(event.Outbound); ok && o.Inbound != d.Inbound {
		text = "sent again, after later messages of its conversation"
	}
	_, err = h.bus.Publish(ctx, next(d.Outbound, d.Generation+1))
	return text, err
}

// routeAnew routes a message that no route took.
func (h *Host) routeAnew(ctx context.Context, d event.Dead) (string, error) {
	in := event.Inbound{ID: d.Inbound, Time: d.Outbound.Time, Lane: d.Lane, Envelope: d.Envelope, Content: d.Content}
	if in.Hops <= 1 {
		return "", errors.New("it has crossed too many bridges; to send it on could begin a loop")
	}
	asked := in
	switch _, err := h.find(ctx, &asked); {
	case errors.Is(err, route.ErrNoRoute), errors.Is(err, route.ErrForbidden):
		return "", fmt.Errorf("still: %w", err)
	case err != nil:
		return "", err
	}
	outs, err := h.assign(ctx, in)
	switch {
	case err != nil:
		return "", err
	case outs == nil:
		return "", fmt.Errorf("still: %s", d.Detail)
	case len(outs) == 0:
		return "", errors.New("it has no target left")
	}
	for _, o := range outs {
		if _, err := h.bus.Publish(ctx, next(o, d.Generation+1)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("routed to %d targets", len(outs)), nil
}

// next is an Outbound as its n-th generation. An expiry that is over would end
// it at once, so it has the host's then.
func next(o event.Outbound, n int) event.Outbound {
	o.Generation, o.Time = n, time.Now()
	o.ID = event.OutboundID(o.Inbound, o.Target, n)
	if o.Expires.Before(o.Time) {
		o.Expires = time.Time{}
	}
	return o
}
