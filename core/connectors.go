package core

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/config"
	"parley.im/core/deliver"
	"parley.im/core/plughost"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/sdk"
)

// startPatience is how long the host waits for a connector before it goes on
// without it.
const startPatience = 5 * time.Second

// A connector is one connector instance: its process, the stage that delivers
// to it, and what it may ask of the host.
type connector struct {
	name    string
	config  config.Plugin
	process *plughost.Connector
	stage   *deliver.Stage
	refuse  func() []string // files that are not passed on

	stopProcess, stopStage func() // each waits for the end; set once they run

	mu   sync.Mutex
	last sdk.Description // known from an earlier run, until it comes up
}

// describe returns what the connector said of itself last.
func (c *connector) describe() sdk.Description {
	if d := c.process.Description(); d.Network != "" {
		return d
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *connector) abilities() deliver.Abilities {
	d := c.describe()
	return deliver.Abilities{
		Kinds: d.Kinds, Taker: mapping.Taker{Types: d.Types, MaxBytes: int64(d.MaxBytes), MaxFile: d.MaxFile, Refuse: c.refuse()},
		Outstanding: cmp.Or(c.config.Pace.Outstanding, d.Gate.Outstanding), Every: cmp.Or(c.config.Pace.Every, d.Gate.Every), Find: d.Find,
	}
}

// startConnectors starts the configured connectors as the lowest layer and
// waits a little for them. One that does not come up keeps its messages
// waiting and stops nobody else, if an earlier run knows its schemes.
func (h *Host) startConnectors(ctx context.Context, s *stack) error {
	known, err := h.bus.Bucket(ctx, "descriptions")
	if err != nil {
		return err
	}
	sockets, err := socketDir(h.Config)
	if err != nil {
		return err
	}
	h.sockets = sockets
	all := map[string]*connector{}
	for name := range h.Config.Plugins {
		if all[name], err = h.newConnector(ctx, name, h.Config); err != nil {
			return err
		}
	}
	h.current.Store(&setup{config: h.Config, connectors: all})
	h.processes = s.start(ctx, "connectors")
	for _, c := range all {
		c.stopProcess = h.processes.add(c.process.Run)
	}
	deadline, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for _, c := range all {
		select {
		case <-c.process.Ready():
			err = remember(ctx, known, c.name, c.process.Description())
		case <-deadline.Done():
			err = h.recall(ctx, known, c)
		}
		if err != nil {
			return err
		}
	}
	return h.checkSettings()
}

// checkSettings holds the connectors' tables against what they say they take.
func (h *Host) checkSettings() error {
	var problems config.Problems
	for name, c := range h.now().connectors {
		problems = append(problems, settingsProblems(h.Config, name, c.describe().Settings)...)
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func (h *Host) newConnector(ctx context.Context, name string, conf *config.Config) (*connector, error) {
	p := conf.Plugins[name]
	state, err := h.bus.Bucket(ctx, "state-"+name)
	if err != nil {
		return nil, err
	}
	c := &connector{name: name, config: p, refuse: func() []string { return h.now().config.Files.Refuse }}
	c.process = plughost.New(plughost.Config{
		Name: name, Command: pluginCommand(p, h.Executable), SHA256: p.SHA256, Settings: p.Settings,
		Dir:       filepath.Dir(conf.File),
		SocketDir: h.sockets, Log: h.Log,
		Places: func(schemes []string) []event.Address { return places(conf.Routes, name, schemes) },
	}, &backend{h: h, c: c, state: stateBucket{state}, media: mediaStore{h.bus.Media(), func() int64 { return h.now().config.Files.Max }}})
	c.stage = h.newStage(name, c.process, c.abilities)
	c.process.OnUp(c.stage.WakeAll)
	return c, nil
}

// places returns the fixed addresses of a connector that routes name.
func places(routes []config.Route, name string, schemes []string) (list []event.Address) {
	for _, r := range routes {
		if r.Via != "" && r.Via != name {
			continue
		}
		for _, to := range r.To {
			a := event.Address(to)
			if slices.Contains(schemes, a.Scheme()) && !strings.ContainsAny(to, "{}") && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// pluginCommand returns the command line of a connector: its own, or this
// program's for a bundled one.
func pluginCommand(p config.Plugin, executable string) []string {
	if len(p.Command) > 0 {
		return p.Command
	}
	return []string{executable, "plugin", "serve", p.Use}
}

// remember keeps what a connector can do, for a start at which it is not up.
func remember(ctx context.Context, known *bus.Bucket, name string, d sdk.Description) error {
	v, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if old, err := known.Get(ctx, name); err == nil && string(old.Value) == string(v) {
		return nil
	}
	_, err = known.Set(ctx, name, v)
	return err
}

func (h *Host) recall(ctx context.Context, known *bus.Bucket, c *connector) error {
	why := c.process.State()
	e, err := known.Get(ctx, c.name)
	if errors.Is(err, bus.ErrNotFound) {
		return fmt.Errorf("plugins.%s: the connector does not start (%s), and no earlier run knows what it can do", c.name, why.Err)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h.Log.Error("connector does not start; its messages wait", "connector", c.name, "err", why.Err)
	return json.Unmarshal(e.Value, &c.last)
}

// backend is what a connector may ask of the host.
type backend struct {
	h     *Host
	c     *connector
	state sdk.State
	media sdk.Media
}

// Put stores a message that came in by the connector.
func (b *backend) Put(ctx context.Context, in event.Inbound) (string, error) {
	return b.h.put(ctx, b.c, in)
}

// Signal passes on that somebody is composing.
func (b *backend) Signal(ctx context.Context, t event.Typing) error {
	t.Connector, t.Time = b.c.name, time.Now()
	t.Lane = b.h.tokens.Inbound(t.Sender, t.Recipient, "")
	b.h.signal(ctx, t)
	return b.h.bus.Signal(ctx, t)
}

// Report stores what the network said later about a delivery.
func (b *backend) Report(ctx context.Context, r event.Report) error {
	return b.c.stage.Report(ctx, r)
}

// Accepts tells whether Put would take in.
func (b *backend) Accepts(ctx context.Context, in event.Inbound) error {
	in.Origin = b.c.name
	if _, err := b.h.find(ctx, &in); err != nil {
		return fmt.Errorf("%w: %w", sdk.ErrRefused, err)
	}
	return nil
}

// State returns the connector's own key-value store.
func (b *backend) State() sdk.State { return b.state }

// Media returns the store of large bodies.
func (b *backend) Media() sdk.Media { return b.media }
