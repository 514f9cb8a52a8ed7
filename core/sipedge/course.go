package sipedge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/proof"
	"parley.im/core/sipedge/resolve"
)

// maxRedirects is how many times a message is sent elsewhere because a server
// says so.
const maxRedirects = 5

// course is the course of one delivery by a trunk: from server to server until
// one of them gives an answer that counts (RFC 3263, section 4.3), which may
// send it elsewhere (3xx) or ask who we are (401, 407).
type course struct {
	e *Edge
	t *trunk
	d event.Delivery // as the trunk wants it

	part      string        // of a text that goes in several requests
	target    event.Address // as we know it
	proof     *proof.Answerer
	turn      int // requests that were answered
	uri       string
	own       bool // the servers are the trunk's own, not where a redirection leads
	servers   []resolve.URI
	doubt     bool            // a server that failed may have passed the message on
	proved    bool            // a challenge was answered
	been      map[string]bool // where redirections led
	redirects int
}

// byTrunk delivers a message through a trunk.
func (e *Edge) byTrunk(life context.Context, t *trunk, d event.Delivery, over func() bool) (event.Receipt, error) {
	if d.Sent.IsZero() {
		d.Sent = time.Now() // once: all servers get the same request
	}
	target := d.Target
	d, proof := e.outward(t, d)
	aor, err := e.AOR(string(d.Target))
	if err != nil {
		return event.Receipt{}, event.Permanent(err)
	}
	one := func(d event.Delivery, part string) (event.Receipt, error) {
		c := &course{
			e: e, t: t, d: d, part: part, target: target, proof: proof, turn: t.turnOf(target, d.ID+part),
			uri: string(aor), own: true, servers: t.servers, been: map[string]bool{string(aor): true},
		}
		return c.run(life)
	}
	send := func(d event.Delivery) (event.Receipt, error) {
		return e.inParts(text{d, string(target), over, one})
	}
	receipt, err := e.inForms(life, d, way{taste: t.taste(target), most: maxCarried, send: send})
	if err != nil && life.Err() != nil {
		return event.Receipt{}, fmt.Errorf("stopped while waiting for the trunk %s: %w", t.Name, err)
	}
	if err != nil {
		err = fmt.Errorf("trunk %s: %w", t.Name, err)
	}
	return receipt, err
}

// run goes from answer to answer until one settles the message.
func (c *course) run(ctx context.Context) (event.Receipt, error) {
	for {
		res, err := c.ask(ctx)
		if err != nil {
			return event.Receipt{}, err
		}
		c.turn++
		code := res.StatusCode
		switch {
		case code/100 == 3 && c.redirect(res):
			continue
		case code/100 == 3:
			return c.fail(event.Permanent(fmt.Errorf("it answered %d, and no Contact that leads further", code)))
		case code == 401 || code == 407:
			if why := c.prove(res); why != nil {
				c.e.log.Error("credentials refused", "message", c.d.ID, "trunk", c.t.Name, "error", why)
				return c.fail(event.Permanent(fmt.Errorf("it answered %d: %w", code, why)))
			}
			continue
		}
		receipt, err := verdict(res, c.d, c.doubt || c.d.Attempt > 1)
		if err != nil {
			return c.fail(err)
		}
		c.t.answered(c.target, c.d.ID+c.part, 0)
		return receipt, nil
	}
}

func (c *course) fail(err error) (event.Receipt, error) {
	turns := c.turn
	if event.IsPermanent(err) {
		turns = 0
	}
	c.t.answered(c.target, c.d.ID+c.part, turns)
	return event.Receipt{}, err
}

// ask sends the request to one server after the other, until one gives an
// answer that is not about itself.
func (c *course) ask(ctx context.Context) (*sip.Response, error) {
	all, err := c.e.located(ctx, c.servers)
	if err != nil {
		return nil, c.later(0, err)
	}
	targets, err := c.t.sorted(slices.Clone(all), time.Now())
	if err != nil {
		return nil, c.later(c.pause(all), err)
	}
	paused := false
	for _, x := range targets {
		res, sent := (*sip.Response)(nil), false
		if res, sent, err = c.askOne(ctx, x); err == nil {
			if res.StatusCode != 503 {
				c.e.works(c.t, x, 0)
				return res, nil
			}
			err = fmt.Errorf("it answered 503 %s", plain(res.Reason, 200))
			c.e.down(c.t, x, err, wait(res))
			paused = true
			continue
		}
		if event.IsPermanent(err) || ctx.Err() != nil || errors.Is(err, errSocket) {
			break
		}
		c.doubt = c.doubt || sent
		c.e.down(c.t, x, err, 0)
		c.e.log.Info("server of a trunk does not answer", "message", c.d.ID, "trunk", c.t.Name, "server", x, "error", err)
	}
	if event.IsPermanent(err) || ctx.Err() != nil {
		return nil, err
	}
	if paused && !c.doubt { // or it would repeat its 503 (RFC 3261, section 17.2.2)
		c.t.answered(c.target, c.d.ID+c.part, c.turn+1)
	}
	return nil, c.later(c.pause(all), fmt.Errorf("unreachable: %w", err))
}

