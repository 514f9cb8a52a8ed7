package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/core/config"
	"parley.im/core/deliver"
	"parley.im/core/route"
	"parley.im/core/sipedge"
	"parley.im/plugins/content/mapping"
)

func edgeConfig(c *config.Config, k kept, log *slog.Logger) sipedge.Config {
	e := sipedge.Config{Domains: c.SIP.Domains, Realm: c.SIP.Realm, Digest: c.SIP.Digest, NonceKey: k.nonce, Bindings: k.bindings, Log: log}
	for _, l := range c.SIP.Listen {
		network, address, _ := strings.Cut(l, ":")
		e.Listen = append(e.Listen, sipedge.Listener{Network: network, Address: address})
	}
	e.TLS, e.Origins, e.Limits = edgeTLS(c), c.SIP.Origins, edgeLimits(c)
	e.Accounts, e.Trunks = edgeAccounts(c), edgeTrunks(c)
	e.DNS, e.Safe, e.Registrations, e.Aliases = c.SIP.DNS, c.SIP.Safe, edgeRegistrations(c), edgeAliases(c)
	return e
}

func edgeTrunks(c *config.Config) (list []sipedge.Trunk) {
	for _, t := range c.SIP.Trunks {
		list = append(list, sipedge.Trunk{
			Name: t.Name, Peers: t.Peers, Certificates: t.Certificates, Account: t.Account,
			Domains: t.Domains, Servers: t.Servers, Route: t.Route, TLS: sipedge.ClientTLS{Certificate: t.TLS.Pair, CAs: t.TLS.CAs},
			In: edgeNumbers(t.In), Out: edgeNumbers(t.Out), Credentials: edgeCredentials(t, t.User, t.Password),
			Assert: t.Assert, Outstanding: t.Pace.Outstanding, Every: t.Pace.Every, Qualify: t.Qualify,
		})
	}
	return list
}

func edgeCredentials(t config.Trunk, user string, password config.Secret) sipedge.Credentials {
	return sipedge.Credentials{User: user, Password: password.Reveal(), Realm: t.Realm, Digest: t.Digest}
}

func edgeNumbers(patterns []config.NumberPattern) (list []sipedge.NumberPattern) {
	for _, p := range patterns {
		list = append(list, sipedge.NumberPattern{Match: p.Match, Put: p.Put})
	}
	return list
}

func edgeRegistrations(c *config.Config) (list []sipedge.Registration) {
	for _, r := range c.SIP.Registrations {
		for _, t := range c.SIP.Trunks {
			if t.Name != r.Trunk {
				continue
			}
			proof := edgeCredentials(t, t.User, t.Password)
			if r.Password.Reveal() != "" {
				proof = edgeCredentials(t, r.User, r.Password)
			}
			list = append(list, sipedge.Registration{Trunk: r.Trunk, AOR: r.AOR, To: r.To, Expires: r.Expires, Credentials: proof})
		}
	}
	return list
}

func edgeAliases(c *config.Config) map[string]string {
	all := map[string]string{}
	for _, a := range c.SIP.Aliases {
		all[a.Number] = a.Address
	}
	return all
}

func edgeLimits(c *config.Config) sipedge.Limits {
	l := c.SIP.Limits
	if l.Ban == 0 {
		l.Ban = -1
	}
	return sipedge.Limits{
		Connections: l.Connections, PerSource: l.PerSource, Handshake: l.Handshake, Header: l.Header, Idle: l.Idle, Write: l.Write,
		Body: int(l.Body), Headers: l.Headers, Transactions: l.Transactions, Sources: l.Sources,
		Requests: l.Requests, AccountRequests: l.AccountRequests, Guesses: l.Guesses, Ban: l.Ban, Exempt: l.Exempt,
	}
}

func edgeTLS(c *config.Config) sipedge.TLS {
	return sipedge.TLS{Certificate: c.SIP.TLS.Pair, ClientCAs: c.SIP.TLS.ClientCAs}
}

// changeEdge has the edge and the door go by a changed configuration, from the
// next request or connection on.
func (h *Host) changeEdge(ctx context.Context, before, after *config.Config) error {
	if err := h.edge.SetAccounts(ctx, edgeAccounts(after)); err != nil {
		return err
	}
	if err := h.edge.SetTrunks(edgeTrunks(after)); err != nil {
		return err
	}
	if err := h.edge.SetRegistrations(edgeRegistrations(after)); err != nil {
		return err
	}
	if err := h.edge.SetAliases(edgeAliases(after)); err != nil {
		return err
	}
	h.edge.SetSafePaths(after.SIP.Safe)
	if err := h.edge.SetLimits(edgeLimits(after)); err != nil {
		return err
	}
	if !before.SIP.TLS.Same(after.SIP.TLS) {
		if err := h.edge.SetTLS(edgeTLS(after)); err != nil {
			return err
		}
	}
	h.door.SetCertificate(after.HTTP.TLS.Pair)
	return h.edge.SetOrigins(after.SIP.Origins)
}

