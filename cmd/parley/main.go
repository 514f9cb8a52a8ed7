// Command parley bridges SIP instant messages to team chat. This package
// holds flags, signals, exit codes and wiring; what the commands do is in
// package core and below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"parley.im/core/config"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // it failed, or a configuration or message was refused
	exitUsage       = 2   // the command line is wrong
	exitUnreachable = 3   // no answer: timeout or transport
	exitInterrupted = 130 // a second signal
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// coded is an error with the exit code it asks for. Without an error nothing
// is printed.
type coded struct {
	code int
	err  error
}

func (c *coded) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit code %d", c.code)
	}
	return c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// usage says that the command line is wrong.
func usage(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root, begun := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var c *coded
	switch {
	case errors.As(err, &c):
	case !*begun: // cobra refused the command line
		c = &coded{exitUsage, err}
	default:
		c = &coded{exitFailed, err}
	}
	report(errs, cmd, c)
	return c.code
}

// report prints what went wrong: a line, or one for each problem of a
// configuration.
func report(errs io.Writer, cmd *cobra.Command, c *coded) {
	if c.err == nil {
		return
	}
	var problems config.Problems
	if errors.As(c.err, &problems) {
		fmt.Fprintln(errs, strings.TrimRight(problems.Error(), "\n"))
		return
	}
	line := strings.ReplaceAll(c.err.Error(), "\n", "; ")
	if c.code == exitUsage {
		line += fmt.Sprintf(" (see %q)", cmd.CommandPath()+" --help")
	}
	fmt.Fprintf(errs, "parley: %s\n", line)
}
