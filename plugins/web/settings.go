package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
)

// schema is the JSON Schema of the connector's table in bridge.toml.
const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "the built-in web chat",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "rooms": {
      "description": "rooms of the chat; each is web:room/<name>",
      "type": "array", "minItems": 1, "maxItems": 200, "uniqueItems": true, "default": ["lobby"],
      "items": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?$"}
    },
    "password": {
      "description": "asked of everybody who joins; without one only this machine may use the chat",
      "type": "string", "maxLength": 1024, "default": "", "writeOnly": true
    },
    "title": {
      "description": "what the page is called",
      "type": "string", "maxLength": 80, "default": "Parley"
    },
    "history": {
      "description": "messages kept for each room and each direct conversation",
      "type": "integer", "minimum": 10, "maximum": 100000, "default": 1000
    },
    "sip_domain": {
      "description": "domain that completes a plain name in the box for a direct message, such as 127.0.0.1",
      "type": "string", "maxLength": 255, "default": ""
    }
  }
}`

type settings struct {
	Rooms     []string `json:"rooms"`
	Password  string   `json:"password"`
	Title     string   `json:"title"`
	History   int      `json:"history"`
	SIPDomain string   `json:"sip_domain"`
}

// readSettings fills in the defaults and checks the table once more: what
// Rooms and History hold becomes part of keys and loops.
func readSettings(s sdk.Settings) (settings, error) {
	set := settings{Rooms: []string{"lobby"}, Title: "Parley", History: 1000}
	if len(s.JSON) > 0 {
		if err := s.Decode(&set); err != nil {
			return set, fmt.Errorf("settings: %w", err)
		}
	}
	for _, r := range set.Rooms {
		if name, err := checkName(r); err != nil || name != r {
			return set, fmt.Errorf("settings: rooms: %q is not a room name; give lower-case letters, digits, and - _ . between them", r)
		}
	}
	switch {
	case len(set.Rooms) == 0:
		return set, errors.New(`settings: rooms: empty; give at least one, such as ["lobby"]`)
	case set.History < 10:
		return set, errors.New("settings: history: too small; give at least 10")
	case set.SIPDomain != "" && checkPeer(event.Address("sip:x@"+set.SIPDomain)) != nil:
		return set, fmt.Errorf("settings: sip_domain: %q is not a domain; give one such as example.com", set.SIPDomain)
	}
	set.Title = strings.TrimSpace(clean(set.Title, false))
	return set, nil
}

func (s settings) hasRoom(name string) bool { return slices.Contains(s.Rooms, name) }
