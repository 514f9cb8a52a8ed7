package sipedge

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
)

// sender is who sends a message.
type sender struct {
	address event.Address // as everybody else will see it
	name    string        // display name, likewise
	known   event.Address // who it is, or the trunk; for this server alone
	account claim         // the digest that proves it; the zero claim for a trunk's
}

// speaks returns whose receipts it may send: an account those of its own
// messages, a trunk those of who is behind it.
func (s sender) speaks() event.Address {
	if s.known.Scheme() == "sip" {
		return s.known
	}
	return s.address
}

// identify finds out who sends a request: the account that a digest proves, or
// whom a trunk asserts. Whatever else a request says about its sender counts for
// nothing.
func (e *Edge) identify(r request) (sender, answer) {
	t := e.trunkOf(r)
	c, a := e.prove(r)
	switch {
	case c != claim{} && a.code != 0:
		return sender{}, a
	case c != claim{}:
		if t := e.trunkBy(c); t != nil {
			who, a := e.ofTrunk(r, t)
			who.account = c
			return who, a
		}
		return e.ofAccount(r, c)
	case t != nil: // credentials may be meant for somebody behind it
		return e.ofTrunk(r, t)
	case a.code != 0:
		return sender{}, a
	}
	return sender{}, e.challenge(r, false)
}

// ofAccount is the sender that a digest proves. From names it, or nobody (RFC
// 3261, section 8.1.1.3).
func (e *Edge) ofAccount(r request, c claim) (sender, answer) {
	uri := r.From().Address.String()
	from, err := e.AOR(uri)
	if !isAnonymous(uri) && (err != nil || from != c.aor) {
		return sender{}, say(403, "From is not the account that sends")
	}
	return hidden(r, sender{c.aor, nameFrom(r.From().DisplayName), c.aor, c}), answer{}
}

// ofTrunk is the sender that a trunk asserts, in P-Asserted-Identity or else in
// From. It may not assert those who prove themselves.
func (e *Edge) ofTrunk(r request, t *trunk) (sender, answer) {
	s := sender{name: nameFrom(r.From().DisplayName), known: event.Address("trunk:" + t.Name)}
	uri := r.From().Address.String()
	name, asserted, ok := r.asserted()
	if _, err := telNumber(asserted); ok && (err != nil || len(t.Domains) > 0) { // a number is somebody in its domain
		s.name, uri = nameFrom(name), asserted
	}
	address, err := e.from(t, uri)
	switch {
	case isAnonymous(uri):
	case err != nil:
		return s, say(400, "Unreadable identity of the sender: "+err.Error())
	case e.phones.of(address) != nil:
		return s, say(403, "The asserted identity is an account of this server")
	}
	s.address = address
	return hidden(r, s), answer{}
}

// hidden makes a sender who asks for privacy, or says in From to be nobody,
// anonymous.
func hidden(r request, s sender) sender {
	if r.private() || isAnonymous(r.From().Address.String()) {
		s.address, s.name = event.Anonymous, "Anonymous"
	}
	return s
}

// isAnonymous tells whether a URI is that of nobody: any user of the domain
// that stands for this.
func isAnonymous(uri string) bool {
	_, host, err := domains{}.parts(uri)
	return err == nil && host == "anonymous.invalid"
}

// private tells whether a request asks that its sender is not told: by any kind
// of privacy but that of the session (RFC 3323, section 4.2; RFC 3325, section
// 9.3). "none" asks for the opposite.
func (r request) private() bool {
	asked := false
	for _, v := range r.values("Privacy") {
		for p := range strings.FieldsFuncSeq(v, func(c rune) bool { return c == ';' || c == ',' || c == ' ' || c == '\t' }) {
			switch strings.ToLower(p) {
			case "none":
				return false
			case "id", "user", "header":
				asked = true
			}
		}
	}
	return asked
}

// asserted returns the identity in P-Asserted-Identity, with its display name
// as it stands there. A request may have two: then the one is a tel: URI, and the
// other counts (RFC 3325, section 9.1).
func (r request) asserted() (name, uri string, ok bool) {
	for _, v := range r.values("P-Asserted-Identity") {
		for _, one := range addresses(v) {
			var u sip.Uri
			params := sip.NewParams()
			display, err := sip.ParseAddressValue(one, &u, &params)
			switch {
			case err != nil:
			case strings.EqualFold(u.Scheme, "sip") || strings.EqualFold(u.Scheme, "sips"):
				return display, u.String(), true
			case strings.EqualFold(u.Scheme, "tel") && !ok:
				name, uri, ok = display, u.String(), true
			}
		}
	}
	return name, uri, ok
}

// addresses splits a list of addresses at its commas. Those in quotes and in
// angle brackets are parts of an address.
func addresses(list string) (all []string) {
	from, quoted, bracketed := 0, false, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !bracketed:
			quoted = !quoted
		case quoted:
		case c == '<':
			bracketed = true
		case c == '>':
			bracketed = false
		case c == ',' && !bracketed:
			all, from = append(all, strings.TrimSpace(list[from:i])), i+1
		}
	}
	return append(all, strings.TrimSpace(list[from:]))
}
