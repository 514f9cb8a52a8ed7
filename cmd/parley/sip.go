package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func newSIP() *cobra.Command {
	cmd := &cobra.Command{Use: "sip", Short: "Look at the SIP side of the running bridge"}
	cmd.AddCommand(newSIPStatus())
	return cmd
}

func newSIPStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show phones, trunks and registrations",
		Long: `Show which phones are registered and how they are reached, which servers of
the trunks answer, and where Parley itself is registered. A phone that is away
did not answer the last message, or its connection is gone; it is tried again
when it is heard of.`,
		Example: `  parley sip status
  parley sip status --json`,
		Args: cobra.NoArgs,
	}
	path := addConfig(cmd)
	raw := cmd.Flags().Bool("json", false, "print everything, as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var all struct{ SIP json.RawMessage }
		if _, err := readStatus(cmd, *path, &all); err != nil {
			return err
		}
		if *raw {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), string(all.SIP))
			return err
		}
		var s sipStatus
		if err := json.Unmarshal(all.SIP, &s); err != nil {
			return unreadable(err)
		}
		return s.print(cmd.OutOrStdout(), time.Now())
	}
	return cmd
}

// sipStatus is what the operators' API says of the SIP side.
type sipStatus struct {
	Phones []struct {
		AOR, Network, Source string
		Expires              time.Time
		Reachable, Push      bool
		Routes               []string
	}
	Trunks []struct {
		Name, Trouble string
		Waiting       int
		Servers       []struct {
			Address, Why string
			Up           bool
			Since, Until time.Time
			RTT          time.Duration `json:"rtt_ns"`
		}
	}
	Registrations []struct {
		AOR, To, Trunk, Server, Why string
		Registered                  bool
		Until                       time.Time
	}
}

// print shows the status to people.
func (s sipStatus) print(out io.Writer, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PHONE\tREACHED BY\tSTATE\tEXPIRES IN")
	for _, p := range s.Phones {
		by := p.Network + " " + p.Source
		if len(p.Routes) > 0 {
			by += " and a proxy"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", plain(p.AOR), plain(by), word(p.Reachable, "reachable", "away"), inSeconds(p.Expires.Sub(now)))
	}
	fmt.Fprintln(w, "\nTRUNK\tSERVER\tSTATE\tSINCE\tANSWERS IN")
	for _, t := range s.Trunks {
		if len(t.Servers) == 0 {
			fmt.Fprintf(w, "%s\t-\t%s\t\t\n", plain(t.Name), word(t.Trouble == "", "not used yet", "not found"))
		}
		for _, x := range t.Servers {
			rtt := ""
			if x.RTT > 0 {
				rtt = x.RTT.Round(10 * time.Microsecond).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", plain(t.Name), plain(x.Address), word(x.Up, "up", "down"), inSeconds(now.Sub(x.Since)), rtt)
		}
	}
	fmt.Fprintln(w, "\nREGISTERED AS\tFOR\tTRUNK\tSTATE\tEXPIRES IN")
	for _, r := range s.Registrations {
		left := ""
		if r.Registered {
			left = inSeconds(r.Until.Sub(now))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", plain(r.AOR), plain(r.To), plain(r.Trunk), word(r.Registered, "registered", "not registered"), left)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.troubles(out)
	return nil
}

// troubles says what is wrong, a line each.
func (s sipStatus) troubles(out io.Writer) {
	for _, t := range s.Trunks {
		if t.Trouble != "" {
			fmt.Fprintf(out, "trunk %s: %s\n", plain(t.Name), plain(t.Trouble))
		}
		if t.Waiting > 0 {
			fmt.Fprintf(out, "trunk %s: messages to %d addresses wait for it\n", plain(t.Name), t.Waiting)
		}
		for _, x := range t.Servers {
			if !x.Up {
				fmt.Fprintf(out, "trunk %s, %s: %s\n", plain(t.Name), plain(x.Address), plain(x.Why))
			}
		}
	}
	for _, r := range s.Registrations {
		if r.Why != "" {
			fmt.Fprintf(out, "%s at trunk %s: %s\n", plain(r.AOR), plain(r.Trunk), plain(r.Why))
		}
	}
}

func word(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func inSeconds(d time.Duration) string { return d.Round(time.Second).String() }
