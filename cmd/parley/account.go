package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"parley.im/core"
	"parley.im/core/config"
)

func newAccount() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Help with SIP accounts",
		Long:  `Help with the SIP accounts of bridge.toml.`,
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(newAccountHash())
	return cmd
}

func newAccountHash() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hash USER",
		Short: "Print what an account may have instead of its password",
		Long: `Print the hashes of an account's password for a [[sip.account]] of bridge.toml.
The password is asked for, or read from standard input.

The hashes hide the password, but who has one can log in with it, so keep them
as safe. They hold for one user and one realm: make them anew when either
changes. Without ha1_md5 a phone that knows only MD5 can't log in.`,
		Example: `  parley account hash carol
  parley account hash carol --realm example.com < carol.password`,
		Args: cobra.ExactArgs(1),
	}
	path := addConfig(cmd)
	realm := cmd.Flags().String("realm", "", "`realm` of the digest; default: that of the configuration")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *realm == "" {
			c, problems := config.Load(*path)
			if c == nil {
				return problems
			}
			*realm = c.SIP.Realm
		}
		password, err := askPassword(cmd, args[0])
		if err != nil {
			return err
		}
		sha, md := core.AccountHashes(args[0], *realm, password)
		fmt.Fprintf(cmd.OutOrStdout(), "# of %s in the realm %q\nha1_sha256 = %q\nha1_md5    = %q\n", args[0], *realm, sha, md)
		return nil
	}
	return cmd
}

// askPassword reads a password: at a terminal without showing it, or else the
// first line of standard input.
func askPassword(cmd *cobra.Command, user string) (string, error) {
	var text string
	var err error
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(cmd.ErrOrStderr(), "Password of %s: ", user)
		var b []byte
		b, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		text = string(b)
	} else if text, err = bufio.NewReader(cmd.InOrStdin()).ReadString('\n'); err == io.EOF {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", usage("there is no password")
	}
	return text, nil
}
