package mapping

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"net/textproto"
	"strings"

	"parley.im/bus/event"
)

// Entity reads a message as it stands in a file: MIME headers, an empty line,
// and the body, whose transfer encoding is undone as far as it can be. What has
// no Content-Type is plain text. A mail is such a file, too: of its headers only
// those of MIME count.
func Entity(data []byte) Message {
	h, body := headed(data)
	body, _ = Decode(h.Get("Content-Transfer-Encoding"), body)
	return Message{Content: event.Content{MediaType: cmp.Or(h.Get("Content-Type"), "text/plain"), Data: body}}
}

// headed divides an entity into its header and its body. What has no header of
// MIME is a body.
func headed(data []byte) (h textproto.MIMEHeader, body []byte) {
	r := bufio.NewReader(bytes.NewReader(data))
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return nil, data
	}
	for name := range h {
		if strings.HasPrefix(name, "Content-") {
			body, _ = io.ReadAll(r) // from memory
			return h, body
		}
	}
	return nil, data
}
