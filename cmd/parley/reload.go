package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"parley.im/core"
)

func newReload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running bridge read its configuration again",
		Long: `Have the running bridge read its bridge.toml again: routes, accounts, connectors
and subscribers become what it says, and no connection or message is dropped.
When something is wrong with it nothing is changed, and every mistake is printed
with its line. SIGHUP does the same and tells the log.`,
		Example: "  parley reload --config /etc/parley/bridge.toml",
		Args:    cobra.NoArgs,
	}
	path := addConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := operator(*path)
		if err != nil {
			return err
		}
		done, err := client.Reload(cmd.Context())
		if err != nil {
			return err
		}
		tellWords(cmd.OutOrStdout(), done, "nothing to change")
		return nil
	}
	return cmd
}

// tellWords prints what the host did, or that it had nothing to do.
func tellWords(out io.Writer, done []string, none string) {
	if len(done) == 0 {
		done = []string{none}
	}
	for _, d := range done {
		fmt.Fprintln(out, d)
	}
}

// reloadOnSignal reloads at each SIGHUP until ctx ends.
func reloadOnSignal(ctx context.Context, h *core.Host) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-hup:
				h.ReloadLogged(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
}
