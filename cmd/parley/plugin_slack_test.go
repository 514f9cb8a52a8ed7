package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

func TestPluginSlackManifest(t *testing.T) {
	type manifest struct {
		Display struct{ Name string } `json:"display_information"`
		OAuth   struct {
			Scopes struct{ Bot []string }
		} `json:"oauth_config"`
		Settings struct {
			Socket bool `json:"socket_mode_enabled"`
			Events struct {
				URL string   `json:"request_url"`
				Bot []string `json:"bot_events"`
			} `json:"event_subscriptions"`
		}
	}
	run := func(args ...string) (code int, m manifest) {
		var out, errs bytes.Buffer
		code = execute(t.Context(), append([]string{"plugin", "slack", "manifest"}, args...), nil, &out, &errs)
		if code == exitOK {
			if err := json.Unmarshal(out.Bytes(), &m); err != nil {
				t.Fatalf("%v in %s", err, out.String())
			}
		}
		return code, m
	}
	code, m := run("--name", "Phones")
	if code != exitOK || m.Display.Name != "Phones" || !m.Settings.Socket || m.Settings.Events.URL != "" ||
		!slices.Contains(m.OAuth.Scopes.Bot, "chat:write.customize") || !slices.Contains(m.Settings.Events.Bot, "message.im") {
		t.Errorf("exit code %d: %+v", code, m)
	}
	const url = "https://bridge.example.com/c/slack/events"
	if code, m = run("--events", url); code != exitOK || m.Settings.Socket || m.Settings.Events.URL != url {
		t.Errorf("exit code %d: %+v", code, m)
	}
	for _, wrong := range [][]string{{"--events", "http://bridge.example.com/c/slack/events"}, {"--name", ""}, {"more"}} {
		if code, _ := run(wrong...); code != exitUsage {
			t.Errorf("%q: exit code %d", wrong, code)
		}
	}
}
