package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPluginMatrixRegisterSaysWhatToDoNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matrix.yaml")
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := execute(t.Context(), append([]string{"plugin", "matrix", "register"}, args...), nil, &out, &errs)
		return code, out.String(), errs.String()
	}
	args := []string{"--domain", "hs.org", "--url", "http://127.0.0.1:8025/c/matrix", "--out", path}
	code, out, errs := run(args...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{path, "app_service_config_files", "[plugins.matrix]", `domain       = "hs.org"`, "parley check"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "as_token: ") {
		t.Errorf("the file: %s, %v", data, err)
	}
	if strings.Contains(out, strings.Fields(string(data))[5]) {
		t.Error("a token is printed")
	}
	if code, _, errs := run(args...); code != exitFailed || !strings.Contains(errs, "there already") {
		t.Errorf("a second time: exit code %d: %s", code, errs)
	}
	if code, _, errs := run("--domain", "hs.org"); code != exitUsage || !strings.Contains(errs, "url") {
		t.Errorf("without a URL: exit code %d: %s", code, errs)
	}
}
