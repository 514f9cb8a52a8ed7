// Package route says where a message goes. A route joins a SIP address pattern
// with address patterns on other networks and works both ways: direct (any SIP
// user and any user of a network), desk (many SIP users and one channel, a
// thread for each) and room (a group that sees everything).
//
// It is pure: a Table is made from rules and answers questions; it does no I/O
// and may be used from several goroutines.
package route

import (
	"fmt"
	"slices"
	"strings"

	"parley.im/bus/event"
)

// The modes of a route, as bridge.toml has them.
const (
	Direct = string(event.ModeDirect)
	Desk   = string(event.ModeDesk)
	Room   = string(event.ModeRoom)
)

// Rule is one [[route]] of bridge.toml.
type Rule struct {
	Name, Mode  string // mode "" is direct
	SIP         string
	Members, To []string
	Via         string // connector instance, where several have the scheme
}

// Setup is what the rules are read against.
type Setup struct {
	Domains  []string            // the first is canonical, the others are aliases of it
	Accounts []string            // local AORs
	Trunks   [][]string          // domains reached through each trunk; the first is canonical
	Schemes  map[string][]string // address scheme to the connector instances that have it
}

// Problem is a mistake in a rule.
type Problem struct {
	Rule  int    // index
	Field string // sip, to, members, mode, name; empty for the rule as a whole
	Text  string // what is wrong and a way out
}

// Table answers where messages go.
type Table struct {
	setup    Setup
	rules    []*rule
	accounts map[event.Address]bool
	literals map[event.Address]*rule // by SIP address
	channels map[place]*rule
}

// A place is an address of a connector.
type place struct {
	connector string
	address   event.Address
}

// A rule is a Rule that was read.
type rule struct {
	Rule
	index   int
	sip     sipPattern
	address event.Address // the SIP address, of a rule without captures
	members []event.Address
	to      []destination
}

type destination struct {
	connector string
	pattern   pattern
}

func (d destination) place() place { return place{d.connector, event.Address(d.pattern.text)} }

// New reads rules. All problems are returned at once; the table holds the
// rules that have none.
func New(rules []Rule, s Setup) (*Table, []Problem) {
	t := &Table{setup: s, accounts: map[event.Address]bool{}, literals: map[event.Address]*rule{}, channels: map[place]*rule{}}
	for _, a := range s.Accounts {
		t.accounts[t.canonical(event.Address(a))] = true
	}
	b := &builder{Table: t, names: map[string]int{}, places: map[place]*rule{}}
	for i, r := range rules {
		b.add(i, r)
	}
	return t, b.problems
}

func (t *Table) local(host string) bool {
	return slices.ContainsFunc(t.setup.Domains, func(d string) bool { return strings.EqualFold(d, host) })
}

// behind returns the canonical domain of the trunk by which a domain is reached,
// or nothing.
func (t *Table) behind(host string) string {
	for _, domains := range t.setup.Trunks {
		if slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, host) }) {
			return strings.ToLower(domains[0])
		}
	}
	return ""
}

// reached tells whether a canonical SIP address is an account or behind a trunk.
func (t *Table) reached(a event.Address) bool {
	return t.accounts[a] || t.behind(hostOf(a)) != ""
}

func hostOf(a event.Address) string { return string(a[strings.LastIndexByte(string(a), '@')+1:]) }

// userOf returns the user part of an address in our domain.
func (t *Table) userOf(a event.Address) (string, bool) {
	rest, ok := cutScheme(string(t.canonical(a)))
	at := strings.LastIndexByte(rest, '@')
	if !ok || at <= 0 || !t.local(rest[at+1:]) {
		return "", false
	}
	return rest[:at], true
}

func (t *Table) sipAddress(user string) event.Address {
	return event.Address("sip:" + user + "@" + strings.ToLower(t.setup.Domains[0]))
}

// label names a rule for people.
func (r *rule) label() string {
	if r.Name != "" {
		return fmt.Sprintf("route %q", r.Name)
	}
	return fmt.Sprintf("route %d (%s)", r.index+1, r.Rule.SIP)
}

// id names a rule in events and conversation tokens.
func (r *rule) id() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Rule.SIP
}
