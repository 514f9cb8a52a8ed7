package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// stamp is the version that the Makefile's linker flags set.
var stamp string

// version returns the stamped version, or what the Go tool noted of the
// module and its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if stamp != "" || !ok {
		return stamp
	}
	v := info.Main.Version
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	if commit := setting["vcs.revision"]; (v == "" || v == "(devel)") && commit != "" {
		v = "devel-" + commit[:min(12, len(commit))]
		if setting["vcs.modified"] == "true" {
			v += "+dirty"
		}
	}
	return v
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "parley %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
