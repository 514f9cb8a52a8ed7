package client_test

import (
	"slices"
	"strings"
	"testing"

	"parley.im/plugins/sdk/client"
)

const chatSchema = `{
  "type": "object", "additionalProperties": false, "required": ["token", "homeserver"],
  "properties": {
    "token": {"type": "string", "minLength": 8, "writeOnly": true},
    "homeserver": {"type": "string", "format": "uri", "description": "the base URL", "examples": ["https://matrix.example.org"]},
    "mode": {"enum": ["fast", "safe"]},
    "rooms": {"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {"limit": {"type": "integer", "maximum": 10}}}}
  }
}`

func TestSettingsAreCheckedAllAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name, settings string
		want           []string
	}{
		{"good", `{"token":"12345678","homeserver":"https://hs.org"}`, nil},
		{"empty", ``, []string{
			`homeserver: missing; give the base URL, such as "https://matrix.example.org"`, `token: missing`,
		}},
		{"many mistakes", `{"token":"s3cret","homeserver":"https://hs.org","mode":"slow","colour":1,"rooms":[{"limit":3},{"limit":11,"x":1}]}`, []string{
			`colour: unknown key; give one of homeserver, mode, rooms, token`,
			`mode: must be one of "fast", "safe"`,
			`rooms[1].limit: must be at most 10`,
			`rooms[1].x: unknown key; give one of limit`,
			`token: must have at least 8 characters`,
		}},
		{"wrong type", `{"token":["s3cret"],"homeserver":"https://hs.org"}`, []string{`token: must be of type string, not array`}},
		{"no table", `[`, []string{`: must be a table`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, p := range client.CheckSettings(chatSchema, []byte(tc.settings)) {
				got = append(got, p.Path+": "+p.Text)
				if strings.Contains(p.Text, "s3cret") {
					t.Errorf("the value is shown: %s", p.Text)
				}
			}
			same := slices.EqualFunc(got, tc.want, strings.HasPrefix)
			if !same {
				t.Errorf("%s:\ngot  %q\nwant %q", tc.settings, got, tc.want)
			}
		})
	}
}

func TestASchemaThatCannotBeUsedIsAProblem(t *testing.T) {
	for _, schema := range []string{`{`, `{"type": 7}`, `{"$ref": "https://example.com/other.json"}`, `{"$ref": "file:///etc/passwd"}`} {
		if got := client.CheckSettings(schema, nil); len(got) != 1 || !strings.Contains(got[0].Text, "schema") {
			t.Errorf("%s: got %v", schema, got)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add(chatSchema, []byte(`{"token":1}`))
	f.Add(`{"anyOf":[{"type":"string"},{"not":{}}]}`, []byte(`{}`))
	f.Add(`{"properties":{"a":true},"items":3}`, []byte(`{"a":{"b":[1]}}`))
	f.Fuzz(func(_ *testing.T, schema string, settings []byte) { client.CheckSettings(schema, settings) })
}
