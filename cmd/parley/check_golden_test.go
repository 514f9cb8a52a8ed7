package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestCheckSaysEverythingThatIsWrong(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	b := &bridge{t: t, dir: "testdata/check"}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			out, got, code := b.cli("", "check", "--config", filepath.Base(f))
			if code != exitFailed || out != "" {
				t.Errorf("exit code %d, output %q", code, out)
			}
			golden := strings.TrimSuffix(f, ".toml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("check says\n%swant\n%s%v", got, want, err)
			}
		})
	}
}
