package sipedge

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/proof"
	"parley.im/core/sipedge/resolve"
)

// Registration is an address at a trunk under which Parley registers as a phone
// would (RFC 3261, section 10.2). What comes in by it is as trusted as the
// trunk, since only its registrar knows the Contact.
type Registration struct {
	Trunk   string        // name of the Trunk that is the registrar
	AOR     string        // in a domain of the trunk
	To      string        // the address here that its messages are for, and whose messages go out under the AOR
	Expires time.Duration // asked for
	Credentials
}

// How a registration goes on when it fails: first soon, then ever more rarely.
const (
	registerSoon   = 5 * time.Second
	registerSeldom = 5 * time.Minute
	unregisterFor  = time.Second // to say goodbye
)

// registration is a Registration at work.
type registration struct {
	Registration
	aor, to event.Address
	token   string // the user of its Contact
	proof   *proof.Answerer

	mu      sync.Mutex
	callID  string
	cseq    uint32
	asked   time.Duration // what is asked for after a 423
	granted time.Time     // it holds until then
	server  string
	why     string // it failed last
	fails   int
}

// SetRegistrations replaces the registrations. Those that go are removed at
// their registrars. An error changes nothing. It may be called at any time,
// after SetTrunks with their trunks.
func (e *Edge) SetRegistrations(list []Registration) error {
	var before, after []*registration
	if p := e.registrations.Load(); p != nil {
		before = *p
	}
	for _, r := range list {
		w, err := e.newRegistration(r)
		if err != nil {
			return fmt.Errorf("registration %s: %w", r.AOR, err)
		}
		same := func(o *registration) bool {
			return o.AOR == r.AOR && o.Trunk == r.Trunk && o.To == r.To && o.Expires == r.Expires && o.User == r.User && o.Password == r.Password && o.Realm == r.Realm
		}
		if i := slices.IndexFunc(before, same); i >= 0 {
			w = before[i]
		}
		after = append(after, w)
	}
	e.registrations.Store(&after)
	e.change()
	return nil
}

func (e *Edge) newRegistration(r Registration) (*registration, error) {
	aor, err := e.AOR(r.AOR)
	if err != nil {
		return nil, err
	}
	to, err := e.AOR(r.To)
	switch {
	case err != nil:
		return nil, err
	case !e.domains.ours(to):
		return nil, fmt.Errorf("%s is not of this server", to)
	case e.trunkNamed(r.Trunk) == nil:
		return nil, fmt.Errorf("there is no trunk %q", r.Trunk)
	case e.trunkTo(aor) != e.trunkNamed(r.Trunk):
		return nil, fmt.Errorf("it is not in a domain of the trunk %q", r.Trunk)
	}
	mac := hmac.New(sha256.New, e.guard.nonces.key)
	fmt.Fprintf(mac, "registration\x00%s\x00%s", r.Trunk, aor)
	token := "p-" + hex.EncodeToString(mac.Sum(nil)[:16])
	return &registration{
		Registration: r, aor: aor, to: to, token: token, proof: r.Credentials.answerer(),
		callID: token + "-" + strconv.FormatInt(time.Now().UnixNano(), 36), asked: r.Expires,
	}, nil
}

// registeredAs returns whom a request is for that comes by a registration at a
// trunk, or nothing.
func (e *Edge) registeredAs(r request, t *trunk) event.Address {
	for _, w := range *e.registrations.Load() {
		user, _, err := e.domains.parts(r.Recipient.String())
		own, _, _ := strings.Cut(w.aor.Rest(), "@")
		if err == nil && w.Trunk == t.Name && (user == w.token || user == own && !e.ourUser(r)) {
			return w.to
		}
	}
	return ""
}

// ourUser tells whether a request is for an address in our domain.
func (e *Edge) ourUser(r request) bool {
	to, err := e.AOR(r.Recipient.String())
	return err == nil && e.domains.ours(to)
}