// warn logs what is no mistake in a configuration, but will be trouble.
func (h *Host) warn(c *config.Config) {
	for _, w := range c.Warnings {
		h.Log.Warn(w.String())
	}
}

func edgeAccounts(c *config.Config) (list []sipedge.Account) {
	for _, a := range c.SIP.Accounts {
		list = append(list, sipedge.Account{User: a.User, Password: a.Password.Reveal(), SHA256: a.HA1SHA256.Reveal(), MD5: a.HA1MD5.Reveal()})
	}
	return list
}

// AccountHashes returns what a SIP account of the configuration may have
// instead of its password, in hex.
func AccountHashes(user, realm, password string) (sha256, md5 string) {
	return sipedge.Hash(user, realm, password)
}

// edgeHost is what the SIP edge may ask of the host.
type edgeHost struct{ h *Host }

// Put stores a message that came in by SIP.
func (e edgeHost) Put(ctx context.Context, in event.Inbound) error {
	if e.h.draining.Load() {
		return errors.New("the bridge is stopping")
	}
	d, err := e.h.find(ctx, &in)
	if err != nil {
		return err
	}
	return e.h.store(ctx, in, d)
}

// Stored tells whether a message is stored already.
func (e edgeHost) Stored(id string) bool {
	_, ok := e.h.bus.Stored(id)
	return ok
}

// Check tells whether a route takes a message, and some target of it its type.
func (e edgeHost) Check(ctx context.Context, in event.Inbound) error {
	d, err := e.h.find(ctx, &in)
	switch {
	case err == nil:
		return e.h.checkType(d, in.MediaType)
	case errors.Is(err, route.ErrForbidden):
		return fmt.Errorf("%w: %w", sipedge.ErrForbidden, err)
	case errors.Is(err, route.ErrNoRoute):
		return fmt.Errorf("%w: %w", sipedge.ErrNoRoute, err)
	}
	return err
}

// checkType returns an error if no target of a decision can be shown content
// of a type.
func (h *Host) checkType(d route.Decision, mediaType string) error {
	var accept []string
	linked := h.linked()
	for _, t := range d.Targets {
		a := h.abilities(t.Connector)
		if mapping.Check(mediaType, a.Taker, linked) == nil {
			return nil
		}
		accept = append(accept, a.Accept(linked)...)
	}
	if len(d.Targets) == 0 {
		return nil
	}
	slices.Sort(accept)
	return &sipedge.TypeError{Accept: slices.Compact(accept)}
}

// abilities returns what is known of a target's connector.
func (h *Host) abilities(name string) deliver.Abilities {
	if c := h.now().connectors[name]; c != nil {
		return c.abilities()
	}
	return sipAbilities()
}

// Told stores what a phone says of a message that was delivered to it. It can
// speak of its own only.
func (e edgeHost) Told(ctx context.Context, from event.Address, r event.Report) error {
	o, err := e.h.sip.Outbound(ctx, r.Outbound)
	if err != nil {
		return err
	}
	if o.Target != from || o.Kind != event.KindMessage {
		return fmt.Errorf("message %s was not for %s", o.ID, from)
	}
	return e.h.sip.Report(ctx, r)
}

// Body reads a body.
func (e edgeHost) Body(ctx context.Context, c event.Content) (event.Content, error) {
	return e.h.bus.Load(ctx, c)
}

// Composing passes on that the holder of a phone is composing, and tells
// subscribers.
func (e edgeHost) Composing(ctx context.Context, t event.Typing) error {
	t.Lane = e.h.tokens.Inbound(t.Sender, t.Recipient, "")
	e.h.signal(ctx, t)
	return e.h.bus.Signal(ctx, t)
}

// Registered wakes what waits for a phone.
func (e edgeHost) Registered(aor event.Address) { e.h.sip.Wake(aor) }

// edgeSink delivers to phones.
type edgeSink struct{ h *Host }

// Deliver hands a message to the edge, with its body in memory unless it is too
// large to go over SIP.
func (s edgeSink) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	if d.Size <= mapping.MaxOpen {
		var err error
		if d.Content, err = s.h.bus.Load(ctx, d.Content); err != nil {
			return event.Receipt{}, event.Retry(event.ScopeMessage, 0, err)
		}
	}
	return s.h.edge.Deliver(ctx, d)
}

// Find can't tell: SIP has no way to ask. The repetition carries the same
// Call-ID, CSeq and branch, by which a phone may know it.
func (s edgeSink) Find(context.Context, event.Delivery, time.Time) (event.Receipt, bool, error) {
	return event.Receipt{}, false, errors.New("SIP can't tell")
}

func sipAbilities() deliver.Abilities {
	return deliver.Abilities{Kinds: []event.Kind{event.KindMessage, event.KindStatus}, Outstanding: 1}
}
