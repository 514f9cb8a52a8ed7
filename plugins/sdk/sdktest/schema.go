package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley.im/plugins/sdk/client"
)

func schemes(ctx context.Context, b *bench) error {
	p, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	schema := p.Description().Settings
	var rules struct {
		Properties map[string]struct{ Examples []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(schema), &rules); err != nil {
		return fmt.Errorf("the schema is not JSON: %w", err)
	}
	settings := map[string]json.RawMessage{}
	if len(b.o.Settings) > 0 {
		if err := json.Unmarshal(b.o.Settings, &settings); err != nil {
			return fmt.Errorf("the settings of this test: %w", err)
		}
	}
	for key := range settings {
		without := maps.Clone(settings)
		delete(without, key)
		if err := b.tells(ctx, schema, without, key); err != nil {
			return fmt.Errorf("without the key %q: %w", key, err)
		}
	}
	for key, of := range rules.Properties {
		for _, example := range of.Examples {
			with := maps.Clone(settings)
			with[key] = example
			if wrong := problems(schema, with); slices.ContainsFunc(wrong, about(key)) {
				return fmt.Errorf("its own example %s of %q is refused: %v", example, key, wrong)
			}
		}
	}
	return nil
}

// tells checks what happens without a key: the schema refuses the settings,
// Open takes them, or Open says by name what is missing.
func (b *bench) tells(ctx context.Context, schema string, settings map[string]json.RawMessage, key string) error {
	data, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	if wrong := client.CheckSettings(schema, data); len(wrong) > 0 {
		if named := func(p client.Problem) bool { return strings.Contains(p.Path+p.Text, key) }; !slices.ContainsFunc(wrong, named) {
			return fmt.Errorf("the schema finds other things wrong: %v", wrong)
		}
		return nil
	}
	other := *b
	other.o.Settings = data
	p, err := other.open(ctx)
	if err == nil {
		p.Kill()
		return nil
	}
	if !strings.Contains(err.Error(), key) {
		return fmt.Errorf("the schema finds nothing wrong, and it does not open without saying what is missing: %w", err)
	}
	return nil
}

func problems(schema string, settings map[string]json.RawMessage) []client.Problem {
	data, err := json.Marshal(settings)
	if err != nil {
		return []client.Problem{{Text: err.Error()}}
	}
	return client.CheckSettings(schema, data)
}

// about tells whether a problem is one of a key, or of something below it.
func about(key string) func(client.Problem) bool {
	return func(p client.Problem) bool {
		rest, ok := strings.CutPrefix(p.Path, key)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
}
