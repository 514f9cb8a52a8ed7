package route

import (
	"errors"
	"fmt"
	"strings"

	"parley.im/bus/event"
)

// Explain says, for people, which way a message from one address to another
// takes, what each side sees, and how an answer finds its way back.
func (t *Table) Explain(from, to event.Address) string {
	m := Message{Connector: event.BuiltinSIP, Sender: from, Recipient: to}
	if _, ok := cutScheme(string(from)); !ok {
		instances := t.setup.Schemes[from.Scheme()]
		if len(instances) == 0 {
			return fmt.Sprintf("no route: no connector has the scheme %q of %s", from.Scheme(), from)
		}
		m.Connector = instances[0]
		if r := t.channels[place{m.Connector, to}]; r != nil && r.Mode == Desk {
			return fmt.Sprintf("%s is the desk of %s.\nAn answer in the thread of a correspondent goes to that person, from %s.\n"+
				"Anything outside a thread stays at the desk.", to, r.label(), r.address)
		}
	}
	d, err := t.Find(m)
	switch {
	case errors.Is(err, ErrForbidden):
		return fmt.Sprintf("refused (403): %v", err)
	case err != nil:
		return fmt.Sprintf("refused (404): %v", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.why(d, m))
	for _, target := range d.Targets {
		fmt.Fprintf(&b, "  %s sees it by %s, from %s%s\n", target.Address, target.Connector, target.From, nameOf(target))
	}
	if len(d.Targets) == 0 {
		b.WriteString("  nobody else is there to see it\n")
	}
	b.WriteString(t.back(d, m))
	return b.String()
}

func nameOf(t Target) string {
	if t.FromName == "" || t.FromName == string(t.From) {
		return ""
	}
	return fmt.Sprintf(" (%s)", t.FromName)
}

// why says which rule wins.
func (t *Table) why(d Decision, m Message) string {
	if d.Route == "" {
		return fmt.Sprintf("%s is an account here: no route is needed.", m.Recipient)
	}
	kind := map[string]string{Direct: "direct route", Desk: "desk", Room: "room"}
	for _, r := range t.rules {
		if r.id() == d.Route {
			return fmt.Sprintf("%s, a %s: sip = %q, to = %q.", r.label(), kind[r.Mode], r.Rule.SIP, r.To)
		}
	}
	return ""
}

// back says what happens to an answer.
func (t *Table) back(d Decision, m Message) string {
	switch {
	case d.Mode == Room:
		return "An answer from any of them goes to all the others."
	case d.Mode == Desk:
		return fmt.Sprintf("An answer in the thread goes to %s and to the desk's other places.", d.Correspondent)
	}
	to := d.Targets[0]
	answer := Message{Connector: to.Connector, Sender: to.Address, Recipient: to.From}
	if to.Connector == event.BuiltinSIP {
		answer.Sender = t.canonical(m.Recipient)
	}
	back, err := t.Find(answer)
	if err != nil {
		return fmt.Sprintf("An answer to %s has no way back: %v.", to.From, err)
	}
	return fmt.Sprintf("An answer to %s goes to %s, from %s.", to.From, back.Targets[0].Address, back.Targets[0].From)
}