// later puts the message off, until the trunk is back at the latest.
func (c *course) later(after time.Duration, err error) error {
	c.t.wait(c.target)
	return event.Retry(event.ScopeTarget, after, err)
}

// pause is how long all servers asked to be left alone; 0 if one did not.
func (c *course) pause(targets []resolve.Target) time.Duration {
	_, err := c.t.sorted(slices.Clone(targets), time.Now())
	var closed errClosed
	if errors.As(err, &closed) {
		return closed.wait
	}
	return 0
}

// askOne sends the request to one server. sent tells whether something may have
// arrived there although there is no answer.
func (c *course) askOne(ctx context.Context, x resolve.Target) (res *sip.Response, sent bool, err error) {
	req, p, err := c.request(ctx, x)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.e.patience, errSilent)
	defer cancel()
	res, err = c.e.exchange(ctx, req, p)
	return res, err != nil, err
}

// request makes the request for one server: the same for each but for its
// branch, so that one who gets it twice can tell (RFC 3263, section 4.3).
func (c *course) request(ctx context.Context, x resolve.Target) (*sip.Request, path, error) {
	h := hop{Contact: c.uri, part: c.part, turn: c.turn, branch: x.String()}
	if c.own {
		h.Routes = c.t.Route
	}
	req, err := c.over(ctx, x, &h)
	if err == nil && x.Network == "udp" && c.e.large(x.Addr.Addr()) && fits(req, c.d, true) != nil {
		x.Network = "tcp" // RFC 3261, section 18.1.1
		req, err = c.over(ctx, x, &h)
	}
	if err != nil {
		return nil, path{}, err
	}
	if err := fits(req, c.d, c.e.large(x.Addr.Addr())); err != nil {
		return nil, path{}, event.Permanent(err)
	}
	return req, h.Path, nil
}

// over composes the request for a path to a server, which it opens.
func (c *course) over(ctx context.Context, x resolve.Target, h *hop) (req *sip.Request, err error) {
	t := c.t
	if !c.own {
		t = nil
	}
	if h.Path, err = c.e.reach(ctx, x, t); err != nil {
		return nil, err
	}
	if req, err = c.e.compose(c.d, *h); err != nil {
		return nil, event.Permanent(err)
	}
	c.e.identifyTo(req, t, c.d)
	if c.own {
		if err := c.proof.Authorize(req); err != nil {
			return nil, event.Permanent(err)
		}
	}
	return req, nil
}

// prove answers a challenge, once, and only one of the trunk's own servers.
func (c *course) prove(res *sip.Response) error {
	switch {
	case !c.own:
		return errors.New("a server to which it redirects asks for credentials; they are for the trunk's own servers")
	case c.proved:
		return errors.New("it does not take the configured credentials")
	}
	c.proved = true
	return c.proof.Take(res)
}

// redirect goes where a 3xx says, and tells whether that leads anywhere new
// (RFC 3261, section 8.1.3.4). It never leads back to us, nor from sips: to
// sip:.
func (c *course) redirect(res *sip.Response) bool {
	for _, contact := range contactsOf(res) {
		aor, err := c.e.AOR(contact.String())
		secure := strings.EqualFold(contact.Scheme, "sips")
		if err != nil || c.e.domains.ours(aor) || c.been[contact.String()] || c.redirects >= maxRedirects {
			continue
		}
		if strings.HasPrefix(c.uri, "sips:") && !secure {
			continue
		}
		c.redirects++
		c.been[contact.String()] = true
		c.uri, c.own = contact.String(), slices.Contains(c.t.Domains, contact.Host)
		c.servers = c.t.servers
		if !c.own {
			transport, _ := contact.UriParams.Get("transport")
			c.servers = []resolve.URI{{Secure: secure, Host: contact.Host, Port: contact.Port, Transport: transport}}
		}
		c.e.log.Info("redirected", "message", c.d.ID, "trunk", c.t.Name, "to", aor)
		return true
	}
	return false
}

// contactsOf returns the SIP URIs that a response names, best first, without
// what only a browser's link may have: headers and a method.
func contactsOf(res *sip.Response) (all []sip.Uri) {
	type choice struct {
		uri sip.Uri
		q   float64
	}
	var some []choice
	for _, h := range append(res.GetHeaders("Contact"), res.GetHeaders("m")...) {
		for _, one := range addresses(h.Value()) {
			var u sip.Uri
			params := sip.NewParams()
			if _, err := sip.ParseAddressValue(one, &u, &params); err != nil || u.Wildcard {
				continue
			}
			q := 1.0
			if text, ok := params.Get("q"); ok {
				q, _ = strconv.ParseFloat(text, 64)
			}
			u.Headers = nil
			u.UriParams.Remove("method")
			some = append(some, choice{u, q})
		}
	}
	slices.SortStableFunc(some, func(a, b choice) int { return cmp.Compare(b.q, a.q) })
	for _, s := range some {
		all = append(all, s.uri)
	}
	return all
}
