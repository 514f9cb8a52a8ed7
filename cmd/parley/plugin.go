package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"parley.im/plugins/email"
	"parley.im/plugins/matrix"
	"parley.im/plugins/sdk"
	"parley.im/plugins/slack"
	"parley.im/plugins/web"
)

// bundled returns the connectors that this program can serve.
func bundled() map[string]func() sdk.Connector {
	return map[string]func() sdk.Connector{
		"email":  email.New,
		"matrix": matrix.New,
		"slack":  slack.New,
		"web":    web.New,
	}
}

func newPlugin() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Serve and test connectors",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(newPluginServe(), newPluginInit(), newPluginTest(), newPluginMatrix(), newPluginSlack())
	return cmd
}

func newPluginServe() *cobra.Command {
	all := bundled()
	names := slices.Sorted(maps.Keys(all))
	return &cobra.Command{
		Use:   "serve NAME",
		Short: "Be a bundled connector; the host starts this as its child",
		Long: `Be one of the connectors that are bundled with Parley: ` + strings.Join(names, ", ") + `.
The host starts this as its child process; by hand it only says so and ends.`,
		Example:   `  parley plugin serve web`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			make, ok := all[args[0]]
			if !ok {
				return usage("no bundled connector is called %s; there is %s", quote(args[0]), strings.Join(names, ", "))
			}
			trimSoon()
			sdk.Serve(make())
			return nil
		},
	}
}
