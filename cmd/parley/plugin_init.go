package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"parley.im/cmd/parley/scaffold"
)

func newPluginInit() *cobra.Command {
	languages := scaffold.Languages()
	cmd := &cobra.Command{
		Use:   "init LANGUAGE DIR",
		Short: "Begin a connector of your own, in Go or Python",
		Long: `Write a small connector that works into a new folder: messages are posted as
JSON to a URL, and JSON that is posted to it comes in. Change it to speak to
your network. What is there already is not overwritten.

A connector in Go is built against a checkout of Parley's source: the one that
the current folder is in, or that of --parley. Its go.mod says "replace
parley.im => PATH"; once parley.im is published where your build can get it,
remove that line and require a version. Python needs no checkout.`,
		Example: `  parley plugin init go hello
  parley plugin init python ~/hello`,
		Args:      cobra.ExactArgs(2),
		ValidArgs: languages,
	}
	source := cmd.Flags().String("parley", "", "`folder` with Parley's source, for Go (default: the one around the current folder)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		language, dir := args[0], args[1]
		if !slices.Contains(languages, language) {
			return usage("no connector can be begun in %s; there is %s", quote(language), strings.Join(languages, ", "))
		}
		if language == "go" {
			var err error
			if *source, err = checkout(*source); err != nil {
				return err
			}
		}
		names, err := scaffold.Write(dir, language, *source)
		if err != nil {
			return err
		}
		for _, name := range names {
			fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(dir, name))
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), nextSteps(language), dir, filepath.Base(absolute(dir)))
		return err
	}
	return cmd
}

// nextSteps is what to do next. The first argument is the folder, the second
// its name.
func nextSteps(language string) string {
	if language == "go" {
		return `
Build it and let it be tested:
  go build -C %[1]s -o %[2]s .
  parley plugin test --webhook -- %[1]s/%[2]s
`
	}
	return `
%[2]s needs Debian's python3-grpcio, python3-protobuf and python3-cryptography.
Let it be tested:
  parley plugin test --webhook -- %[1]s/connector.py
`
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

var isParley = regexp.MustCompile(`(?m)^module parley\.im$`)

// checkout finds Parley's source: at dir, or, when that is empty, around the
// current folder.
func checkout(dir string) (string, error) {
	if dir != "" {
		if !hasParley(dir) {
			return "", fmt.Errorf("--parley %s: Parley's source is not there", dir)
		}
		return dir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; !hasParley(dir); dir = filepath.Dir(dir) {
		if dir == filepath.Dir(dir) {
			return "", errors.New("a connector in Go is built against Parley's source, and it is not around this folder; name a checkout with --parley, or begin one in python")
		}
	}
	return dir, nil
}

func hasParley(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && isParley.Match(data)
}
