package main

import (
	"github.com/spf13/cobra"

	"parley.im/bus/event"
)

func newErase() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erase ADDRESS",
		Short: "Remove a user's data from the store",
		Long: `Remove what the running bridge's store holds of a user: every message to or from
the address with what became of it, dead letters, registrations, remembered
conversations, what connectors keep under the address, and large bodies; the
bytes on disk are overwritten. Messages on their way to or from the user are
given up. The bridge stands still for a moment, its connectors start again, and
the log says who asked. What other networks have shown stays there.`,
		Example: "  parley erase sip:alice@example.com",
		Args:    cobra.ExactArgs(1),
	}
	path := addConfig(cmd)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := operator(*path)
		if err != nil {
			return err
		}
		if err := confirm(cmd, "erase all that is kept of "+plain(args[0]), *yes); err != nil {
			return err
		}
		done, err := client.Erase(cmd.Context(), event.Address(args[0]))
		if err != nil {
			return err
		}
		tellWords(cmd.OutOrStdout(), done, "nothing was kept of this address")
		return nil
	}
	return cmd
}
