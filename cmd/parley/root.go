package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"parley.im/core/config"
	"parley.im/core/httpd"
)

// newRoot returns the whole command line. begun turns true once a command of
// ours runs: an error before it is one of usage.
func newRoot() (root *cobra.Command, begun *bool) {
	begun = new(bool)
	root = &cobra.Command{
		Use:   "parley",
		Short: "Bridge SIP instant messages to team chat",
		Long: `Parley bridges SIP instant messages (RFC 3428) to team chat: what somebody
sends from a softphone or a PBX appears in the room, and the answer goes back.`,
		Example: `  parley run --config bridge.toml
  parley send --from sip:alice@127.0.0.1 sip:lobby@127.0.0.1 "hello"
  parley tail`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			*begun = true
		},
		Args: cobra.NoArgs,
		RunE: needsCommand,
	}
	root.AddCommand(newRun(), newCheck(), newSend(), newTail(), newTrace(), newDead(), newSIP(), newStatus(), newReload(), newErase(), newAccount(), newRoute(), newContent(), newBus(), newPlugin(), newBench(), newVersion())
	return root, begun
}

// needsCommand is what a command that only has others answers.
func needsCommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usage("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// defaultConfig is the configuration of a command that names none.
const defaultConfig = "bridge.toml"

// addConfig adds the flag that names the configuration.
func addConfig(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", defaultConfig, "configuration `file`")
}

// operator returns a client of the operators' API of the bridge that runs with
// a configuration file, whatever else is wrong with the file.
func operator(path string) (*httpd.Client, error) {
	c, problems := config.Load(path)
	if c == nil {
		return nil, problems
	}
	return httpd.NewClient(c.OperatorSocket()), nil
}

// logging is how a command logs.
type logging struct{ level, format string }

func addLogging(cmd *cobra.Command, level string) *logging {
	l := &logging{}
	cmd.Flags().StringVar(&l.level, "log-level", level, "least `level` of what is logged: debug, info, warn or error")
	cmd.Flags().StringVar(&l.format, "log-format", "text", "`format` of the log: text or json")
	return l
}

// logger returns a logger on the command's stderr.
func (l *logging) logger(cmd *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, usage("--log-level %s: it is debug, info, warn or error", quote(l.level))
	}
	o := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), o)), nil
	}
	return nil, usage("--log-format %s: it is text or json", quote(l.format))
}

// untilSignalled returns a context that the first SIGINT or SIGTERM ends. A
// second one ends the program at once: exit gets the code. release undoes it.
func untilSignalled(ctx context.Context, exit func(code int)) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	released, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for n := 1; ; n++ {
			select {
			case <-signals:
				if n > 1 {
					exit(exitInterrupted)
				}
				cancel()
			case <-released:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(released)
		<-gone
		cancel()
	}
}

// self returns the program's own file: it starts bundled connectors from it.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where is this program? %w", err)
	}
	return path, nil
}
