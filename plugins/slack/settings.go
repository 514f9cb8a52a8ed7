package slack

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
  "title": "Slack, as an app of a workspace",
  "type": "object",
  "additionalProperties": false,
  "required": ["bot_token"],
  "properties": {
    "bot_token": {
      "description": "the app's bot token, xoxb-…, of its page OAuth & Permissions",
      "type": "string", "pattern": "^xoxb-"
    },
    "app_token": {
      "description": "an app-level token, xapp-…, with the scope connections:write: events come by Socket Mode",
      "type": "string", "pattern": "^(xapp-.*)?$", "default": ""
    },
    "signing_secret": {
      "description": "the app's signing secret: events come over HTTP, at /c/<connector>/events",
      "type": "string", "default": ""
    },
    "sip_domain": {
      "description": "completes a bare name or number that somebody writes to in the app's direct messages",
      "type": "string", "default": ""
    },
    "api_url": {
      "description": "of Slack's Web API",
      "type": "string", "pattern": "^https?://.*/$", "default": "https://slack.com/api/"
    }
  }
}`

const defaultAPI = "https://slack.com/api/"

type settings struct {
	BotToken      string `json:"bot_token"`
	AppToken      string `json:"app_token"`
	SigningSecret string `json:"signing_secret"`
	SIPDomain     string `json:"sip_domain"`
	APIURL        string `json:"api_url"`
}

func readSettings(s sdk.Settings) (settings, error) {
	var set settings
	if err := s.Decode(&set); err != nil {
		return set, fmt.Errorf("settings: %w", err)
	}
	if set.APIURL == "" {
		set.APIURL = defaultAPI
	}
	u, err := url.Parse(set.APIURL)
	switch {
	case err != nil || u.Host == "":
		return set, fmt.Errorf("settings: api_url: %q is no URL", set.APIURL)
	case !strings.HasPrefix(set.BotToken, "xoxb-"):
		return set, errors.New("settings: bot_token: give the app's bot token, which begins with xoxb-")
	case set.AppToken == "" && set.SigningSecret == "":
		return set, errors.New("settings: give app_token (Socket Mode) or signing_secret (events over HTTP), or nothing can come in")
	case set.AppToken != "" && set.SigningSecret != "":
		return set, errors.New("settings: give either app_token or signing_secret: Slack sends events in one way only")
	}
	return set, nil
}
