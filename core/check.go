package core

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley.im/bus/event"
	"parley.im/core/config"
	"parley.im/core/plughost"
	"parley.im/core/route"
	"parley.im/core/sipedge"
	"parley.im/plugins/sdk"
)

// Check reads a configuration and looks for everything that can be known to be
// wrong without opening a port or reaching a network. It starts each connector
// for a moment to ask what it can do and which settings it takes. It returns
// the configuration, nil if it is unusable, and all problems at once.
func Check(ctx context.Context, path, executable string, log *slog.Logger) (*config.Config, config.Problems) {
	e, problems := examine(ctx, path, executable, log)
	return e.config, problems
}

// examined is what is known of a configuration without running it.
type examined struct {
	config *config.Config // nil if it can't be read at all
	table  *route.Table
	known  map[string]sdk.Description // of the connectors that start
}

// examine is Check, with all that comes of it.
func examine(ctx context.Context, path, executable string, log *slog.Logger) (e examined, problems config.Problems) {
	c, problems := config.Load(path)
	if c == nil {
		return e, problems
	}
	e.config = c
	dir, err := os.MkdirTemp("", "parley-check-")
	if err != nil {
		return e, append(problems, config.Problem{File: path, Text: err.Error()})
	}
	defer os.RemoveAll(dir)
	e.known = map[string]sdk.Description{}
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		d, found := describe(ctx, c, name, executable, dir, log)
		problems = append(problems, found...)
		if d.Network != "" {
			e.known[name] = d
		}
	}
	table, found := newTable(c, e.known)
	e.table = table
	problems = append(problems, found...)
	if len(problems) == 0 {
		problems = checkEdge(c)
	}
	return e, problems
}

// checkEdge has the SIP edge look at its part: what it would refuse is refused
// before anything is changed.
func checkEdge(c *config.Config) config.Problems {
	if _, err := sipedge.New(edgeConfig(c, kept{}, nil), nil); err != nil {
		return config.Problems{problemAt(c, "sip", err.Error())}
	}
	return nil
}

// describe asks one connector what it can do and checks its settings.
func describe(ctx context.Context, c *config.Config, name, executable, dir string, log *slog.Logger) (sdk.Description, config.Problems) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	p := c.Plugins[name]
	path := "plugins." + name
	d, err := plughost.Describe(ctx, plughost.Config{
		Name: name, Command: pluginCommand(p, executable), SHA256: p.SHA256, SocketDir: dir, Log: log,
		Dir: filepath.Dir(c.File),
	})
	if err != nil {
		return d, config.Problems{problemAt(c, path, fmt.Sprintf("the connector does not start: %v", err))}
	}
	return d, settingsProblems(c, name, d.Settings)
}

// settingsProblems holds a connector's table against its schema.
func settingsProblems(c *config.Config, name, schema string) (problems config.Problems) {
	for _, bad := range plughost.CheckSettings(schema, c.Plugins[name].Settings) {
		path := "plugins." + name
		if bad.Path != "" {
			path += "." + bad.Path
		}
		problems = append(problems, problemAt(c, path, bad.Text))
	}
	return problems
}

func problemAt(c *config.Config, path, text string) config.Problem {
	return config.Problem{File: c.File, Line: c.Line(path), Path: path, Text: text}
}

// newTable makes the routing table for the connectors that are known.
func newTable(c *config.Config, known map[string]sdk.Description) (*route.Table, config.Problems) {
	setup := route.Setup{Domains: c.SIP.Domains, Schemes: map[string][]string{}}
	for _, a := range c.SIP.Accounts {
		setup.Accounts = append(setup.Accounts, "sip:"+a.User+"@"+c.SIP.Domains[0])
	}
	for _, t := range c.SIP.Trunks {
		if len(t.Domains) > 0 {
			setup.Trunks = append(setup.Trunks, t.Domains)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		for _, s := range known[name].Schemes {
			setup.Schemes[s] = append(setup.Schemes[s], name)
		}
	}
	rules := make([]route.Rule, len(c.Routes))
	for i, r := range c.Routes {
		rules[i] = route.Rule{Name: r.Name, Mode: r.Mode, SIP: r.SIP, Members: r.Members, To: r.To, Via: r.Via}
	}
	table, bad := route.New(rules, setup)
	var problems config.Problems
	for _, p := range bad {
		path := fmt.Sprintf("route[%d]", p.Rule)
		if p.Field != "" {
			path += "." + p.Field
		}
		problems = append(problems, problemAt(c, path, p.Text))
	}
	return table, problems
}

// Explain says which route a message from one address to another takes, and
// what each side will see. The configuration must pass Check.
func Explain(ctx context.Context, path, executable, from, to string, log *slog.Logger) (string, error) {
	for _, a := range []string{from, to} {
		if err := event.Address(a).Check(); err != nil {
			return "", err
		}
	}
	e, problems := examine(ctx, path, executable, log)
	if len(problems) > 0 {
		return "", problems
	}
	return strings.TrimRight(e.table.Explain(event.Address(from), event.Address(to)), "\n"), nil
}
