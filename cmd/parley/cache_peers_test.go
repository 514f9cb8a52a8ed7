//go:build peers

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// cached returns a folder of the user's cache that holds what make puts there.
// It is made once for the same content of the files from which it is made, and
// says how long that took. Two runs at once may both make it; one is kept.
func cached(t *testing.T, name string, make func(dir string) error, from ...string) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	base = filepath.Join(base, "parley-peers")
	dir := filepath.Join(base, name+"-"+fingerprint(t, from))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(base, name+"-unfinished-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	began := time.Now()
	if err := make(fresh); err != nil {
		t.Fatalf("set up %s: %v", name, err)
	}
	if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	t.Logf("%s was set up in %s", name, time.Since(began).Round(100*time.Millisecond))
	return dir
}

// npm copies a package.json, its lock and what else there is into a folder, and
// installs there what they name. Nothing of it runs a script.
func npm(dir string, from ...string) error {
	for _, f := range from {
		data, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	return made(cmd)
}

// fingerprint is that of the files' contents and of the machine's kind.
func fingerprint(t *testing.T, files []string) string {
	t.Helper()
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// made runs a command that makes something; its error says what it said.
func made(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
