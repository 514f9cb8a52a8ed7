package event

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A yaml is a document that is written line by line.
type yaml struct{ strings.Builder }

func (y *yaml) line(depth int, format string, args ...any) {
	fmt.Fprintf(y, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
}

// asyncAPI describes what subscribers can receive, as AsyncAPI 3.0.
func asyncAPI(t *testing.T) string {
	y := &yaml{}
	y.line(0, "# Made from the types of bus/event by \"go generate ./bus/event\".")
	y.line(0, "asyncapi: 3.0.0")
	y.line(0, "info:")
	y.line(1, "title: Parley events")
	y.line(1, "version: 1.0.0")
	y.line(1, "description: %q", "What happens to messages in a Parley bridge, as CloudEvents 1.0 in the binary mode of the NATS binding. "+
		"Each stored event is also in its stream, under its subject preceded by stored. (see docs/events.md).")
	y.line(0, "defaultContentType: application/octet-stream")
	y.line(0, "servers:")
	y.line(1, "bus:")
	y.line(2, "host: 127.0.0.1:4222")
	y.line(2, "protocol: nats")
	y.line(2, "description: %q", "bus.listen of bridge.toml, with the nkey of a subscriber")
	y.line(0, "channels:")
	for _, k := range kinds {
		channel(y, k.name, address(k.name, k.event), k.types, k.about)
	}
	y.line(0, "operations:")
	for _, k := range kinds {
		y.line(1, "%s:", k.name)
		y.line(2, "action: send")
		y.line(2, "summary: %q", k.about)
		y.line(2, "channel: { $ref: %q }", "#/channels/"+k.name)
	}
	y.line(0, "components:")
	y.line(1, "messages:")
	for _, k := range kinds {
		for _, typ := range k.types {
			message(y, k.name, typ, k.about)
		}
	}
	y.line(1, "schemas:")
	for _, k := range kinds {
		headers(t, y, k.name, k.event)
	}
	return y.String()
}

var captured = regexp.MustCompile(`\{(\w+)\}`)

var parameters = map[string]string{
	"connector": "instance of the connector, or sip",
	"lane":      "opaque token of the lane",
	"partition": "0 to 63, of the lane",
}

func channel(y *yaml, name, address string, types []string, about string) {
	y.line(1, "%s:", name)
	y.line(2, "address: %q", address)
	y.line(2, "description: %q", about)
	y.line(2, "parameters:")
	for _, m := range captured.FindAllStringSubmatch(address, -1) {
		y.line(3, "%s: { description: %q }", m[1], parameters[m[1]])
	}
	y.line(2, "messages:")
	for _, typ := range types {
		y.line(3, "%s: { $ref: %q }", short(typ), "#/components/messages/"+short(typ))
	}
}

// short is the part of a type that tells it from the others.
func short(typ string) string {
	parts := strings.Split(typ, ".")
	return parts[len(parts)-2]
}

func message(y *yaml, name, typ, about string) {
	y.line(2, "%s:", short(typ))
	y.line(3, "name: %q", typ)
	y.line(3, "summary: %q", about)
	y.line(3, "headers:")
	y.line(4, "allOf:")
	y.line(5, "- { $ref: %q }", "#/components/schemas/"+name+"Headers")
	y.line(5, "- { properties: { ce-type: { const: %q } } }", typ)
	if name != "status" && name != "signal" {
		y.line(3, "payload:")
		y.line(4, "description: %q", "the message's MIME body exactly as it came, of the type in ce-datacontenttype; empty when ce-dataref names it")
	}
}

// headers writes the schema of an event's headers.
func headers(t *testing.T, y *yaml, name string, e Event) {
	described := comments(t)
	y.line(2, "%sHeaders:", name)
	y.line(3, "type: object")
	y.line(3, "required: [%s]", strings.Join(base, ", "))
	y.line(3, "properties:")
	y.line(4, "ce-specversion: { type: string, const: \"1.0\" }")
	y.line(4, "ce-type: { type: string, description: %q }", "which event it is, and the version of its form")
	if name == "signal" {
		y.line(4, "ce-id: { type: string, description: %q }", "identity")
	}
	for _, a := range attributes(t, e) {
		schema := ""
		switch form(a.field) {
		case "time":
			schema = ", format: date-time"
		case "seconds", "number":
			schema = `, pattern: "^[0-9]+$"`
		case "flag":
			schema = `, const: "1"`
		case "one of":
			schema = ", enum: [" + strings.Join(values(described, a.field.Type), ", ") + "]"
		}
		text := a.text
		switch form(a.field) {
		case "seconds":
			text += "; in seconds"
		case "list":
			text += "; members separated by an encoded space, each percent-encoded before the whole is"
		}
		y.line(4, "%s: { type: string%s, description: %q }", a.header, schema, text)
	}
}
