package route

import (
	"errors"
	"fmt"
	"slices"

	"parley.im/bus/event"
)

// Errors of Find, for errors.Is. What wraps them says what to do.
var (
	ErrNoRoute   = errors.New("no route")
	ErrForbidden = errors.New("forbidden")
)

// Message is what Find needs to know of a message.
type Message struct {
	Connector  string        // it came in by; "sip"
	Sender     event.Address // empty: may anybody reach the recipient?
	SenderName string
	Recipient  event.Address
	Known      *Known // the conversation whose thread it stands in, if any
}

// Known is a conversation that was found by its thread.
type Known struct {
	Route         string
	Correspondent event.Address // the SIP user of a desk conversation
}

// Target is one address that a message goes to.
type Target struct {
	Connector string
	Address   event.Address
	From      event.Address // whom the target sees and answers
	FromName  string
}

// Decision is where a message goes.
type Decision struct {
	Route         string // name; empty between local accounts
	Mode          string
	Participants  []string      // what the conversation is made of, the same in both directions
	Correspondent event.Address // the SIP side: the user of a direct conversation or a desk, the address of a room
	Targets       []Target
}

// Find returns where m goes: to a local account first, or from one through a trunk, then by a literal
// address, then by a pattern. The error is ErrNoRoute or ErrForbidden.
func (t *Table) Find(m Message) (Decision, error) {
	if m.Connector == event.BuiltinSIP {
		m.Sender, m.Recipient = t.canonical(m.Sender), t.canonical(m.Recipient)
		return t.fromSIP(m)
	}
	if _, ok := cutScheme(string(m.Recipient)); ok {
		m.Recipient = t.canonical(m.Recipient)
		return t.toPhone(m)
	}
	r := t.channels[place{m.Connector, m.Recipient}]
	switch {
	case r == nil:
		return Decision{}, fmt.Errorf("%w takes what is said at %s", ErrNoRoute, m.Recipient)
	case r.Mode == Room:
		return r.room(m), nil
	case m.Known == nil || m.Known.Route != r.id():
		return Decision{}, fmt.Errorf("%w: at %s answer in the thread of the person you mean", ErrNoRoute, m.Recipient)
	}
	return r.desk(m, m.Known.Correspondent), nil
}

func (t *Table) fromSIP(m Message) (Decision, error) {
	if t.accounts[m.Recipient] || t.accounts[m.Sender] && t.reached(m.Recipient) { // nobody else may use a trunk
		return Decision{
			Participants: sorted(m.Sender, m.Recipient),
			Targets:      []Target{{event.BuiltinSIP, m.Recipient, m.Sender, m.SenderName}},
		}, nil
	}
	if r := t.literals[m.Recipient]; r != nil {
		return r.literal(m)
	}
	user, ours := t.userOf(m.Recipient)
	if !ours {
		return Decision{}, fmt.Errorf("%w leads to %s: %s", ErrNoRoute, m.Recipient, t.foreign(m.Recipient))
	}
	for _, r := range t.rules {
		if to, ok := r.forward(user); ok {
			return t.pattern(r, m, to)
		}
	}
	return Decision{}, fmt.Errorf("%w leads to %s: it is no account and no route's address", ErrNoRoute, m.Recipient)
}

// foreign says why an address that is not in our domain can't be dialled.
func (t *Table) foreign(a event.Address) string {
	for at, r := range t.channels {
		if at.address == a {
			return "SIP users reach it by " + string(r.address)
		}
	}
	return "its domain is not served here"
}

// literal is a message from a SIP user to the rule's one address.
func (r *rule) literal(m Message) (Decision, error) {
	switch {
	case r.Mode == Desk:
		return r.desk(m, m.Sender), nil
	case r.Mode == Direct:
		return r.direct(m, r.to[0].place().address), nil
	case !slices.Contains(r.members, m.Sender):
		return Decision{}, fmt.Errorf("%w: %s is not a member of %s", ErrForbidden, m.Sender, m.Recipient)
	}
	return r.room(m), nil
}

// pattern is a message from a SIP user to an address that r's captures make.
// They can't name the channel of a room or desk: it has rules of its own about
// who may speak there.
func (t *Table) pattern(r *rule, m Message, to event.Address) (Decision, error) {
	if owner := t.channels[place{r.to[0].connector, to}]; owner != nil {
		return Decision{}, fmt.Errorf("%w leads from %s to %s: it belongs to %s", ErrNoRoute, m.Recipient, to, owner.label())
	}
	return r.direct(m, to), nil
}

