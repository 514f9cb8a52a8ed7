package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Problem is a mistake in a connector's settings.
type Problem struct {
	Path string // below the connector's table, such as "rooms[0]"; empty for the table itself
	Text string // what it must be; never the value, which may be a secret
}

// maxSchema is the largest schema in bytes that is looked at.
const maxSchema = 256 << 10

// CheckSettings returns all that is wrong with settings, a connector's table
// as JSON (nil means empty), by the JSON Schema of its description, sorted by
// path. An unusable schema is a problem too. An empty schema takes anything.
func CheckSettings(schema string, settings json.RawMessage) []Problem {
	if schema == "" {
		return nil
	}
	rules, doc, err := compile(schema)
	if err != nil {
		return []Problem{{Text: fmt.Sprintf("the connector's own schema can't be used: %v", err)}}
	}
	if len(settings) == 0 {
		settings = json.RawMessage("{}")
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(settings))
	if err != nil {
		return []Problem{{Text: fmt.Sprintf("must be a table: %v", err)}}
	}
	err = rules.Validate(v)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		if err != nil {
			return []Problem{{Text: err.Error()}}
		}
		return nil
	}
	found := collect(wrong, doc, nil)
	slices.SortFunc(found, func(a, b Problem) int {
		return strings.Compare(a.Path+"\x00"+a.Text, b.Path+"\x00"+b.Text)
	})
	return slices.Compact(found)
}

// closed lets a schema refer to itself only.
type closed struct{}

func (closed) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s; a schema must be complete", url)
}

func compile(schema string) (*jsonschema.Schema, any, error) {
	if len(schema) > maxSchema {
		return nil, nil, fmt.Errorf("%d bytes; at most %d are read", len(schema), maxSchema)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		return nil, nil, err
	}
	const name = "connector:settings"
	c := jsonschema.NewCompiler()
	c.UseLoader(closed{})
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		return nil, nil, err
	}
	rules, err := c.Compile(name)
	return rules, doc, err
}

// collect turns the leaves of the error into problems.
func collect(e *jsonschema.ValidationError, schema any, found []Problem) []Problem {
	if choice(e) || len(e.Causes) == 0 {
		return append(found, problems(e, schema)...)
	}
	for _, cause := range e.Causes {
		found = collect(cause, schema, found)
	}
	return found
}

// choice tells whether e is about alternatives, whose causes are no mistakes
// of their own.
func choice(e *jsonschema.ValidationError) bool {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains:
		return true
	}
	return false
}

// problems words one leaf.
func problems(e *jsonschema.ValidationError, schema any) []Problem {
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		var list []Problem
		for _, name := range k.Missing {
			sub := append(slices.Clone(at), name)
			list = append(list, Problem{path(sub), "missing" + hint(schema, sub)})
		}
		return list
	case *kind.AdditionalProperties:
		var list []Problem
		for _, name := range k.Properties {
			list = append(list, Problem{path(append(slices.Clone(at), name)), "unknown key" + known(schema, at)})
		}
		return list
	}
	return []Problem{{path(at), words(e.ErrorKind) + hint(schema, at)}}
}

// words says what a value must be, without showing it.
func words(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be of type " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.Enum:
		return "must be one of " + values(k.Want)
	case *kind.Const:
		return "must be " + values([]any{k.Want})
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be more than " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "must be less than " + k.Want.RatString()
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d members", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d members", k.Want)
	case *kind.UniqueItems:
		return "must not have a member twice"
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.Format:
		return "must be a valid " + k.Want
	}
	return "must be valid by " + strings.Join(k.KeywordPath(), ".")
}

func values(list []any) string {
	out := make([]string, len(list))
	for i, v := range list {
		b, err := json.Marshal(v)
		if err != nil {
			b = []byte("?")
		}
		out[i] = string(b)
	}
	return strings.Join(out, ", ")
}

// path writes a location as bridge.toml does: rooms[0].name.
func path(at []string) string {
	var b strings.Builder
	for _, step := range at {
		switch {
		case isNumber(step):
			b.WriteString("[" + step + "]")
		case b.Len() > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	return b.String()
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// hint is the way out: what the schema says of the value, and an example.
func hint(schema any, at []string) string {
	s := below(schema, at)
	var out string
	if d, _ := s["description"].(string); d != "" {
		out = "; give " + d
	}
	if examples, _ := s["examples"].([]any); len(examples) > 0 {
		if out == "" {
			out = "; give a value"
		}
		return out + ", such as " + values(examples[:1])
	}
	return out
}

// known lists the keys that a table may have.
func known(schema any, at []string) string {
	props, _ := below(schema, at)["properties"].(map[string]any)
	if len(props) == 0 {
		return ""
	}
	names := make([]string, 0, len(props))
	for name := range props {
		names = append(names, name)
	}
	slices.Sort(names)
	return "; give one of " + strings.Join(names, ", ")
}

// below follows a location through properties and items, as far as the schema
// spells them out.
func below(schema any, at []string) map[string]any {
	s, _ := schema.(map[string]any)
	for _, step := range at {
		props, _ := s["properties"].(map[string]any)
		next, ok := props[step].(map[string]any)
		if !ok {
			next, _ = s["items"].(map[string]any)
		}
		s = next
	}
	return s
}
