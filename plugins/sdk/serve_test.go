package sdk

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain serves a connector without a host when a test has started this
// program to see what it says.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "alone" {
		Serve(nil)
	}
	os.Exit(m.Run())
}

func TestAConnectorStartedByHandSaysWhatItIs(t *testing.T) {
	out, err := exec.Command(os.Args[0], "alone").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "bridge.toml") {
		t.Errorf("got %v, %s", err, out)
	}
}

func TestLogLinesAreAsTheHostReadsThem(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b)
	log.Error("it broke", "room", "a\nb", "time", "noon", "level", 7, slog.Group("g", "time", time.Unix(0, 0)))
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatalf("%s: %v", b.Bytes(), err)
	}
	if m["@level"] != "error" || m["@message"] != "it broke" || m["room"] != "a\nb" || m["time"] != "noon" || m["level"] != float64(7) {
		t.Errorf("got %v", m)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", m["@timestamp"].(string)); err != nil {
		t.Error(err)
	}
}
