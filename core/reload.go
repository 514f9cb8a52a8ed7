package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"parley.im/core/config"
)

// fixed are the keys that only a start takes.
var fixed = []struct {
	path string
	of   func(*config.Config) any
}{
	{"bus.data", func(c *config.Config) any { return c.Bus.Data }},
	{"bus.durability", func(c *config.Config) any { return c.Bus.Durability }},
	{"bus.url", func(c *config.Config) any { return c.Bus.URL }},
	{"bus.credentials", func(c *config.Config) any { return c.Bus.Credentials }},
	{"bus.trust_sync", func(c *config.Config) any { return c.Bus.TrustSync }},
	{"bus.replicas", func(c *config.Config) any { return c.Bus.Replicas }},
	{"bus.reserve", func(c *config.Config) any { return c.Bus.Reserve }},
	{"bus.listen", func(c *config.Config) any { return c.Bus.Listen }},
	{"bus.tls", func(c *config.Config) any { return c.Bus.TLS }},
	{"bus.retention", func(c *config.Config) any { return c.Bus.Retention }},
	{"sip.domains", func(c *config.Config) any { return c.SIP.Domains }},
	{"sip.realm", func(c *config.Config) any { return c.SIP.Realm }},
	{"sip.digest", func(c *config.Config) any { return c.SIP.Digest }},
	{"sip.dns", func(c *config.Config) any { return c.SIP.DNS }},
	{"sip.listen", func(c *config.Config) any { return c.SIP.Listen }},
	{"http.listen", func(c *config.Config) any { return c.HTTP.Listen }},
	{"http.password", func(c *config.Config) any { return c.HTTP.Password }},
	{"http.tls", func(c *config.Config) any { return c.HTTP.TLS.Given() }},
	{"tracing", func(c *config.Config) any { return c.Tracing }},
}

// needRestart returns a problem for each fixed key that differs.
func needRestart(from, to *config.Config) (problems config.Problems) {
	for _, f := range fixed {
		if !reflect.DeepEqual(f.of(from), f.of(to)) {
			problems = append(problems, problemAt(to, f.path, "was changed, which needs a restart; nothing was reloaded"))
		}
	}
	return problems
}

// Reload reads the configuration file again and makes routes, accounts,
// connectors and subscribers as it says, without dropping a connection or a
// message: what waits for a connector that is changed or taken away waits in
// the log. It returns what it did, in words. With an error, config.Problems
// when the file is wrong, nothing was changed. Reloads go one after the other.
func (h *Host) Reload(ctx context.Context) (done []string, err error) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	if err := h.isReady(); err != nil {
		return nil, err
	}
	before := h.now()
	e, problems := examine(ctx, before.config.File, h.Executable, h.Log)
	if e.config != nil {
		problems = append(problems, needRestart(before.config, e.config)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	p, err := h.plan(ctx, before, e)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)                                     // from here on it is done whole
	if err := h.bus.SetSubscribers(e.config.Bus.Readers()); err != nil { // the one step that can be refused
		return nil, err
	}
	if err := h.changeEdge(ctx, before.config, e.config); err != nil {
		return nil, err
	}
	h.warn(e.config)
	h.current.Store(p.after)
	p.stop()
	p.start(ctx, h)
	return p.words(before.config), nil
}

// isReady returns an error while the host is still starting.
func (h *Host) isReady() error {
	select {
	case <-h.ready:
		return nil
	default:
		return errors.New("the host is still starting")
	}
}

// A plan is what becomes of the connectors.
type plan struct {
	after                   *setup
	added, changed, removed []string
	ended                   []*connector // of changed and removed
}

// plan makes the connectors that are new or changed, and runs nothing.
func (h *Host) plan(ctx context.Context, before *setup, e examined) (*plan, error) {
	p := &plan{after: &setup{config: e.config, table: e.table, connectors: map[string]*connector{}}}
	for _, name := range slices.Sorted(maps.Keys(e.config.Plugins)) {
		old := before.connectors[name]
		if old != nil && same(before.config, e, name) {
			p.after.connectors[name] = old
			continue
		}
		c, err := h.newConnector(ctx, name, e.config)
		if err != nil {
			return nil, err
		}
		c.last = e.known[name] // until it is up
		p.after.connectors[name] = c
		if old == nil {
			p.added = append(p.added, name)
			continue
		}
		p.changed, p.ended = append(p.changed, name), append(p.ended, old)
	}
	for _, name := range slices.Sorted(maps.Keys(before.connectors)) {
		if p.after.connectors[name] == nil {
			p.removed, p.ended = append(p.removed, name), append(p.ended, before.connectors[name])
		}
	}
	return p, nil
}

// same tells whether a connector can go on as it runs.
func same(before *config.Config, e examined, name string) bool {
	schemes := e.known[name].Schemes
	return reflect.DeepEqual(before.Plugins[name], e.config.Plugins[name]) &&
		slices.Equal(places(before.Routes, name, schemes), places(e.config.Routes, name, schemes))
}

// stop ends connectors, and what delivers to them first.
func (p *plan) stop() {
	for _, c := range p.ended {
		c.stopStage()
		c.stopProcess()
	}
}

// start starts those that take their places, or are new.
func (p *plan) start(ctx context.Context, h *Host) {
	known, err := h.bus.Bucket(ctx, "descriptions")
	for _, name := range slices.Concat(p.added, p.changed) {
		c := p.after.connectors[name]
		if err == nil {
			err = remember(ctx, known, name, c.last)
		}
		c.stopProcess = h.processes.add(c.process.Run)
		c.stopStage = h.deliveries.add(c.stage.Run)
	}
	if err != nil {
		h.Log.Warn("what the connectors can do is not remembered", "err", err)
	}
}

// words says what a reload did.
func (p *plan) words(before *config.Config) (done []string) {
	after := p.after.config
	say := func(what string, names []string) {
		for _, n := range names {
			done = append(done, fmt.Sprintf("connector %s %s", n, what))
		}
	}
	say("added", p.added)
	say("changed and started again", p.changed)
	say("removed; its messages wait", p.removed)
	for what, differs := range map[string]bool{
		"routes":      !reflect.DeepEqual(before.Routes, after.Routes),
		"certificate": !before.SIP.TLS.Same(after.SIP.TLS) || !before.HTTP.TLS.Same(after.HTTP.TLS),
		"origins":     !slices.Equal(before.SIP.Origins, after.SIP.Origins),
		"accounts":    !reflect.DeepEqual(before.SIP.Accounts, after.SIP.Accounts),
		"trunks":      !reflect.DeepEqual(before.SIP.Trunks, after.SIP.Trunks),
		"subscribers": !reflect.DeepEqual(before.Bus.Subscribers, after.Bus.Subscribers),
	} {
		if differs {
			done = append(done, what+" changed")
		}
	}
	slices.Sort(done)
	return done
}

// reload is Reload for the operators' API, with the log's account of it.
func (h *Host) reload(ctx context.Context, who string) ([]string, error) {
	done, err := h.Reload(ctx)
	if err != nil {
		h.Log.Error("not reloaded, nothing was changed", "by", who, "err", err)
		return nil, err
	}
	h.Log.Info("reloaded", "by", who, "done", done)
	return done, nil
}

// ReloadLogged is Reload as a signal asks for it: what becomes of it is logged.
func (h *Host) ReloadLogged(ctx context.Context) { _, _ = h.reload(ctx, "signal") }
