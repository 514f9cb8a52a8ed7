package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley.im/bus/event"
)

// A builder reads rules into a table and collects what is wrong with them.
type builder struct {
	*Table
	problems []Problem
	names    map[string]int
	places   map[place]*rule // fixed addresses on other networks
}

func (b *builder) problem(r *rule, field, format string, args ...any) {
	b.problems = append(b.problems, Problem{r.index, field, fmt.Sprintf(format, args...)})
}

// add reads one rule and puts it into the table if nothing is wrong with it.
func (b *builder) add(i int, in Rule) {
	r := &rule{Rule: in, index: i}
	if r.Mode == "" {
		r.Mode = Direct
	}
	before := len(b.problems)
	b.name(r)
	b.sipSide(r)
	b.otherSide(r)
	if len(b.problems) > before {
		return
	}
	switch r.Mode {
	case Direct:
		b.direct(r)
	case Desk, Room:
		b.fixed(r)
	default:
		b.problem(r, "mode", "%q is no mode; give direct, desk or room", r.Mode)
	}
	if len(b.problems) == before {
		b.rules = append(b.rules, r)
	}
}

func (b *builder) name(r *rule) {
	if other, taken := b.names[r.id()]; taken {
		b.problem(r, "name", "%q is the name of route %d already; give each its own, conversations are kept under it", r.id(), other+1)
	}
	b.names[r.id()] = r.index
}

func (b *builder) sipSide(r *rule) {
	var err error
	if r.Rule.SIP == "" {
		b.problem(r, "sip", "missing; give the SIP address of this route, such as sip:lobby@%s", b.setup.Domains[0])
		return
	}
	if r.sip, err = parseSIP(r.Rule.SIP); err != nil {
		b.problem(r, "sip", "%v", err)
		return
	}
	if !b.local(r.sip.host) {
		b.problem(r, "sip", "%s is not one of sip.domains (%s); add it there or use one of them", r.sip.host, strings.Join(b.setup.Domains, ", "))
		return
	}
	if r.sip.user.literal() {
		r.address = b.sipAddress(r.sip.user.text)
	}
	for _, m := range r.Members {
		b.member(r, m)
	}
}

func (b *builder) member(r *rule, text string) {
	p, err := parseSIP(text)
	address := b.sipAddress(p.user.text)
	elsewhere := err == nil && b.behind(p.host) != ""
	if elsewhere {
		address = b.canonical(event.Address(text))
	}
	switch {
	case err != nil:
		b.problem(r, "members", "%v", err)
	case !p.user.literal():
		b.problem(r, "members", "%q has a capture; members are SIP addresses", text)
	case !b.local(p.host) && !elsewhere:
		b.problem(r, "members", "%q is not in sip.domains (%s), nor in the domains of a trunk", text, strings.Join(b.setup.Domains, ", "))
	case !b.reached(address):
		b.problem(r, "members", "%s is no account; add it under [[sip.account]], or correct it", address)
	case slices.Contains(r.members, address):
		b.problem(r, "members", "%s stands there twice", address)
	default:
		r.members = append(r.members, address)
	}
}

func (b *builder) otherSide(r *rule) {
	if len(r.To) == 0 && r.Mode != Room {
		b.problem(r, "to", "missing; give the address on the other network, such as web:room/lobby")
	}
	for _, text := range r.To {
		p, err := parse(text)
		if err == nil {
			err = p.sample().Check()
		}
		if err != nil {
			b.problem(r, "to", "%v", err)
			continue
		}
		if c, ok := b.connector(r, text); ok {
			r.to = append(r.to, destination{c, p})
		}
	}
}

