package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley.im/core/httpd"
)

func newTail() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show events as they happen",
		Long: `Show what happens to messages in the running bridge, one line an event:
time, type, id, from → to. Bodies are shown with --json only.`,
		Example: `  parley tail
  parley tail --type failed
  parley tail --id 7xk2 --json`,
		Args: cobra.NoArgs,
	}
	path := addConfig(cmd)
	var f httpd.Filter
	cmd.Flags().StringVar(&f.Connector, "connector", "", "only events of this connector, or sip")
	cmd.Flags().StringVar(&f.Type, "type", "", "only this `type`: inbound, outbound, accepted, delivered, displayed, failed, dead or typing")
	cmd.Flags().StringVar(&f.ID, "id", "", "only events of the message whose `id` begins so")
	cmd.Flags().BoolVar(&f.Body, "json", false, "print CloudEvents JSON, with bodies")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return tail(cmd, *path, f) }
	return cmd
}

func tail(cmd *cobra.Command, path string, f httpd.Filter) error {
	if err := f.Check(); err != nil {
		return usage("%w", err)
	}
	client, err := operator(path)
	if err != nil {
		return err
	}
	ctx, release := untilSignalled(cmd.Context(), os.Exit)
	defer release()
	out := cmd.OutOrStdout()
	following := func() { fmt.Fprintln(cmd.ErrOrStderr(), "following; Ctrl-C ends it") }
	return client.Tail(ctx, f, following, func(line []byte) error {
		if f.Body {
			_, err := fmt.Fprintf(out, "%s\n", line)
			return err
		}
		var e tailed
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the host sent an event that cannot be read: %w", err)
		}
		_, err := fmt.Fprintln(out, e)
		return err
	})
}

// tailed is what a line of tail shows of an event.
type tailed struct {
	Time      time.Time
	Type      string
	ID        string
	Inbound   string
	Outbound  string
	Source    string
	Sender    string
	Recipient string
	From      string
	Target    string
	Route     string
	Kind      string
	Reason    string
	Detail    string
	Losses    string // members percent-encoded, joined by spaces
}

// String returns the event on one line in which texts from outside cannot
// do harm.
func (e tailed) String() string {
	var b strings.Builder
	at := "-           "
	if !e.Time.IsZero() {
		at = e.Time.Local().Format("15:04:05.000")
	}
	from, to := e.Sender, e.Recipient
	if e.Target != "" {
		from, to = e.From, e.Target
	}
	fmt.Fprintf(&b, "%s %-9s %s %s → %s", at, plain(httpd.ShortType(e.Type)), short(e.ID), plain(from), plain(to))
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, plain(value))
		}
	}
	add("by", strings.TrimPrefix(e.Source, "/parley/"))
	if e.Kind != "message" {
		add("kind", e.Kind)
	}
	add("route", e.Route)
	if id := e.Outbound; id != "" {
		add("outbound", short(id))
	}
	if id := e.Inbound; id != "" {
		add("inbound", short(id))
	}
	add("reason", e.Reason)
	add("detail", e.Detail)
	add("lost", members(e.Losses))
	return b.String()
}

// members reads a list attribute for people.
func members(list string) string {
	all := strings.Fields(list)
	for i, m := range all {
		if said, err := url.PathUnescape(m); err == nil {
			all[i] = said
		}
	}
	return strings.Join(all, ", ")
}

// short is as much of an id as a person needs to find it again.
func short(id string) string { return plain(id[:min(10, len(id))]) }
