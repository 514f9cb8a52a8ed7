package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the running bridge is",
		Long: `Show how the running bridge is: its connectors, what waits for each, and what
the store holds. WAITING counts messages that have no outcome yet, PARKED the
conversations that wait for a phone, a time or a network.`,
		Example: `  parley status
  parley status --json`,
		Args: cobra.NoArgs,
	}
	path := addConfig(cmd)
	raw := cmd.Flags().Bool("json", false, "print everything, as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s hostStatus
		data, err := readStatus(cmd, *path, &s)
		if err != nil {
			return err
		}
		if *raw {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(data)))
			return err
		}
		return s.print(cmd.OutOrStdout(), time.Now())
	}
	return cmd
}

// readStatus asks the running host for its status, which it reads into v and
// returns as it came.
func readStatus(cmd *cobra.Command, path string, v any) (json.RawMessage, error) {
	client, err := operator(path)
	if err != nil {
		return nil, err
	}
	ctx, release := untilSignalled(cmd.Context(), os.Exit)
	defer release()
	data, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, unreadable(err)
	}
	return data, nil
}

func unreadable(err error) error {
	return fmt.Errorf("the host sent a status that cannot be read: %w", err)
}

// hostStatus is what the operators' API says of a host.
type hostStatus struct {
	Version    string
	Started    time.Time
	Connectors map[string]struct {
		Process struct {
			Phase    string
			Since    time.Time
			Restarts int
			Err      string
		}
		Deliver struct {
			Accepted, Delivered, Failed int64
			Parked                      int64
			Held                        int64
			Circuit                     string
			CircuitSince                time.Time
		}
		Waiting []struct {
			Target, Cause string
			Since, Wake   time.Time
			Lanes         int
		}
	}
	Bus struct {
		Durability string
		Free       int64
		Streams    []struct {
			Stream          string
			Messages, Bytes uint64
			Oldest          time.Time
		}
		Consumers []struct {
			Name    string
			Pending uint64
		}
	}
}

// print shows the status to people.
func (s hostStatus) print(out io.Writer, now time.Time) error {
	age := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() }
	fmt.Fprintf(out, "parley %s, up %s\n\n", plain(s.Version), age(s.Started))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONNECTOR\tSTATE\tWAITING\tPARKED\tSETTLED\tFAILED\tRESTARTS")
	for _, name := range slices.Sorted(maps.Keys(s.Connectors)) {
		c := s.Connectors[name]
		state := "running"
		if c.Process.Phase != "" {
			state = plain(c.Process.Phase)
		}
		if c.Deliver.Circuit != "" {
			state = "waits"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", plain(name), state, s.waiting(name)+uint64(max(c.Deliver.Held, 0)), c.Deliver.Parked,
			c.Deliver.Accepted+c.Deliver.Delivered, c.Deliver.Failed, c.Process.Restarts)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Connectors)) {
		c := s.Connectors[name]
		if why := c.Deliver.Circuit; why != "" {
			fmt.Fprintf(out, "%s waits for %s: %s\n", plain(name), age(c.Deliver.CircuitSince), plain(why))
		}
		if c.Process.Phase != "" && c.Process.Phase != "running" {
			fmt.Fprintf(out, "%s is not running for %s: %s\n", plain(name), age(c.Process.Since), plain(c.Process.Err))
		}
	}
	s.targets(out, now)
	fmt.Fprintf(out, "\nstore: %s", plain(s.Bus.Durability))
	if s.Bus.Free >= 0 {
		fmt.Fprintf(out, ", %d MiB free on its disk", s.Bus.Free>>20)
	}
	fmt.Fprintln(out)
	for _, st := range s.Bus.Streams {
		since := ""
		if st.Messages > 0 && !st.Oldest.IsZero() {
			since = "since " + st.Oldest.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s\t%d events\t%d KiB\t%s\n", plain(st.Stream), st.Messages, st.Bytes>>10, since)
	}
	return w.Flush()
}

// shownTargets is how many waiting targets of a connector people are shown;
// --json has more.
const shownTargets = 10

// targets shows whom conversations wait for, the longest waiting first.
func (s hostStatus) targets(out io.Writer, now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(s.Connectors)) {
		list := s.Connectors[name].Waiting
		for _, t := range list[:min(len(list), shownTargets)] {
			fmt.Fprintf(out, "%s: %s waits for %s: %s\n", plain(name), plain(t.Target), now.Sub(t.Since).Round(time.Second), plain(t.Cause))
		}
		if more := len(list) - shownTargets; more > 0 {
			fmt.Fprintf(out, "%s: and %d targets more\n", plain(name), more)
		}
	}
}

// waiting returns what the bus has not handed to a connector's stage yet.
func (s hostStatus) waiting(connector string) uint64 {
	for _, c := range s.Bus.Consumers {
		if c.Name == "deliver-"+connector {
			return c.Pending
		}
	}
	return 0
}
