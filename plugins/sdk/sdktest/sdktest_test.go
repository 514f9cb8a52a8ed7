package sdktest_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/counting"
)

// TestMain serves a connector when the suite has started this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		sdk.Serve(connectors()[os.Args[2]])
	}
	os.Exit(m.Run())
}

func connectors() map[string]sdk.Connector {
	return map[string]sdk.Connector{
		"counting":  counting.New(),
		"folder":    &folder{},
		"forgetful": &forgetful{},
		"lax":       &lax{},
		"stubborn":  &stubborn{},
	}
}

func options(t *testing.T, name string) sdktest.Options {
	dir := t.TempDir()
	settings, err := json.Marshal(map[string]string{"dir": dir})
	if err != nil {
		t.Fatal(err)
	}
	return sdktest.Options{
		Command: []string{os.Args[0], "serve", name}, Settings: settings, Target: "folder:room", Network: watcher{dir},
	}
}

func TestCountingKeepsTheContract(t *testing.T) {
	o := options(t, "counting")
	o.Settings, o.Target, o.Network = nil, "count:room", nil
	sdktest.Run(t, o)
}

func TestFolderKeepsTheContract(t *testing.T) { sdktest.Run(t, options(t, "folder")) }

// forgetful acknowledges a delivery and shows nothing, and finds it anyway.
type forgetful struct{ folder }

func (f *forgetful) Deliver(context.Context, event.Delivery) (event.Receipt, error) {
	return event.Receipt{State: event.Delivered}, nil
}

// lax lets any setting pass.
type lax struct{ folder }

func (l *lax) Describe() sdk.Description {
	d := l.folder.Describe()
	d.Settings = `{"type":"object"}`
	return d
}

// stubborn does not leave.
type stubborn struct{ folder }

func (s *stubborn) Close(context.Context) error { select {} }

func TestTheSuiteNoticesWhoBreaksTheContract(t *testing.T) {
	for _, tc := range []struct{ name, check, why string }{
		{"forgetful", "a delivery gives a receipt", "shows"},
		{"lax", "it describes itself, and its schema refuses an unknown key", "unknown key"},
		{"stubborn", "it ends within three seconds when it is asked to", "deadline"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ran := false
			for _, c := range sdktest.Checks(options(t, tc.name)) {
				if c.Name != tc.check {
					continue
				}
				ran = true
				if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tc.why) {
					t.Errorf("%s: %s: got error %v; want one about %q", tc.name, c.Name, err, tc.why)
				}
			}
			if !ran {
				t.Errorf("there is no check %q", tc.check)
			}
		})
	}
}
