package mapping

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"

	"parley.im/bus/event"
)

// Entity reads a message as it stands in a file: MIME headers, an empty line,
// and the body, whose transfer encoding is undone as far as it can be. What has
// no Content-Type is plain text. A mail is such a file, too: of its headers only
// those of MIME count.
func Entity(data []byte) Message {
	r := bufio.NewReader(bytes.NewReader(data))
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil || h.Get("Content-Type") == "" {
		return Message{Content: event.Content{MediaType: "text/plain", Data: data}}
	}
	body, _ := io.ReadAll(r) // from memory
	body, _ = Decode(h.Get("Content-Transfer-Encoding"), body)
	return Message{Content: event.Content{MediaType: h.Get("Content-Type"), Data: body}}
}
