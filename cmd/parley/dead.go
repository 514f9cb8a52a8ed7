package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"parley.im/core/httpd"
)

func newDead() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Show and settle dead letters",
		Long: `Show the messages that failed, and send them again or give them up. A message
that failed is kept whole as a dead letter, which is open until somebody does
something about it. Choose letters by id (of the letter, the Outbound or the
Inbound, the beginning is enough; or the whole native id), or by the flags.`,
	}
	cmd.AddCommand(newDeadList(), newDeadShow(),
		newDeadClose("retry", "Send dead letters again", "send again", (*httpd.Client).RetryDead),
		newDeadClose("drop", "Give dead letters up", "give up", (*httpd.Client).DropDead))
	return cmd
}

// choice is which dead letters are meant, by flags.
type choice struct {
	config string
	query  httpd.DeadQuery
	since  time.Duration
}

func addChoice(cmd *cobra.Command) *choice {
	c := &choice{}
	path := addConfig(cmd)
	cmd.Flags().StringVar(&c.query.Connector, "connector", "", "only those for a connector, or sip")
	cmd.Flags().StringVar(&c.query.Conversation, "conversation", "", "only those of a conversation, by its token")
	cmd.Flags().StringVar(&c.query.Target, "target", "", "only those for an address")
	cmd.Flags().StringVar(&c.query.Reason, "reason", "", "only those that failed as permanent, refused, exhausted or expired")
	cmd.Flags().DurationVar(&c.since, "since", 0, "only those that failed in this time; 0: all")
	cmd.PreRun = func(_ *cobra.Command, args []string) {
		c.config, c.query.IDs = *path, args
		if c.since > 0 {
			c.query.Since = time.Now().Add(-c.since)
		}
	}
	return c
}

// any tells whether something was said of which letters are meant.
func (c *choice) any() bool {
	q := c.query
	return len(q.IDs) > 0 || q.Connector+q.Conversation+q.Target+q.Reason != "" || c.since > 0
}

// letters returns those that are meant, and the client that knows them.
func (c *choice) letters(ctx context.Context) (*httpd.Client, []httpd.DeadLetter, error) {
	client, err := operator(c.config)
	if err != nil {
		return nil, nil, err
	}
	list, err := client.Dead(ctx, c.query)
	return client, list, err
}

func newDeadList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [ID…]", Short: "List open dead letters, oldest first",
		Example: "  parley dead list --connector slack --since 24h",
	}
	c := addChoice(cmd)
	raw := cmd.Flags().Bool("json", false, "print one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, list, err := c.letters(cmd.Context())
		if err != nil {
			return err
		}
		for _, l := range list {
			if *raw {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), deadLine(l))
			}
			if err != nil {
				return err
			}
		}
		if len(list) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "no open dead letters")
		}
		return nil
	}
	return cmd
}

func deadLine(l httpd.DeadLetter) string {
	to := l.Target
	if to == "" {
		to = l.Recipient
	}
	return fmt.Sprintf("%s %s %-9s %s → %s %s", short(l.ID), l.Time.Local().Format("2006-01-02 15:04:05"), plain(l.Reason),
		plain(l.Sender), plain(to), plain(l.Detail))
}

func newDeadShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a dead letter whole", Example: "  parley dead show k3fqz2", Args: cobra.ExactArgs(1)}
	c := addChoice(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.query.Body = true
		_, list, err := c.letters(cmd.Context())
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("no open dead letter goes by %s", quote(args[0]))
		}
		for _, l := range list {
			showDead(cmd.OutOrStdout(), l)
		}
		return nil
	}
	return cmd
}

func showDead(out io.Writer, l httpd.DeadLetter) {
	for _, f := range [][2]string{
		{"id", l.ID}, {"failed", l.Time.Format(time.RFC3339)}, {"reason", l.Reason}, {"detail", l.Detail}, {"inbound", l.Inbound},
		{"outbound", l.Outbound}, {"native id", l.NativeID}, {"connector", l.Connector}, {"route", l.Route},
		{"conversation", l.Conversation}, {"generation", fmt.Sprint(l.Generation)}, {"sender", l.Sender}, {"recipient", l.Recipient},
		{"target", l.Target}, {"type", l.MediaType}, {"bytes", fmt.Sprint(len(l.Body))},
	} {
		if f[1] != "" {
			fmt.Fprintf(out, "%-13s %s\n", f[0]+":", oneLine(f[1]))
		}
	}
	fmt.Fprintf(out, "\n%s\n\n", harmless(string(l.Body)))
}

// harmless shows a text from outside over several lines: what could move the
// cursor or turn the direction of writing is replaced.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// oneLine is harmless for a text that has a line to itself.
func oneLine(s string) string { return strings.ReplaceAll(harmless(s), "\n", " ") }

func newDeadClose(name, about, verb string, do func(*httpd.Client, context.Context, []string) ([]httpd.Outcome, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " [ID…]", Short: about,
		Example: "  parley dead " + name + " k3fqz2\n  parley dead " + name + " --target slack:T0/C0 --yes",
	}
	c := addChoice(cmd)
	yes := cmd.Flags().Bool("yes", false, "do not ask about several")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !c.any() {
			return usage("say which dead letters: by id or by a flag")
		}
		client, list, err := c.letters(cmd.Context())
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return errors.New("no open dead letter is meant by this")
		}
		if err := confirm(cmd, fmt.Sprintf("%s %d dead letters", verb, len(list)), len(list) == 1 || *yes); err != nil {
			return err
		}
		ids := make([]string, len(list))
		for i, l := range list {
			ids[i] = l.ID
		}
		done, err := do(client, cmd.Context(), ids)
		if err != nil {
			return err
		}
		return tellOutcomes(cmd.OutOrStdout(), done)
	}
	return cmd
}

// confirm asks on a terminal; elsewhere it says how to go on.
func confirm(cmd *cobra.Command, what string, sure bool) error {
	if sure {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if ok {
		s, err := in.Stat()
		ok = err == nil && s.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return fmt.Errorf("this would %s; say so with --yes", what)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s? [y/N] ", what)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		return fmt.Errorf("this would %s, and nobody answers; say so with --yes", what)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}

func tellOutcomes(out io.Writer, done []httpd.Outcome) error {
	failed := 0
	for _, o := range done {
		fmt.Fprintf(out, "%s %s\n", short(o.ID), oneLine(o.Text))
		if o.Failed {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d could not be done", failed, len(done))
	}
	return nil
}
