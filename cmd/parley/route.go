package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"parley.im/core"
)

func newRoute() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "route",
		Short: "Ask where messages go",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(newRouteExplain())
	return cmd
}

func newRouteExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain FROM TO",
		Short: "Say which route a message takes and what each side sees",
		Example: `  parley route explain sip:alice@127.0.0.1 sip:lobby@127.0.0.1
  parley route explain web:u/eve sip:alice@127.0.0.1`,
		Args: cobra.ExactArgs(2),
	}
	path := addConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		executable, err := self()
		if err != nil {
			return err
		}
		text, err := core.Explain(cmd.Context(), *path, executable, args[0], args[1], slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), text)
		return nil
	}
	return cmd
}
