package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"parley.im/plugins/slack"
)

func newPluginSlack() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "slack",
		Short: "Set up the Slack connector",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(newPluginSlackManifest())
	return cmd
}

func newPluginSlackManifest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Print the manifest from which a Slack app is made",
		Long: `Print the manifest of the Slack app, as JSON: its rights and the events it
hears. At https://api.slack.com/apps choose "Create New App", "From a manifest",
and paste it. Without --events the app uses Socket Mode, which needs no address
that Slack can reach.`,
		Example: `  parley plugin slack manifest
  parley plugin slack manifest --events https://bridge.example.com/c/slack/events`,
		Args: cobra.NoArgs,
	}
	name := cmd.Flags().String("name", "Parley", "`name` of the app, at most 35 characters")
	events := cmd.Flags().String("events", "", "`URL` of the connector's events, with HTTPS, for events over HTTP")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if n := len([]rune(*name)); n == 0 || n > 35 || strings.ContainsAny(*name, "\r\n") {
			return usage("--name: give 1 to 35 characters")
		}
		if u, err := url.Parse(*events); *events != "" && (err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Path, "/events")) {
			return usage("--events: %s: give an address that Slack can reach, such as https://bridge.example.com/c/slack/events", quote(*events))
		}
		m, err := slack.Manifest(*name, *events)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", m)
		return err
	}
	return cmd
}
