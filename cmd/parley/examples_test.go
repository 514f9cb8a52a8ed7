package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The bridge.toml beside each example PBX is one that Parley takes.
func TestTheExamplesOfPBXsAreTaken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/pbx/*/bridge.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		config := write(t, t.TempDir(), "bridge.toml", string(text))
		if out, err := exec.Command(parley, "check", "--config", config).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", f, err, out)
		}
	}
}
