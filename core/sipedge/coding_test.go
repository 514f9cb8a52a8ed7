package sipedge

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"
)

// S09: a compressed body is what it is without compression, and no larger than
// any other may be.
func TestS09CompressedBodies(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	pack := func(to io.WriteCloser, into *bytes.Buffer, text string) string {
		_, _ = io.WriteString(to, text)
		_ = to.Close()
		return into.String()
	}
	deflate := func(text string) string { var b bytes.Buffer; return pack(zlib.NewWriter(&b), &b, text) }
	zip := func(text string) string { var b bytes.Buffer; return pack(gzip.NewWriter(&b), &b, text) }
	for _, tc := range []struct{ coding, body, status string }{
		{"deflate", deflate("grüße"), "202"},
		{"GZIP", zip("grüße"), "202"},
		{"identity", "grüße", "202"},
		{"deflate", deflate(strings.Repeat("x", 1<<20)), "413"},
		{"gzip", deflate("x"), "400"},
		{"deflate", deflate("grüße")[:8], "400"},
		{"deflate, gzip", "x", "415"},
	} {
		before := len(h.stored())
		if res := p.say(p.message("sip:bob@example.com", tc.body).with("Content-Encoding: " + tc.coding)); code(res) != tc.status {
			t.Errorf("%s: got %s", tc.coding, res)
		}
		stored := h.stored()[before:]
		if tc.status != "202" {
			if len(stored) > 0 {
				t.Errorf("%s: %d stored", tc.coding, len(stored))
			}
		} else if len(stored) != 1 || string(stored[0].Data) != "grüße" {
			t.Errorf("%s: stored %v", tc.coding, stored)
		}
	}
}
