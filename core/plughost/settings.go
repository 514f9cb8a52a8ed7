package plughost

import (
	"encoding/json"

	"parley.im/plugins/sdk/client"
)

// Problem is a mistake in a connector's settings.
type Problem = client.Problem

// CheckSettings returns all that is wrong with settings, a connector's table
// as JSON (nil means empty), by the JSON Schema of its description, sorted by
// path.
func CheckSettings(schema string, settings json.RawMessage) []Problem {
	return client.CheckSettings(schema, settings)
}
