package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"parley.im/plugins/matrix"
)

func newPluginMatrix() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Set up the Matrix connector",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(newPluginMatrixRegister())
	return cmd
}

func newPluginMatrixRegister() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Write the file by which a homeserver knows the bridge",
		Long: `Write the registration of an application service, with new random tokens. The
homeserver and the connector read the same file. A file that is there already
is not overwritten.`,
		Example: `  parley plugin matrix register --domain example.com --url http://127.0.0.1:8025/c/matrix`,
		Args:    cobra.NoArgs,
	}
	domain := cmd.Flags().String("domain", "", "server `name` of the homeserver: what stands after the colon in @user:example.com")
	url := cmd.Flags().String("url", "", "`URL` at which the homeserver reaches the connector: the HTTP door with /c/ and the connector's name")
	out := cmd.Flags().String("out", "matrix.yaml", "`file` to write")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *domain == "" || *url == "" {
			return usage("give both --domain and --url")
		}
		if err := matrix.Register(*out, *domain, *url); err != nil {
			return err
		}
		path, err := filepath.Abs(*out)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), registered, path, *domain)
		return err
	}
	return cmd
}

// registered is what to do next.
const registered = `%[1]s: written. It holds secrets: only the homeserver and Parley may read it.

1. Name it in the homeserver's configuration, and restart the homeserver.
   Synapse, homeserver.yaml:
     app_service_config_files:
       - %[1]s
   Dendrite, dendrite.yaml:
     app_service_api:
       config_files:
         - %[1]s

2. Add the connector to bridge.toml:
     [plugins.matrix]
     homeserver   = "http://127.0.0.1:8008"
     domain       = "%[2]s"
     registration = "%[1]s"

3. Add a route, such as one for every user of the homeserver:
     [[route]]
     name = "matrix"
     mode = "direct"
     sip  = "sip:mx-{user}_{server}@SIP.DOMAIN"
     to   = "matrix:u/{user}:{server}"

4. Run "parley check" and start Parley. It logs "homeserver reached" and
   "homeserver reaches the bridge".
`
