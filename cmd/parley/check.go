package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"parley.im/core"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with a configuration",
		Long: `Read a configuration, ask each connector about its own part, and print every
mistake with its line and a way out. No port is opened and no network reached.`,
		Example: `  parley check --config bridge.toml && systemctl reload parley`,
		Args:    cobra.NoArgs,
	}
	path := addConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		executable, err := self()
		if err != nil {
			return err
		}
		c, problems := core.Check(cmd.Context(), *path, executable, slog.New(slog.DiscardHandler))
		if len(problems) > 0 {
			return problems
		}
		for _, w := range c.Warnings {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s (warning)\n", w)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", *path)
		return nil
	}
	return cmd
}
