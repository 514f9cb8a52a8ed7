package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"parley.im/core/config"
)

func newBus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bus",
		Short: "Let other programs read the events",
		Long: `Let programs outside Parley, subscribers, read the events: an archive, a bot,
statistics. docs/events.md says what they see.`,
		Args: cobra.NoArgs,
		RunE: needsCommand,
	}
	cmd.AddCommand(newBusKey(), newBusPermissions())
	return cmd
}

func newBusKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE",
		Short: "Make the key pair of a subscriber",
		Long: `Make a key pair for a subscriber. The secret seed goes into FILE, which must not
exist yet: give it to the subscriber. The public key is printed: it goes into
bridge.toml, as nkey of a [[bus.subscriber]].`,
		Example: `  parley bus key archive.seed`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seed, public, err := config.NewSubscriberKey()
			if err != nil {
				return err
			}
			if err := writeSecret(args[0], append(seed, '\n')); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), public)
			return nil
		},
	}
}

// writeSecret writes a new file that only its owner can read.
func writeSecret(path string, secret []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already, and may be in use; give another name", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(secret)
	return errors.Join(err, f.Sync(), f.Close())
}

func newBusPermissions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "permissions",
		Short: "Print the subscribers as users of a NATS server",
		Long: `Print each [[bus.subscriber]] of the configuration as an entry of "users" in the
configuration of a NATS server, with the permissions that Parley's own server
gives it. This is for the servers at bus.url: put the entries into the account
that Parley uses there.`,
		Example: `  parley bus permissions --config bridge.toml`,
		Args:    cobra.NoArgs,
	}
	path := addConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, problems := config.Load(*path)
		if len(problems) > 0 {
			return problems
		}
		if len(c.Bus.Subscribers) == 0 {
			return fmt.Errorf("%s has no [[bus.subscriber]]", *path)
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), c.Bus.Permissions())
		return err
	}
	return cmd
}
