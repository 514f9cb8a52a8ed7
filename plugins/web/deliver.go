package web

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
	"parley.im/plugins/sdk"
)

// Deliver keeps a message and shows it to the open pages, or changes one that
// stands here: its words, its reactions, or the mark of what was said here. It returns when State has stored it; the
// same delivery again is the same message.
func (c *connector) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	switch d.Kind {
	case event.KindMessage:
		return c.deliverMessage(ctx, d)
	case event.KindStatus:
		return c.deliverStatus(ctx, d)
	case event.KindEdit, event.KindRedact, event.KindReact:
		return c.deliverChange(ctx, d)
	}
	return event.Receipt{}, event.Permanent(fmt.Errorf("the web chat does not take messages of kind %q", d.Kind))
}

// Find tells whether an earlier Deliver of d is known to have stored and shown
// the message. One that may have stored it, and could not say so, is made up
// for by another Deliver: it stores the same message.
func (c *connector) Find(ctx context.Context, d event.Delivery, _ time.Time) (event.Receipt, bool, error) {
	if d.Kind == event.KindStatus {
		return event.Receipt{}, false, nil // a mark set twice is a mark set once
	}
	place, found, _, err := c.store.claimed(ctx, d.ID)
	if err != nil || !found {
		return event.Receipt{}, false, err
	}
	if place.Kind != "" {
		return event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}, true, nil
	}
	if place.Done {
		return receipt(d), true, nil
	}
	m, err := c.store.get(ctx, place.Conv, place.Seq)
	if err != nil || m == nil {
		return event.Receipt{}, false, err
	}
	return receipt(d), true, nil
}

// receipt names a thread only at a desk: elsewhere a conversation has the place
// to itself, and the host need not keep one.
func receipt(d event.Delivery) event.Receipt {
	r := event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}
	if d.Mode == event.ModeDesk {
		r.Anchor = anchor(d)
	}
	return r
}

// anchor is the thread that d stands in, or begins.
func anchor(d event.Delivery) string {
	if d.Anchor != "" {
		return d.Anchor
	}
	return d.ID
}

func (c *connector) deliverMessage(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	conv, person, err := c.place(ctx, d)
	if err != nil {
		return event.Receipt{}, err
	}
	text, html, err := c.read(ctx, d.Content)
	if err != nil {
		return event.Receipt{}, err
	}
	files, err := c.keepFiles(ctx, d.Files)
	if err != nil {
		return event.Receipt{}, err
	}
	reply, err := c.store.answered(ctx, conv, d.InReplyTo)
	if err != nil {
		return event.Receipt{}, err
	}
	rev, err := c.hub.begin(ctx)
	if err != nil {
		return event.Receipt{}, err
	}
	place, err := c.store.claim(ctx, d.ID, conv, rev)
	if err == nil && person != "" && !place.Done {
		err = c.store.takePart(ctx, person, conv, normal(d.From), rev)
	}
	if err != nil || place.Done {
		c.hub.finish(rev, nil)
		return receipt(d), err
	}
	m := incoming(d, text, html)
	m.Files, m.Reply = files, reply
	m.Conv, m.Seq = place.Conv, place.Seq
	return receipt(d), c.store.add(ctx, m, rev)
}

// place returns the conversation that d belongs to, and the person it is for
// unless it is for a room.
func (c *connector) place(ctx context.Context, d event.Delivery) (conv, person string, err error) {
	kind, name, err := readAddress(d.Target)
	if err != nil {
		return "", "", event.Permanent(err)
	}
	if kind == "room" {
		if !c.settings.hasRoom(name) {
			return "", "", event.Permanent(fmt.Errorf("there is no room %q here", name))
		}
		return roomConv(name), "", nil
	}
	if err := d.From.Check(); err != nil {
		return "", "", event.Permanent(fmt.Errorf("sender: %w", err))
	}
	held, err := c.people.held(ctx, name)
	if err == nil && !held {
		err = event.Permanent(fmt.Errorf("nobody has the name %q here", name))
	}
	return outsideConv(name, normal(d.From)), name, err
}

