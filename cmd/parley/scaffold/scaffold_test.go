package scaffold

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheScaffoldsAreTheExamples(t *testing.T) {
	for _, tc := range []struct{ language, example string }{
		{"go", "connector-go"}, {"python", "connector-python"},
	} {
		got, err := contents("new", tc.language, "../../..")
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range got {
			if strings.HasPrefix(name, "go.") {
				continue
			}
			want, err := os.ReadFile(filepath.Join("../../../examples", tc.example, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(data, want) {
				t.Errorf("%s: %s is not that of the example", tc.language, name)
			}
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "connector.py")
	if err := os.WriteFile(own, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, "python", ""); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got error %v", err)
	}
	data, err := os.ReadFile(own)
	if err != nil || string(data) != "mine" {
		t.Errorf("the file is now %q, %v", data, err)
	}
	if _, err := Write(filepath.Join(dir, "new"), "cobol", ""); err == nil || !strings.Contains(err.Error(), "go, python") {
		t.Errorf("a language that is not there: got error %v", err)
	}
}

func TestAModuleIsNamedAfterItsFolder(t *testing.T) {
	for dir, want := range map[string]string{
		"hello": "example.com/hello", "/a/My Chat!": "example.com/my-chat", "/a/ö": "example.com/connector",
	} {
		if got, err := moduleName(dir); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", dir, got, err, want)
		}
	}
}
