package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	sdkclient "parley.im/plugins/sdk/client"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/webhook"
)

// trying is the command line of plugin test.
type trying struct {
	settings string
	target   string
	webhook  bool
	patience time.Duration
}

func newPluginTest() *cobra.Command {
	t := &trying{}
	cmd := &cobra.Command{
		Use:   "test [flags] -- COMMAND [ARG…]",
		Short: "Tell whether a connector keeps the contract",
		Long: `Start a connector as the host does, again and again, and see whether it keeps
the contract: hostile text, huge bodies, kill -9, a host that is gone. Each
check is a line; what could not be checked from outside is said.

The settings are the connector's table in bridge.toml, in a file of their own.
It really delivers, to --target: give it a place for tests. With --webhook the
network is here, too: a URL for connectors as "parley plugin init" writes them,
so that every check can be made.

Exit codes: 0 all is well, 1 a check failed, 2 wrong command line.`,
		Example: `  parley plugin test --webhook -- ./hello/hello
  parley plugin test --settings hello.toml --target hello:test -- ./hello/hello --verbose`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, release := untilSignalled(cmd.Context(), os.Exit)
			defer release()
			return t.run(ctx, cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.settings, "settings", "", "`file` with the connector's settings, .toml or .json")
	f.StringVar(&t.target, "target", "", "`address` to deliver to, such as slack:T0/C0TEST")
	f.BoolVar(&t.webhook, "webhook", false, "be the network of a webhook connector")
	f.DurationVar(&t.patience, "patience", 30*time.Second, "how long each check may take")
	return cmd
}

func (t *trying) run(ctx context.Context, cmd *cobra.Command, args []string) error {
	o, end, err := t.options(ctx, args)
	if err != nil {
		return err
	}
	defer end()
	failed, out := 0, cmd.OutOrStdout()
	for _, c := range sdktest.Checks(o) {
		began := time.Now()
		err := c.Run(ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			failed++
			fmt.Fprintf(out, "FAIL      %s:\n          %s\n", c.Name, onOneLine(err))
			continue
		}
		fmt.Fprintf(out, "ok %5.1fs %s\n", time.Since(began).Seconds(), c.Name)
	}
	for _, name := range sdktest.LeftOut(o) {
		fmt.Fprintf(out, "left out  %s\n", name)
	}
	if failed > 0 {
		return fmt.Errorf("%d of the checks failed", failed)
	}
	return nil
}

// options says what is tested and with what. end releases it.
func (t *trying) options(ctx context.Context, args []string) (o sdktest.Options, end func(), err error) {
	end = func() {}
	if t.webhook {
		if t.settings != "" || t.target != "" {
			return o, end, usage("--webhook brings the settings and the target; give neither beside it")
		}
		n, err := webhook.Listen()
		if err != nil {
			return o, end, err
		}
		o, end = n.Options(args...), n.Close
	} else {
		o = sdktest.Options{Command: args, Target: event.Address(t.target)}
		if o.Settings, err = tableOf(t.settings); err != nil {
			return o, end, err
		}
	}
	o.Patience = t.patience
	d, err := describe(ctx, args)
	if err == nil {
		err = wrongSettings(sdkclient.CheckSettings(d.Settings, o.Settings))
	}
	if err != nil {
		end()
	}
	return o, end, err
}

// tableOf reads a connector's settings, as the JSON that it gets.
func tableOf(path string) (json.RawMessage, error) {
	if path == "" {
		return json.RawMessage("{}"), nil
	}
	read := map[string]func([]byte, any) error{".toml": toml.Unmarshal, ".json": json.Unmarshal}[filepath.Ext(path)]
	if read == nil {
		return nil, usage("--settings %s: it ends in .toml or .json", quote(path))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	table := map[string]any{}
	if err := read(data, &table); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return json.Marshal(table)
}

// describe asks the connector what it can do.
func describe(ctx context.Context, args []string) (sdk.Description, error) {
	dir, err := os.MkdirTemp("", "plugintest-")
	if err != nil {
		return sdk.Description{}, err
	}
	defer os.RemoveAll(dir)
	p, err := sdkclient.Start(ctx, sdkclient.Command{
		Name: filepath.Base(args[0]), Path: args[0], Args: args[1:], SocketDir: dir,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return sdk.Description{}, err
	}
	defer p.Kill()
	return p.Description(), nil
}

// wrongSettings is an error with all that is wrong, nil if nothing is.
func wrongSettings(list []sdkclient.Problem) error {
	if len(list) == 0 {
		return nil
	}
	var lines []string
	for _, p := range list {
		lines = append(lines, strings.TrimPrefix(p.Path+": "+p.Text, ": "))
	}
	return fmt.Errorf("these settings are not those of the connector: %s (see --settings)", strings.Join(lines, "; "))
}

// maxReason is how many characters of a reason are shown.
const maxReason = 1000

// onOneLine shows an error, parts of which the connector wrote.
func onOneLine(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, err.Error())
	if runes := []rune(text); len(runes) > maxReason {
		text = string(runes[:maxReason]) + "…"
	}
	return text
}