// forward returns the address on the other network that a SIP user part stands
// for, if it can be read back from there.
func (r *rule) forward(user string) (event.Address, bool) {
	if r.Mode != Direct || r.address != "" {
		return "", false
	}
	values, ok := r.sip.match(user)
	if !ok {
		return "", false
	}
	to := event.Address(r.to[0].pattern.fill(values))
	back, ok := r.backward(to)
	return to, ok && back == user && to.Check() == nil
}

// backward returns the SIP user part that stands for an address on the other
// network.
func (r *rule) backward(a event.Address) (string, bool) {
	values, ok := r.to[0].pattern.match(string(a))
	if !ok {
		return "", false
	}
	return r.sip.fill(values), true
}

// toPhone finds the way from a user of a network to a local account or somebody
// behind a trunk.
func (t *Table) toPhone(m Message) (Decision, error) {
	if m.Sender == "" && t.reached(m.Recipient) {
		return Decision{Participants: sorted(m.Recipient)}, nil
	}
	r, from := t.standsFor(m.Connector, m.Sender)
	owner := t.channels[place{m.Connector, m.Sender}]
	switch {
	case !t.reached(m.Recipient):
		return Decision{}, fmt.Errorf("%w leads from %s to %s: it is no account here, and in no domain of a trunk", ErrNoRoute, m.Connector, m.Recipient)
	case owner != nil: // an answer could not come back: see pattern
		return Decision{}, fmt.Errorf("%w leads from %s to %s: it belongs to %s", ErrNoRoute, m.Sender, m.Recipient, owner.label())
	case r == nil:
		return Decision{}, fmt.Errorf("%w gives %s a SIP address to write from", ErrNoRoute, m.Sender)
	case from.Check() != nil:
		return Decision{}, fmt.Errorf("%w gives %.64s… a SIP address: it would be too long", ErrNoRoute, m.Sender)
	}
	return Decision{
		Route: r.id(), Mode: Direct, Participants: sorted(m.Recipient, m.Sender), Correspondent: m.Recipient,
		Targets: []Target{{event.BuiltinSIP, m.Recipient, from, m.SenderName}},
	}, nil
}

// standsFor returns the direct rule that gives a user of a network a SIP
// address, and that address. One without captures comes first.
func (t *Table) standsFor(connector string, a event.Address) (found *rule, as event.Address) {
	for _, r := range t.rules {
		if r.Mode != Direct || r.to[0].connector != connector || found != nil && r.address == "" {
			continue
		}
		if user, ok := r.backward(a); ok {
			found, as = r, t.sipAddress(user)
		}
	}
	return found, as
}

// direct is a message from a SIP user to one user of a network.
func (r *rule) direct(m Message, to event.Address) Decision {
	return Decision{
		Route: r.id(), Mode: Direct, Participants: sorted(m.Sender, to), Correspondent: m.Sender,
		Targets: []Target{{r.to[0].connector, to, m.Sender, m.SenderName}},
	}
}

// desk is a message of or to one correspondent: everybody at the desk sees it,
// but for the place it was written at.
func (r *rule) desk(m Message, correspondent event.Address) Decision {
	d := Decision{Route: r.id(), Mode: Desk, Participants: sorted(correspondent), Correspondent: correspondent}
	if m.Connector != event.BuiltinSIP {
		d.Targets = append(d.Targets, Target{event.BuiltinSIP, correspondent, r.address, author(m)})
	}
	d.Targets = append(d.Targets, r.channels(m)...)
	return d
}

// room is a message to a group: everybody sees it, but for where it came from.
func (r *rule) room(m Message) Decision {
	d := Decision{Route: r.id(), Mode: Room, Participants: []string{string(r.address)}, Correspondent: r.address}
	for _, member := range r.members {
		if member != m.Sender {
			d.Targets = append(d.Targets, Target{event.BuiltinSIP, member, r.address, author(m)})
		}
	}
	d.Targets = append(d.Targets, r.channels(m)...)
	return d
}

// channels are the addresses on other networks, without the one m came from.
func (r *rule) channels(m Message) (list []Target) {
	for _, to := range r.to {
		if at := to.place(); at != (place{m.Connector, m.Recipient}) {
			list = append(list, Target{at.connector, at.address, m.Sender, m.SenderName})
		}
	}
	return list
}

// author is the name shown where the address is a group's.
func author(m Message) string {
	if m.SenderName != "" {
		return m.SenderName
	}
	return string(m.Sender)
}

func sorted(list ...event.Address) []string {
	var s []string
	for _, a := range list {
		s = append(s, string(a))
	}
	slices.Sort(s)
	return s
}