// author is who said or did what d brings, as it is shown and compared.
func author(d event.Delivery) event.Address {
	return event.Address(short(clean(string(cmp.Or(d.Sender, d.From)), false), event.MaxAddress))
}

func authorName(d event.Delivery) string {
	name := d.SenderName
	if name == "" && (d.Sender == "" || d.Sender == d.From) {
		name = d.FromName
	}
	return short(clean(name, false), 128)
}

// incoming is the message that d becomes.
func incoming(d event.Delivery, text, html string) *message {
	m := &message{
		Time: time.Now().UnixMilli(), From: author(d), Name: authorName(d), Thread: d.Anchor, Anchor: anchor(d),
		Title: d.Title, Automatic: d.Automatic, Delivery: d.ID, Text: text, HTML: html,
	}
	m.Title = short(clean(m.Title, false), 512)
	if len(m.encode()) > maxMessage {
		m.HTML = "" // its words are there
	}
	return m
}

// read returns the words of a body, and its form as HTML if it has one.
func (c *connector) read(ctx context.Context, body event.Content) (text, html string, err error) {
	data, err := sdk.Body(ctx, c.host.Media(), body, maxText)
	if err != nil {
		return "", "", err
	}
	if kind, _, _ := strings.Cut(body.MediaType, ";"); kind != "text/html" {
		return short(clean(string(data), true), maxText), "", nil
	}
	doc, err := markup.Read(string(data), markup.HTML)
	if err != nil {
		return "", "", event.Permanent(err)
	}
	if text, err = doc.Write(markup.Plain); err == nil {
		html, err = doc.Write(markup.HTML)
	}
	return short(text, maxText), html, err
}

// deliverStatus changes the mark of what a person said here.
func (c *connector) deliverStatus(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	conv, seq, err := readNativeID(d.InReplyTo)
	if err != nil {
		return c.deliverChangeStatus(ctx, d)
	}
	mark, ok := map[event.State]string{
		event.Accepted: markAccepted, event.Delivered: markDelivered,
		event.Displayed: markDisplayed, event.Failed: markFailed,
	}[d.State]
	if !ok {
		return event.Receipt{}, event.Permanent(fmt.Errorf("unknown state %q", d.State))
	}
	m, err := c.store.get(ctx, conv, seq)
	if err == nil && (m == nil || m.Mark == "" || m.From != d.Target) {
		err = event.Permanent(errNoMessage)
	}
	if err != nil {
		return event.Receipt{}, err
	}
	reason := ""
	if mark == markFailed {
		if reason, err = c.reason(ctx, d); err != nil {
			return event.Receipt{}, err
		}
	}
	if err := c.store.mark(ctx, conv, seq, mark, reason); err != nil {
		return event.Receipt{}, err
	}
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}, nil
}

// reason is what a status says of a failure.
func (c *connector) reason(ctx context.Context, d event.Delivery) (string, error) {
	words, _, err := c.read(ctx, d.Content)
	if err != nil && !event.IsPermanent(err) {
		return "", err
	}
	return short(strings.TrimSpace(clean(words, false)), maxReason), nil
}

// deliverChangeStatus tells the author of a message that a change of it failed
// somewhere. Other news of changes, and of reactions, is not shown.
func (c *connector) deliverChangeStatus(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	receipt := event.Receipt{State: event.Delivered, RemoteIDs: []string{d.ID}}
	conv, seq, _, err := readChangeID(d.InReplyTo)
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	m, err := c.store.get(ctx, conv, seq)
	if err != nil || m == nil || m.From != d.Target || d.State != event.Failed {
		return receipt, err
	}
	reason, err := c.reason(ctx, d)
	if err != nil {
		return event.Receipt{}, err
	}
	return receipt, c.store.mark(ctx, conv, seq, markFailed, notChanged+reason)
}
