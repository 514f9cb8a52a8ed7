package sipedge

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// How long a registration lasts, in seconds.
const (
	minExpires = 60
	maxExpires = 3600
)

// register changes or lists the bindings of an account (RFC 3261, section
// 10.3). All of a request's changes are made, or none.
func (e *Edge) register(r request) answer {
	_, host, err := e.domains.parts(r.Recipient.String())
	if err != nil || host != e.domains.first {
		return say(404, "Not Found: this is not the server of that domain")
	}
	who, a := e.prove(r)
	switch {
	case a.code != 0:
		return a
	case who == claim{}:
		return e.challenge(r, false)
	}
	switch aor, err := e.AOR(r.To().Address.String()); {
	case err != nil:
		return say(400, "To is no SIP URI of somebody")
	case aor != who.aor:
		return say(403, "To is not the account that registers")
	}
	if !e.guard.spend(who) {
		return e.challenge(r, true)
	}
	p, unlock := e.phones.change(who.aor)
	if p == nil {
		return say(403, "There is no such account any more")
	}
	defer unlock()
	now := e.phones.now()
	all, a := e.merge(r, p, now)
	if a.code != 0 {
		return a
	}
	if len(r.contacts()) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), putPatience)
		defer cancel()
		past := p.leaves(all)
		if err := e.phones.save(ctx, who.aor, slices.Concat(all, past)); err != nil {
			e.log.Warn("registration not stored", "aor", who.aor, "error", err)
			return tryLater()
		}
		p.set(all, past)
		e.log.Debug("registered", "aor", who.aor, "bindings", len(all), "network", r.path.Network)
	}
	if slices.ContainsFunc(all, func(b *binding) bool { return b.Path.same(r.path) }) {
		e.host.Registered(who.aor)
	}
	return registered(r, all, now)
}

// contacts returns all Contact headers.
func (r request) contacts() []sip.Header {
	return append(r.GetHeaders("Contact"), r.GetHeaders("m")...)
}

// merge returns the bindings as they are after a request.
func (e *Edge) merge(r request, p *phones, now time.Time) ([]*binding, answer) {
	have, contacts := p.current(now), r.contacts()
	if len(contacts) == 1 && contacts[0].Value() == "*" || hasWildcard(contacts) {
		return e.removeAll(r, contacts, have)
	}
	all := slices.Clone(have)
	for _, h := range contacts {
		c, ok := h.(*sip.ContactHeader)
		if !ok {
			return nil, say(400, "Unreadable Contact")
		}
		b, lasts, a := e.newBinding(r, c, now)
		if a.code != 0 {
			return nil, a
		}
		if i := slices.IndexFunc(all, b.is); i >= 0 {
			if late(r, all[i]) {
				return nil, say(500, "REGISTER is older than the last one")
			}
			all = slices.Delete(all, i, i+1)
		}
		b.taste = p.tasteOf(b)
		b.taste.name(b.Accept)
		if lasts > 0 {
			all = append(all, b)
		}
	}
	if n := len(all) - maxBindings; n > 0 {
		slices.SortStableFunc(all, func(a, b *binding) int { return a.Expires.Compare(b.Expires) })
		all = all[n:]
	}
	return all, answer{}
}

func hasWildcard(contacts []sip.Header) bool {
	return slices.ContainsFunc(contacts, func(h sip.Header) bool {
		c, ok := h.(*sip.ContactHeader)
		return ok && c.Address.Wildcard
	})
}

// removeAll obeys "Contact: *", which stands alone and with Expires: 0.
func (e *Edge) removeAll(r request, contacts []sip.Header, have []*binding) ([]*binding, answer) {
	if len(contacts) != 1 || strings.TrimSpace(r.value("Expires")) != "0" {
		return nil, say(400, "Contact * must be alone and have Expires: 0")
	}
	if slices.ContainsFunc(have, func(b *binding) bool { return late(r, b) }) {
		return nil, say(500, "REGISTER is older than the last one")
	}
	return nil, answer{}
}

// late tells whether a request was sent before the one that made b. The same
// one again is harmless.
func late(r request, b *binding) bool {
	return b.CallID == r.CallID().Value() && r.CSeq().SeqNo < b.CSeq
}

