package matrix

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"parley.im/plugins/sdk"
)

// schema is the JSON Schema of the connector's table in bridge.toml.
const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Matrix, as an application service",
  "type": "object",
  "additionalProperties": false,
  "required": ["homeserver", "domain", "registration"],
  "properties": {
    "homeserver": {
      "description": "URL of the homeserver's client API, such as http://127.0.0.1:8008",
      "type": "string", "pattern": "^https?://[^/]"
    },
    "domain": {
      "description": "server name of the homeserver: what stands after the colon in @user:example.com",
      "type": "string", "minLength": 1, "maxLength": 200
    },
    "registration": {
      "description": "registration file, as written by: parley plugin matrix register",
      "type": "string", "minLength": 1
    },
    "display_suffix": {
      "description": "put behind the display name of everybody who writes from outside, such as \" (SIP)\"",
      "type": "string", "maxLength": 64, "default": ""
    }
  }
}`

type settings struct {
	Homeserver    string `json:"homeserver"`
	Domain        string `json:"domain"`
	Registration  string `json:"registration"`
	DisplaySuffix string `json:"display_suffix"`
}

func readSettings(s sdk.Settings) (settings, *url.URL, error) {
	var set settings
	if err := s.Decode(&set); err != nil {
		return set, nil, fmt.Errorf("settings: %w", err)
	}
	base, err := url.Parse(set.Homeserver)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return set, nil, fmt.Errorf("settings: homeserver: %q is no URL; give one such as http://127.0.0.1:8008", set.Homeserver)
	case set.Domain == "" || strings.ContainsAny(set.Domain, "/@ "):
		return set, nil, fmt.Errorf("settings: domain: %q is no server name; give what stands after the colon in @user:example.com", set.Domain)
	case set.Registration == "":
		return set, nil, errors.New(`settings: registration: missing; run "parley plugin matrix register" and give the file it writes`)
	}
	set.DisplaySuffix = clean(set.DisplaySuffix, false)
	return set, base, nil
}
