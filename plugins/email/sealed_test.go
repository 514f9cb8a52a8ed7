package email

import (
	"bytes"
	"strings"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk/sdktest"
)

// C03: a signed or encrypted body reaches the mailbox byte for byte.
func TestSealedBodiesStayAsTheyAre(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	for mediaType, body := range map[string]string{
		`multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=s`: "--s\r\nContent-Type: text/plain\r\n\r\nI owe you. \r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nMIIB\r\n--s--\r\n",
		`multipart/encrypted; protocol="application/pgp-encrypted"; boundary=e`:                "--e\r\n\r\nVersion: 1\r\n--e--\r\n",
		"application/pkcs7-mime; smime-type=enveloped-data":                                    "\x30\x82\x00\xff\n",
	} {
		d := hello(body)
		d.MediaType = mediaType
		_, m := w.sent(d)
		h, got := read(t, m.Data)
		want := body
		if !strings.HasPrefix(mediaType, "application/") { // what the transport ends a mail with
			got = strings.TrimSuffix(got, "\r\n") + "\r\n"
		}
		kind, _, _ := strings.Cut(mediaType, ";")
		if !strings.HasPrefix(h.Get("Content-Type"), kind) || got != want {
			t.Errorf("%s arrives as %s\n%q", mediaType, h.Get("Content-Type"), got)
		}
		if !bytes.HasPrefix(m.Data, []byte("Received: ")) {
			t.Errorf("the mail begins %.60q", m.Data)
		}
	}
	d := hello("--s\r\n\r\n\xff\r\n--s--")
	d.MediaType = "multipart/signed; boundary=s"
	if _, err := sdktest.Deliver(t.Context(), w.connector, d); !event.IsPermanent(err) || !strings.Contains(err.Error(), "may not be changed") {
		t.Errorf("what no mail may have: %v", err)
	}
}
