package sipedge

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/proof"
)

// NumberPattern rewrites a number that matches as a whole.
type NumberPattern struct {
	Match *regexp.Regexp
	Put   string // $1 and so on stand for the groups of Match
}

// rewritten returns a number as the first pattern that matches writes it, or as
// it is.
func rewritten(number string, patterns []NumberPattern) string {
	for _, p := range patterns {
		if m := p.Match.FindStringSubmatchIndex(number); m != nil && m[0] == 0 && m[1] == len(number) {
			return string(p.Match.ExpandString(nil, p.Put, number, m))
		}
	}
	return number
}

// telNumber returns the number of a tel: URI without what only helps to read it
// (RFC 3966, section 5.1.1).
func telNumber(uri string) (string, error) {
	scheme, rest, _ := strings.Cut(uri, ":")
	if !strings.EqualFold(scheme, "tel") {
		return "", errScheme
	}
	number, _, _ := strings.Cut(rest, ";")
	number = strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(number)
	if digits := strings.TrimPrefix(number, "+"); digits == "" || len(digits) > 32 || strings.Trim(digits, "0123456789*#") != "" {
		return "", fmt.Errorf("tel: URI %.64q has no number", uri)
	}
	return number, nil
}

// from returns the address of somebody behind the trunk: numbers as the
// operator wants them, the trunk's domains as one.
func (e *Edge) from(t *trunk, uri string) (event.Address, error) {
	if number, err := telNumber(uri); err == nil {
		if len(t.Domains) == 0 {
			return "", fmt.Errorf("%s has no domain", plain(uri, 64))
		}
		return e.AOR("sip:" + rewritten(number, t.In) + "@" + t.Domains[0])
	}
	user, host, err := e.domains.parts(uri)
	if err != nil || user == "" {
		return e.AOR(uri)
	}
	if slices.Contains(t.Domains, host) {
		host = t.Domains[0]
	}
	return e.AOR("sip:" + rewritten(user, t.In) + "@" + host)
}

// recipient returns whom a MESSAGE is for.
func (e *Edge) recipient(r request) (event.Address, error) {
	uri, t := r.Recipient.String(), e.trunkOf(r)
	if t == nil {
		return e.unalias(e.AOR(uri))
	}
	if to := e.registeredAs(r, t); to != "" {
		return to, nil
	}
	if number, err := telNumber(uri); err == nil {
		return e.unalias(e.AOR("sip:" + rewritten(number, t.In) + "@" + e.domains.first))
	}
	user, host, err := e.domains.parts(uri)
	if err != nil || user == "" {
		return e.AOR(uri)
	}
	return e.unalias(e.AOR("sip:" + rewritten(user, t.In) + "@" + host))
}

// unalias returns the address that a number stands for.
func (e *Edge) unalias(a event.Address, err error) (event.Address, error) {
	if to := (*e.aliases.Load()).addresses[a]; err == nil && to != "" {
		return to, nil
	}
	return a, err
}

// aliases are numbers that stand for addresses, both ways.
type aliases struct {
	addresses, numbers map[event.Address]event.Address
}

// SetAliases replaces the numbers that stand for addresses of this server: who
// dials the number reaches the address, and towards a trunk the number stands
// for it. An error changes nothing. It may be called at any time.
func (e *Edge) SetAliases(addresses map[string]string) error {
	all := aliases{map[event.Address]event.Address{}, map[event.Address]event.Address{}}
	for number, address := range addresses {
		from, err := e.AOR("sip:" + number + "@" + e.domains.first)
		if err != nil {
			return fmt.Errorf("alias %s: %w", number, err)
		}
		to, err := e.AOR(address)
		switch {
		case err != nil:
			return fmt.Errorf("alias %s: %w", number, err)
		case !e.domains.ours(to):
			return fmt.Errorf("alias %s: %s is not of this server", number, to)
		case e.guard.isAccount(from):
			return fmt.Errorf("alias %s: it is the user of an account", number)
		}
		all.addresses[from] = to
		if old := all.numbers[to]; old == "" || from < old {
			all.numbers[to] = from
		}
	}
	e.aliases.Store(&all)
	return nil
}

// outward returns a delivery as the trunk wants it, and what proves us to it:
// numbers in the trunk's form, and the sender as the address that is registered
// there for it, or by the number that stands for it.
func (e *Edge) outward(t *trunk, d event.Delivery) (event.Delivery, *proof.Answerer) {
	d.Target = t.out(d.Target)
	if w := e.registrationOf(t, d.From); w != nil {
		d.From = w.aor
		return d, w.proof
	}
	if n := (*e.aliases.Load()).numbers[d.From]; n != "" {
		d.From = n
	}
	d.From = t.out(d.From)
	return d, t.proof
}

// out rewrites the user part of an address.
func (t *trunk) out(a event.Address) event.Address {
	user, host, found := strings.Cut(a.Rest(), "@")
	if !found || len(t.Out) == 0 {
		return a
	}
	return event.Address("sip:" + rewritten(user, t.Out) + "@" + host)
}