// newBinding reads one Contact.
func (e *Edge) newBinding(r request, c *sip.ContactHeader, now time.Time) (*binding, int, answer) {
	uri := *c.Address.Clone()
	uri.Headers = nil
	uri.UriParams.Remove("method")
	text := uri.String()
	switch _, _, err := e.domains.parts(text); {
	case err != nil || !printable(text) || strings.EqualFold(uri.Scheme, "im"):
		return nil, 0, say(400, "Contact is no SIP URI")
	case strings.EqualFold(uri.Scheme, "sips") && !r.path.protected(): // S19
		return nil, 0, say(400, "Contact with sips: needs TLS")
	}
	lasts, ok := expiry(r, c)
	if !ok {
		return nil, 0, say(423, "Interval Too Brief", field{"Min-Expires", strconv.Itoa(minExpires)})
	}
	b := &binding{
		hop: hop{Contact: text, Path: r.path}, Q: preference(c), CallID: r.CallID().Value(), CSeq: r.CSeq().SeqNo,
		Expires: now.Add(time.Duration(lasts) * time.Second), Accept: accepts(r.members("Accept")), Agent: plain(r.value("User-Agent"), maxAgent),
	}
	if b.Routes, ok = r.routes(); !ok {
		return nil, 0, say(400, "Unreadable Path")
	}
	if v, found := c.Params.Get("+sip.instance"); found && printable(v) && len(v) <= 200 {
		reg, _ := c.Params.Get("reg-id")
		if !isToken(reg) {
			reg = ""
		}
		b.Instance = strings.Trim(v, `"`) + ";" + reg
	}
	return b, lasts, e.firstHop(r, b)
}

// preference reads the q of a Contact: 1 if it has none that can be read.
func preference(c *sip.ContactHeader) int {
	text, _ := c.Params.Get("q")
	q, err := strconv.ParseFloat(text, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return int(math.Round((1 - q) * 1000))
}

// maxRoutes is how many proxies there may be before a phone.
const maxRoutes = 8

// routes reads the proxies on the way to a phone (RFC 3327). What goes there
// goes the way that the REGISTER came, whatever they are.
func (r request) routes() (all []string, ok bool) {
	for _, v := range r.values("Path") {
		for _, one := range addresses(v) {
			var u sip.Uri
			var params sip.HeaderParams
			if _, err := sip.ParseAddressValue(one, &u, &params); err != nil || !printable(u.String()) || !strings.HasPrefix(strings.ToLower(u.Scheme), "sip") {
				return nil, false
			}
			all = append(all, u.String())
		}
	}
	return all, len(all) <= maxRoutes
}

// firstHop refuses several flows through a proxy that can't tell them apart
// (RFC 5626, section 6).
func (e *Edge) firstHop(r request, b *binding) answer {
	_, reg, _ := strings.Cut(b.Instance, ";")
	if reg == "" || len(r.values("Via", "v")) < 2 || !slices.Contains(slices.Collect(r.members("Supported", "k")), "outbound") {
		return answer{}
	}
	if len(b.Routes) > 0 {
		var u sip.Uri
		if err := sip.ParseUri(b.Routes[len(b.Routes)-1], &u); err == nil && u.UriParams.Has("ob") {
			return answer{}
		}
	}
	return say(439, "First Hop Lacks Outbound Support")
}

// expiry returns for how many seconds a Contact asks, at most the longest we
// give. ok is false if that is too short.
func expiry(r request, c *sip.ContactHeader) (seconds int, ok bool) {
	text, found := c.Params.Get("expires")
	if !found {
		text = r.value("Expires")
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil || n > maxExpires {
		n = maxExpires
	}
	return int(n), n == 0 || n >= minExpires
}

// printable tells whether s may stand in angle brackets in a header.
func printable(s string) bool {
	if len(s) > maxURI {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// flowTimer is how often, in seconds, a phone should show that its connection
// lives (RFC 5626, section 4.4).
const flowTimer = 120

// registered lists all bindings with what is left of them.
func registered(r request, all []*binding, now time.Time) answer {
	a := say(200, "OK", field{"Date", now.UTC().Format(http.TimeFormat)}, field{"Supported", supported})
	supports := slices.Collect(r.members("Supported", "k", "Require"))
	outbound := false
	for _, b := range all {
		a.headers = append(a.headers, field{"Contact", b.listed(now)})
		_, reg, _ := strings.Cut(b.Instance, ";")
		outbound = outbound || reg != "" && b.Path.flow != nil && b.Path.same(r.path)
	}
	if outbound && slices.Contains(supports, "outbound") {
		a.headers = append(a.headers, field{"Require", "outbound"}, field{"Flow-Timer", strconv.Itoa(flowTimer)})
	}
	if slices.Contains(supports, "path") {
		for _, v := range r.values("Path") {
			a.headers = append(a.headers, field{"Path", v})
		}
	}
	return a
}

// listed is a binding as a Contact.
func (b *binding) listed(now time.Time) string {
	v := fmt.Sprintf("<%s>;expires=%d", b.Contact, int(b.Expires.Sub(now).Round(time.Second).Seconds()))
	if b.Q > 0 {
		v += ";q=" + strconv.FormatFloat(1-float64(b.Q)/1000, 'f', -1, 64)
	}
	if id, reg, _ := strings.Cut(b.Instance, ";"); id != "" {
		v += `;+sip.instance="` + strings.ReplaceAll(id, `"`, "") + `"`
		if reg != "" {
			v += ";reg-id=" + reg
		}
	}
	return v
}
