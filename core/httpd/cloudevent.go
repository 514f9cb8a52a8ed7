package httpd

import (
	"encoding/json"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"parley.im/bus/event"
)

// structured returns e in CloudEvents' JSON form, on one line: its attributes
// as on the bus, the sequence in its stream as extension "sequence", and if
// body is set the message as data or data_base64.
func structured(seq uint64, e event.Event, body bool) ([]byte, error) {
	wire, err := event.Encode(e)
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, len(wire.Header)+2)
	for name, value := range wire.Header {
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(name, "ce-")] = plain
	}
	if seq != 0 {
		out["sequence"] = strconv.FormatUint(seq, 10)
	}
	if body && len(wire.Data) > 0 {
		name, value := dataMember(wire.Header["ce-datacontenttype"], wire.Data)
		out[name] = value
	}
	return json.Marshal(out)
}

// dataMember follows the CloudEvents JSON format, section 3.1: JSON as it is,
// text as a string, all else as base64.
func dataMember(escapedType string, data []byte) (name string, value any) {
	contentType, err := url.PathUnescape(escapedType)
	if err != nil {
		return "data_base64", data
	}
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case (media == "application/json" || strings.HasSuffix(media, "+json")) && json.Valid(data):
		return "data", json.RawMessage(data)
	case strings.HasPrefix(media, "text/") && utf8.Valid(data):
		return "data", string(data)
	}
	return "data_base64", data
}
