package main

import (
	"context"
	"os/exec"
	"regexp"
	"testing"
)

func TestBenchMeasuresEveryPartAndLosesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, parley, "bench", "--clients", "4", "--time", "200ms", "--sustained", "500ms", "--rate", "50", "--backlog", "40")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`bare server, udp +4 +[1-9]`, `bare server, tcp +4 +[1-9]`,
		`Parley, fsync, udp, to count +4 +[1-9]\S* +\S+ +\S+ +0 +[1-9]`,
		`Parley, interval, tcp, to count +1 +[1-9]\S* +\S+ +\S+ +0 +[1-9]`,
		`Parley, fsync, udp, to web +4 +[1-9]`,
		`to the connector +p50 [1-9]`,
		`waiting at the end +\d+ of \d\d`,
		`received by the phones +\d\d\n`,
		`100 +4 +[1-9]\S* +\S+ +\S+ +0 +[1-9]`,
		`10000 +4 +[1-9]\S* +\S+ +\S+ +0 +[1-9]\S* +\S+ ms`,
		`the other frozen +[1-9]\S* +\S+ +[1-9].* 0 +(\d+) of \d+\n`,
		`together +RSS [1-9]`,
		`Killed with 40 messages waiting`,
		`seen by the connector after it +40\n`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("it did not print %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func TestBenchRefusesWhatItCannotMeasure(t *testing.T) {
	for _, args := range [][]string{{"--only", "weather"}, {"--clients", "0"}} {
		cmd := exec.CommandContext(t.Context(), parley, append([]string{"bench"}, args...)...)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitUsage {
			t.Errorf("%q: exit code %d, want %d\n%s", args, cmd.ProcessState.ExitCode(), exitUsage, out)
		}
	}
}