// holderOf returns the trunk of the registration whose Contact a request is
// for: nobody else knows it.
func (e *Edge) holderOf(r request) *trunk {
	user, _, err := e.domains.parts(r.Recipient.String())
	if err != nil {
		return nil
	}
	for _, w := range *e.registrations.Load() {
		if hmac.Equal([]byte(user), []byte(w.token)) {
			return e.trunkNamed(w.Trunk)
		}
	}
	return nil
}

// registrationOf returns the registration at a trunk under which an address
// sends, nil if there is none.
func (e *Edge) registrationOf(t *trunk, from event.Address) *registration {
	for _, w := range *e.registrations.Load() {
		if w.Trunk == t.Name && w.to == from {
			return w
		}
	}
	return nil
}

// keepRegistered registers until ctx ends, and then removes the registration.
func (e *Edge) keepRegistered(ctx context.Context, w *registration) {
	for {
		p, again := e.registerOnce(ctx, w)
		gone := (<-chan struct{})(nil)
		if p.flow != nil {
			gone = p.flow.gone // the registrar can't reach us any more
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-gone:
		case <-ctx.Done():
			timer.Stop()
			e.unregister(w)
			return
		}
		timer.Stop()
	}
}

// registerOnce tries the servers of the trunk one after the other, and returns
// by which path it is registered, and after which time to do it again.
func (e *Edge) registerOnce(ctx context.Context, w *registration) (path, time.Duration) {
	t := e.trunkNamed(w.Trunk)
	if t == nil {
		return path{}, registerSeldom
	}
	all, err := e.located(ctx, t.servers)
	if err == nil {
		all, err = t.sorted(all, time.Now())
	}
	for _, x := range all {
		var p path
		var lasts time.Duration
		if p, lasts, err = e.registerAt(ctx, w, t, x, w.asked); err == nil {
			e.registeredNow(w, x, lasts)
			return p, lasts * 4 / 5
		}
		if ctx.Err() != nil {
			return path{}, registerSeldom
		}
		e.log.Debug("registrar refuses", "aor", w.aor, "server", x, "error", err)
	}
	return path{}, e.registerFailed(w, err)
}

func (e *Edge) registeredNow(w *registration, x resolve.Target, lasts time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.granted.IsZero() || w.fails > 0 {
		e.log.Info("registered at a trunk", "aor", w.aor, "trunk", w.Trunk, "server", x, "for", lasts)
	}
	w.granted, w.server, w.why, w.fails = time.Now().Add(lasts), x.String(), "", 0
}

func (e *Edge) registerFailed(w *registration, err error) (again time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails == 0 || w.why != err.Error() {
		e.log.Warn("not registered at a trunk", "aor", w.aor, "trunk", w.Trunk, "error", err)
	}
	w.why = err.Error()
	again = min(registerSoon<<min(w.fails, 10), registerSeldom)
	w.fails++
	return again
}

// registerAt registers at one server, for a time; 0 removes the registration.
func (e *Edge) registerAt(ctx context.Context, w *registration, t *trunk, x resolve.Target, lasts time.Duration) (path, time.Duration, error) {
	p, err := e.reach(ctx, x, t)
	if err != nil {
		return p, 0, err
	}
	proved, longer := false, false
	for {
		res, err := e.sendRegister(ctx, w, t, p, x, lasts)
		if err != nil {
			return p, 0, err
		}
		switch code := res.StatusCode; {
		case code/100 == 2:
			return p, grantedBy(res, w.token, lasts), nil
		case (code == 401 || code == 407) && !proved:
			if err := w.proof.Take(res); err != nil {
				return p, 0, err
			}
			proved = true
		case code == 401 || code == 407:
			return p, 0, errors.New("it does not take the configured credentials")
		case code == 423 && !longer && lasts > 0:
			n, err := strconv.ParseUint(strings.TrimSpace(valueOf(res, "Min-Expires")), 10, 31)
			if err != nil {
				return p, 0, errors.New("it answered 423 without Min-Expires")
			}
			longer, lasts = true, time.Duration(n)*time.Second
			w.mu.Lock()
			w.asked = lasts
			w.mu.Unlock()
		default:
			return p, 0, fmt.Errorf("it answered %d %s", code, plain(res.Reason, 200))
		}
	}
}

