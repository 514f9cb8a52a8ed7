package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newTrace() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show the whole life of a message",
		Long: `Show what has become of a message in the running bridge, one line an event, by
any of its ids: that of an event, as the log or tail shows it (the beginning is
enough), or the id that it has on a network, such as a Call-ID, a Slack
timestamp, a Matrix event id or a mail's Message-ID (a part of it is enough).`,
		Example: `  parley trace abnxh2ic3v
  parley trace 1700000000.000100 --since 72h
  parley trace "<k3f…@bridge.example.com>" --json`,
		Args: cobra.ExactArgs(1),
	}
	path := addConfig(cmd)
	since := cmd.Flags().Duration("since", 24*time.Hour, "how far to look back")
	raw := cmd.Flags().Bool("json", false, "print CloudEvents JSON, without bodies")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := operator(*path)
		if err != nil {
			return err
		}
		ctx, release := untilSignalled(cmd.Context(), os.Exit)
		defer release()
		events := 0
		err = client.Trace(ctx, args[0], time.Now().Add(-*since), func(line []byte) error {
			events++
			if *raw {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
				return err
			}
			var e tailed
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("the host sent an event that cannot be read: %w", err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), e)
			return err
		})
		if err == nil && events == 0 {
			err = fmt.Errorf("no message of the last %v goes by %s; look further back with --since, or give more of the id", *since, quote(args[0]))
		}
		return err
	}
	return cmd
}
