package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAConnectorBegunInPythonKeepsTheContract(t *testing.T) {
	dir := filepath.Join(shortDir(t), "hello")
	if code, out, errs := command(t, "", "plugin", "init", "python", dir); code != exitOK || !strings.Contains(out, "connector.py") {
		t.Fatalf("init: got code %d, %q, %q", code, out, errs)
	}
	script := filepath.Join(dir, "connector.py")
	code, out, errs := command(t, "", "plugin", "test", "--webhook", "--", script)
	if code != exitOK || strings.Contains(out, "left out") || strings.Count(out, "\nok ") < 15 {
		t.Errorf("test: got code %d, %s%s", code, out, errs)
	}
	if code, _, errs := command(t, "", "plugin", "init", "python", dir); code != exitFailed || !strings.Contains(errs, "already") {
		t.Errorf("init once more: got code %d, %q", code, errs)
	}
}

func TestPluginTestNeedsNoNetworkAndSaysWhatItLeftOut(t *testing.T) {
	settings := write(t, t.TempDir(), "web.toml", "rooms = [\"lobby\", \"yard\"]\n")
	code, out, errs := command(t, "", "plugin", "test", "--settings", settings, "--target", "web:room/yard", "--", parley, "plugin", "serve", "web")
	if code != exitOK || !strings.Contains(out, "a delivery gives a receipt\n") || !strings.Contains(out, "left out  what comes in is stored once") {
		t.Errorf("got code %d, %s%s", code, out, errs)
	}
}

func TestPluginTestSaysWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "wrong.json", `{"rooms": []}`)
	write(t, ".", "broken.toml", `rooms = [`)
	for _, tc := range []struct {
		line string
		code int
		out  string // on stdout
		errs string // on stderr
	}{
		{"plugin test -- true", exitFailed, "", "start true"},
		{"plugin test -- ./nothing", exitFailed, "", "start nothing"},
		{"plugin test", exitUsage, "", "at least 1 arg"},
		{"plugin test --webhook --target hook:x -- true", exitUsage, "", "neither beside it"},
		{"plugin test --settings x.ini -- true", exitUsage, "", ".toml or .json"},
		{"plugin test --settings none.toml -- true", exitFailed, "", "none.toml"},
		{"plugin test --settings broken.toml -- true", exitFailed, "", "broken.toml"},
		{"plugin test --settings wrong.json -- PARLEY plugin serve web", exitFailed, "", "rooms: must have at least 1"},
		{"plugin test --target web:room/nowhere -- PARLEY plugin serve web", exitFailed, "FAIL      a delivery gives a receipt:", "of the checks failed"},
		{"plugin init cobol new", exitUsage, "", "go, python"},
		{"plugin init go new", exitFailed, "", "--parley"},
		{"plugin init go new --parley .", exitFailed, "", "not there"},
	} {
		args := strings.Fields(tc.line)
		for i, a := range args {
			args[i] = strings.Replace(a, "PARLEY", parley, 1)
		}
		code, out, errs := command(t, "", args...)
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) {
			t.Errorf("parley %s: got code %d, stdout %q, stderr %q; want code %d, %q and %q", tc.line, code, out, errs, tc.code, tc.out, tc.errs)
		}
	}
	if left, err := os.ReadDir("new"); err == nil {
		t.Errorf("init wrote %v although it refused", left)
	}
}
