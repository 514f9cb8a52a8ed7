package email

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"parley.im/bus/event"
)

// sealed are the types of bodies that are passed on byte for byte: signed, or
// encrypted for whoever reads the mail (RFC 1847, RFC 8551).
var sealed = []string{"multipart/signed", "multipart/encrypted", "application/pkcs7-mime"}

func isSealed(mediaType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(mediaType), ";")
	for _, s := range sealed {
		if strings.TrimSpace(kind) == s {
			return true
		}
	}
	return false
}

// seal writes a mail whose body is c. A multipart can't be encoded (RFC 2045,
// section 6.4), so it must be fit for every mail server as it is.
func seal(h *mail.Header, c event.Content) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(c.MediaType)
	if err != nil {
		return nil, fmt.Errorf("its type: %w", err)
	}
	transfer := "7bit"
	switch plain := fitsMail(c.Data); {
	case !plain && strings.HasPrefix(kind, "multipart/"):
		return nil, errors.New("the signed or encrypted body has bytes or lines that no mail may have, and may not be changed")
	case !plain:
		transfer = "base64"
	}
	h.SetContentType(kind, params)
	h.Set("Content-Transfer-Encoding", transfer)
	h.Set("Received", h.Get("Received")) // the trace stands above all else
	var b bytes.Buffer
	if strings.HasPrefix(kind, "multipart/") { // written by hand: a writer would make parts of it
		if err := writeHeader(&b, h); err != nil {
			return nil, err
		}
		b.Write(c.Data)
		return b.Bytes(), nil
	}
	w, err := message.CreateWriter(&b, h.Header)
	if err == nil {
		_, err = w.Write(c.Data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	return b.Bytes(), nil
}

// fitsMail tells whether a body is lines of ASCII that end in CRLF and have at
// most 998 bytes (RFC 5322, section 2.1.1).
func fitsMail(body []byte) bool {
	for line := range bytes.SplitSeq(body, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsFunc(line, func(r rune) bool { return r == '\r' || r == '\n' || r == 0 || r >= 0x80 }) {
			return false
		}
	}
	return true
}

func writeHeader(b *bytes.Buffer, h *mail.Header) error {
	fields := h.Fields()
	for fields.Next() {
		raw, err := fields.Raw()
		if err != nil {
			return fmt.Errorf("write mail: %w", err)
		}
		b.Write(raw)
	}
	b.WriteString("\r\n")
	return nil
}