// connector finds the instance that an address belongs to.
func (b *builder) connector(r *rule, address string) (string, bool) {
	scheme := event.Address(address).Scheme()
	instances := b.setup.Schemes[scheme]
	switch {
	case len(instances) == 0:
		known := slices.Sorted(maps.Keys(b.setup.Schemes))
		b.problem(r, "to", "no connector has the scheme %q of %s; configured are %s", scheme, address, orNone(known))
		return "", false
	case r.Via != "" && !slices.Contains(instances, r.Via):
		b.problem(r, "via", "connector %q does not have the scheme %q; %s does", r.Via, scheme, strings.Join(instances, ", "))
		return "", false
	case r.Via != "":
		return r.Via, true
	case len(instances) > 1:
		b.problem(r, "to", "several connectors have the scheme %q; say which with via = %q", scheme, instances[0])
		return "", false
	}
	return instances[0], true
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// direct checks a rule that joins any SIP user with any user of a network.
func (b *builder) direct(r *rule) {
	if len(r.Members) > 0 {
		b.problem(r, "members", "only a room has members")
	}
	if len(r.to) != 1 {
		b.problem(r, "to", "a direct route has one address; for several use mode = \"room\" or \"desk\"")
		return
	}
	to := r.to[0].pattern
	for _, n := range r.sip.user.names {
		if !to.has(n) {
			b.problem(r, "to", "{%s} is in sip but not in to, so an answer could not find its way back; use it in both", n)
		}
	}
	for _, n := range to.names {
		if !r.sip.user.has(n) {
			b.problem(r, "to", "unknown variable {%s}; sip has %s", n, orNone(braced(r.sip.user.names)))
		}
	}
	b.apart(r)
	for _, a := range slices.Sorted(maps.Keys(b.accounts)) {
		user, _ := b.userOf(a)
		if _, ok := r.sip.match(user); ok {
			b.problem(r, "sip", "the account %s matches this pattern; rename the account or change the pattern", a)
		}
	}
	if r.address != "" {
		b.literal(r)
		b.claim(r, r.to[0])
	}
}

// apart compares the patterns of a direct rule with those before it.
func (b *builder) apart(r *rule) {
	for _, other := range b.rules {
		if other.Mode != Direct {
			continue
		}
		if ambiguous(r.sip.user, other.sip.user) {
			b.problem(r, "sip", "one address can match this pattern and that of %s (%s); make their beginnings differ", other.label(), other.Rule.SIP)
		}
		if o := other.to[0]; o.connector == r.to[0].connector && ambiguous(o.pattern, r.to[0].pattern) {
			b.problem(r, "to", "one address can match %s and the to of %s; an answer would have two ways", r.to[0].pattern.text, other.label())
		}
	}
}

func braced(names []string) (list []string) {
	for _, n := range names {
		list = append(list, "{"+n+"}")
	}
	return list
}

// ambiguous tells whether two rules would be equal candidates for one address.
// A literal inside a pattern comes first, and so is fine.
func ambiguous(p, q pattern) bool { return p.literal() == q.literal() && p.overlaps(q) }

// fixed checks a desk or a room: all addresses are literal.
func (b *builder) fixed(r *rule) {
	if r.address == "" {
		b.problem(r, "sip", "a %s has one address; captures are for direct routes", r.Mode)
		return
	}
	if r.Mode == Desk && len(r.Members) > 0 {
		b.problem(r, "members", "only a room has members")
	}
	if r.Mode == Room && len(r.members)+len(r.to) < 2 {
		b.problem(r, "members", "a room needs two who can talk: members, or addresses in to")
	}
	if b.accounts[r.address] {
		b.problem(r, "sip", "%s is an account; give the route an address of its own", r.address)
	}
	for _, d := range r.to {
		if !d.pattern.literal() {
			b.problem(r, "to", "%s has a capture; a %s has fixed addresses", d.pattern.text, r.Mode)
			continue
		}
		if b.claim(r, d) {
			b.channels[d.place()] = r
		}
	}
	b.literal(r)
}

// claim takes a fixed address on another network for one route.
func (b *builder) claim(r *rule, d destination) bool {
	if other := b.places[d.place()]; other != nil {
		b.problem(r, "to", "%s is in %s already; a message there could not tell which route it is for", d.pattern.text, other.label())
		return false
	}
	b.places[d.place()] = r
	return true
}

func (b *builder) literal(r *rule) {
	if other := b.literals[r.address]; other != nil {
		b.problem(r, "sip", "%s is the address of %s already", r.address, other.label())
		return
	}
	b.literals[r.address] = r
}
