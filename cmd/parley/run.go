package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"parley.im/core"
	"parley.im/core/config"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the bridge",
		Long: `Run the bridge until SIGINT or SIGTERM. Then it takes nothing more, finishes
what is under way and stops its connectors; a second signal ends it at once.`,
		Example: `  parley run
  parley run --config /etc/parley/bridge.toml --log-format json`,
		Args: cobra.NoArgs,
	}
	path, logs := addConfig(cmd), addLogging(cmd, "info")
	profile := cmd.Flags().String("cpu-profile", "", "`file` to write a CPU profile of the whole run to, at its end")
	_ = cmd.Flags().MarkHidden("cpu-profile") // for "parley bench"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return profiled(*profile, func() error { return run(cmd, *path, logs) })
	}
	return cmd
}

func run(cmd *cobra.Command, path string, logs *logging) error {
	log, err := logs.logger(cmd)
	if err != nil {
		return err
	}
	c, problems := config.Load(path)
	if len(problems) > 0 {
		return problems
	}
	executable, err := self()
	if err != nil {
		return err
	}
	collectLess()
	ctx, release := untilSignalled(cmd.Context(), os.Exit)
	defer release()
	host := core.New(core.Options{Config: c, Executable: executable, Version: version(), Log: log})
	ended := make(chan error, 1)
	go func() { ended <- host.Run(ctx) }()
	select {
	case <-host.Ready():
		trimSoon()
		reloadOnSignal(ctx, host)
		welcome(cmd.OutOrStdout(), host.Summary(), c, executable)
		return <-ended
	case err := <-ended:
		return err
	}
}

// welcome tells where everything is and what to try.
func welcome(out io.Writer, s core.Summary, c *config.Config, executable string) {
	fmt.Fprintf(out, "Parley is running; Ctrl-C stops it.\n")
	row := func(name, value string) { fmt.Fprintf(out, "  %-8s%s\n", name, value) }
	row("SIP", strings.Join(s.SIP, ", "))
	door := "http://" + s.HTTP + "/"
	if c.HTTP.TLS.Given() {
		door = "https://" + s.HTTP + "/"
	}
	row("HTTP", door)
	for _, name := range s.Connectors {
		if use := c.Plugins[name].Use; name == "web" && use == "" || use == "web" {
			row("chat", door+"c/"+name+"/")
		}
	}
	row("data", s.Data)
	if len(s.Accounts) == 0 || len(s.SIP) == 0 {
		return
	}
	name := callName(executable)
	to := s.Accounts[len(s.Accounts)-1]
	for _, r := range c.Routes {
		if !strings.Contains(r.SIP, "{") {
			to = r.SIP
			break
		}
	}
	flags, server := "", ""
	if c.File != defaultConfig {
		flags = " --config " + c.File
	}
	_, address, _ := strings.Cut(s.SIP[0], ":")
	if _, port, err := net.SplitHostPort(address); err == nil && port != "5060" {
		server = " --server " + address
	}
	fmt.Fprintf(out, "Try:\n")
	fmt.Fprintf(out, "  %s send%s --from %s%s %s \"hello\"\n", name, flags, s.Accounts[0], server, to)
	fmt.Fprintf(out, "  %s tail%s\n", name, flags)
	fmt.Fprintf(out, "  a softphone: account %s, server %s, password as in %s\n", s.Accounts[0], address, c.File)
}

// callName is how a person at this terminal calls this program again.
func callName(executable string) string {
	if strings.Contains(executable, "go-build") { // started by "go run"
		return "go run ./cmd/parley"
	}
	return os.Args[0]
}