// sendRegister sends one REGISTER. Its URI is the registrar's domain, without a
// user (RFC 3261, section 10.2).
func (e *Edge) sendRegister(ctx context.Context, w *registration, t *trunk, p path, x resolve.Target, lasts time.Duration) (*sip.Response, error) {
	_, domain, _ := strings.Cut(w.aor.Rest(), "@")
	req, err := e.outOfDialog(sip.REGISTER, "sip:"+domain, string(w.aor), string(w.aor), p)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.cseq++
	req.CSeq().SeqNo = w.cseq
	w.mu.Unlock()
	callID := sip.CallIDHeader(w.callID)
	req.ReplaceHeader(&callID)
	for _, uri := range t.Route {
		req.AppendHeader(sip.NewHeader("Route", "<"+uri+">"))
	}
	contact := "sip:" + w.token + "@" + localOf(p, x)
	if p.Network != "udp" {
		contact += ";transport=" + p.Network
	}
	req.AppendHeader(sip.NewHeader("Contact", "<"+contact+">"))
	req.AppendHeader(sip.NewHeader("Expires", strconv.Itoa(int(lasts/time.Second))))
	req.AppendHeader(sip.NewHeader("Supported", "path"))
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	if err := w.proof.Authorize(req); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.patience, errSilent)
	defer cancel()
	return e.exchange(ctx, req, p)
}

// localOf is our end of a path as the far end may see it: of a socket that
// listens on all addresses, the one from which it is reached.
func localOf(p path, x resolve.Target) string {
	at, err := netip.ParseAddrPort(p.Local)
	if err != nil || !at.Addr().IsUnspecified() {
		return p.Local
	}
	c, err := net.Dial("udp", x.Addr.String()) // sends nothing
	if err != nil {
		return p.Local
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
}

// grantedBy returns how long a 200 says that the binding lasts.
func grantedBy(res *sip.Response, token string, asked time.Duration) time.Duration {
	for _, h := range append(res.GetHeaders("Contact"), res.GetHeaders("m")...) {
		for _, one := range addresses(h.Value()) {
			if !strings.Contains(one, token) {
				continue
			}
			for p := range strings.SplitSeq(one[strings.LastIndexByte(one, '>')+1:], ";") {
				k, v, _ := strings.Cut(p, "=")
				if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 31); err == nil && strings.EqualFold(strings.TrimSpace(k), "expires") {
					return between(time.Duration(n) * time.Second)
				}
			}
		}
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(valueOf(res, "Expires")), 10, 31); err == nil {
		return between(time.Duration(n) * time.Second)
	}
	return between(asked)
}

// between keeps a registrar from having us register all the time, or never.
func between(d time.Duration) time.Duration { return min(max(d, 10*time.Second), 24*time.Hour) }

func valueOf(res *sip.Response, name string) string {
	if h := res.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// unregister removes a registration that holds, if its registrar still answers.
func (e *Edge) unregister(w *registration) {
	w.mu.Lock()
	server, holds := w.server, time.Now().Before(w.granted)
	w.granted = time.Time{}
	w.mu.Unlock()
	t := e.trunkNamed(w.Trunk)
	if !holds || t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), unregisterFor)
	defer cancel()
	all, err := e.located(ctx, t.servers)
	for _, x := range all {
		if x.String() == server {
			_, _, err = e.registerAt(ctx, w, t, x, 0)
		}
	}
	if err != nil {
		e.log.Info("registration at a trunk not removed", "aor", w.aor, "error", err)
	}
}
