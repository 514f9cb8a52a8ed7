package main

import (
	"testing"

	"parley.im/core/sipedge/uac"
)

// A type that nobody takes where a message goes is refused at once, S09; a phone
// is asked itself.
func TestATypeThatNobodyTakesIsRefused(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	c, err := uac.Dial(t.Context(), uac.Config{Server: at(b.sip), Network: "udp", From: "sip:alice@127.0.0.1", User: "alice", Password: password("alice")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tc := range []struct {
		to, contentType string
		code            int
	}{
		{"web-ann", "application/pkcs7-mime", 415}, {"web-ann", "video/mp4", 202}, {"web-ann", "text/html", 202}, {"bob", "application/pkcs7-mime", 202},
	} {
		a, err := c.Send(t.Context(), "sip:"+tc.to+"@127.0.0.1", tc.contentType, []byte("x"))
		if err != nil || a.Code != tc.code {
			t.Errorf("%s to %s: %v %v", tc.contentType, tc.to, a, err)
		}
	}
}
