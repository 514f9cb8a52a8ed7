package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest/counting"
)

// benching is the command line of bench.
type benching struct {
	clients   int
	rate      int
	backlog   int
	time      time.Duration
	sustained time.Duration
	only      []string
	profile   string // a file for the host's CPU profile in the part cost, or ""

	executable string
	out        io.Writer
}

func newBench() *cobra.Command {
	b := &benching{}
	var names []string
	for _, p := range benchParts() {
		names = append(names, p.name)
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: messages accepted and delivered a second",
		Long: `Start bridges with stores of their own and a connector that only counts, drive
them with real SIP over UDP and TCP on the loopback interface, and print what
they did. Beside it, in the same run, a bare SIP server that answers 202 and
stores nothing shows what the machine and the load generator could do at most.

The parts are ` + strings.Join(names, ", ") + `.`,
		Example: `  parley bench
  parley bench --only sustained --sustained 60s --rate 3000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx, release := untilSignalled(cmd.Context(), os.Exit)
			defer release()
			b.out = cmd.OutOrStdout()
			if b.executable, err = self(); err != nil {
				return err
			}
			return b.run(ctx)
		},
	}
	f := cmd.Flags()
	f.IntVar(&b.clients, "clients", 64, "SIP clients at once, each with one message outstanding")
	f.DurationVar(&b.time, "time", 5*time.Second, "length of each burst")
	f.DurationVar(&b.sustained, "sustained", 20*time.Second, "length of the sustained runs")
	f.IntVar(&b.rate, "rate", 2000, "messages a second of the sustained runs")
	f.IntVar(&b.backlog, "backlog", 10_000, "messages waiting when the host is killed")
	f.StringSliceVar(&b.only, "only", nil, "`parts` to measure (default: all)")
	f.StringVar(&b.profile, "cpu-profile", "", "`file` for the host's CPU profile of the last row of cost")
	_ = f.MarkHidden("cpu-profile")
	cmd.AddCommand(newBenchConnector())
	return cmd
}

// newBenchConnector is what the benched hosts start as their connector.
func newBenchConnector() *cobra.Command {
	return &cobra.Command{
		Use:    "connector",
		Short:  "Be the connector that counts; a benched host starts this",
		Hidden: true,
		Args:   cobra.NoArgs,
		Run:    func(*cobra.Command, []string) { sdk.Serve(counting.New()) },
	}
}

// A benchPart is one table of figures.
type benchPart struct {
	name string
	run  func(b *benching, ctx context.Context) error
}

func benchParts() []benchPart {
	return []benchPart{
		{"bursts", (*benching).bursts},
		{"latency", (*benching).latency},
		{"sustained", (*benching).sustain},
		{"phones", (*benching).toPhones},
		{"cost", (*benching).cost},
		{"frozen", (*benching).frozen},
		{"idle", (*benching).idle},
		{"recovery", (*benching).recovery},
	}
}

func (b *benching) run(ctx context.Context) error {
	chosen, err := b.chosen()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%s/%s, %d CPUs, %s, bodies of %d bytes\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), benchBodySize)
	for _, p := range chosen {
		fmt.Fprintln(b.out)
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// chosen returns the parts to measure.
func (b *benching) chosen() ([]benchPart, error) {
	if b.clients < 1 || b.rate < 1 || b.backlog < 1 {
		return nil, usage("--clients, --rate and --backlog are at least 1")
	}
	all := benchParts()
	if len(b.only) == 0 {
		return all, nil
	}
	var chosen []benchPart
	for _, name := range b.only {
		n := len(chosen)
		for _, p := range all {
			if p.name == name {
				chosen = append(chosen, p)
			}
		}
		if len(chosen) == n {
			return nil, usage("--only %s: there is no such part", quote(name))
		}
	}
	return chosen, nil
}

// table prints aligned columns under a title.
func (b *benching) table(title, columns string, fill func(out io.Writer) error) error {
	fmt.Fprintln(b.out, title)
	t := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, columns)
	err := fill(t)
	if bad := t.Flush(); err == nil {
		err = bad
	}
	return err
}
