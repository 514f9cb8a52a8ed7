package sipedge

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/plugins/content/cpim"
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
	who, err := e.guard.verify(r.values("Authorization", "Proxy-Authorization"), string(r.Method), r.Recipient.String())
	if err != nil {
		return e.challenge(false)
	}
	if aor, err := e.AOR(r.To().Address.String()); err != nil || aor != who.aor {
		return say(403, "To is not the account that registers")
	}
	if !e.guard.spend(who) {
		return e.challenge(true)
	}
	p := e.phones.of(who.aor)
	if p == nil { // it was taken away just now
		return say(403, "There is no such account any more")
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	now := e.phones.now()
	all, a := e.merge(r, p, now)
	if a.code != 0 {
		return a
	}
	if len(r.contacts()) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), putPatience)
		defer cancel()
		if err := e.phones.save(ctx, who.aor, all); err != nil {
			e.log.Warn("registration not stored", "aor", who.aor, "error", err)
			return tryLater()
		}
		p.set(all)
		e.log.Debug("registered", "aor", who.aor, "bindings", len(all), "network", r.path.Network)
	}
	if slices.ContainsFunc(all, func(b *binding) bool { return b.Path.same(r.path) }) {
		e.host.Registered(who.aor)
	}
	return registered(all, now)
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
			b.CPIM = b.CPIM || p.cpim(all[i])
			all = slices.Delete(all, i, i+1)
		}
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
	if _, _, err := e.domains.parts(text); err != nil || !printable(text) {
		return nil, 0, say(400, "Contact is no SIP URI")
	}
	lasts, ok := expiry(r, c)
	if !ok {
		return nil, 0, say(423, "Interval Too Brief", field{"Min-Expires", strconv.Itoa(minExpires)})
	}
	b := &binding{
		Contact: text, CallID: r.CallID().Value(), CSeq: r.CSeq().SeqNo, Path: r.path,
		Expires: now.Add(time.Duration(lasts) * time.Second), CPIM: acceptsCPIM(r),
	}
	if v, found := c.Params.Get("+sip.instance"); found && printable(v) && len(v) <= 200 {
		reg, _ := c.Params.Get("reg-id")
		if !isToken(reg) {
			reg = ""
		}
		b.Instance = strings.Trim(v, `"`) + ";" + reg
	}
	return b, lasts, answer{}
}

// acceptsCPIM tells whether a request names message/cpim among what its sender
// takes.
func acceptsCPIM(r request) bool {
	for _, v := range r.values("Accept") {
		for t := range strings.SplitSeq(v, ",") {
			if bareType(t) == cpim.MediaType {
				return true
			}
		}
	}
	return false
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

// registered lists all bindings with what is left of them.
func registered(all []*binding, now time.Time) answer {
	a := say(200, "OK", field{"Date", now.UTC().Format(http.TimeFormat)})
	for _, b := range all {
		left := int(b.Expires.Sub(now).Round(time.Second).Seconds())
		v := fmt.Sprintf("<%s>;expires=%d", b.Contact, left)
		if id, reg, _ := strings.Cut(b.Instance, ";"); id != "" {
			v += `;+sip.instance="` + strings.ReplaceAll(id, `"`, "") + `"`
			if reg != "" {
				v += ";reg-id=" + reg
			}
		}
		a.headers = append(a.headers, field{"Contact", v})
	}
	return a
}
