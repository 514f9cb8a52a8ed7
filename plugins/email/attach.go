package email

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"parley.im/bus/event"
	"parley.im/plugins/content"
	"parley.im/plugins/sdk"
)

// maxFile is the largest file that is attached to a mail, in bytes: many
// servers take 25 MB, and a third is added on the way.
const maxFile = 15 << 20

// notAttached is what Deliver loses when the mail server takes no mail so
// large.
const notAttached content.Loss = "files too large for the mail server"

// errNoFile says that a file is not kept any more.
var errNoFile = event.Permanent(errors.New("a file of the message is not kept any more"))

// attach has a mail carry files. They are read while it is sent.
func attach(ctx context.Context, m *outgoing, media sdk.Media, said wording, files []event.File) {
	m.size = int64(len(m.data)) + 1024
	for _, f := range files {
		m.size += base64Size(max(f.Size, int64(len(f.Data)))) + 512
	}
	h := m.header
	m.write = func(w io.Writer) error { return mixed(ctx, w, h, media, said, files) }
}

// base64Size is the size of n bytes as base64 in lines.
func base64Size(n int64) int64 {
	encoded := int64(base64.StdEncoding.EncodedLen(int(n)))
	return encoded + encoded/38
}

// mixed writes a mail of words and files (RFC 2046, section 5.1.3).
func mixed(ctx context.Context, to io.Writer, h *mail.Header, media sdk.Media, said wording, files []event.File) error {
	h.Del("Content-Transfer-Encoding")
	divide(h, "multipart/mixed", nil)
	w, err := message.CreateWriter(to, h.Header)
	if err == nil {
		err = writeWords(w, said)
	}
	for _, f := range files {
		if err == nil {
			err = writeFile(ctx, w, media, f)
		}
	}
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	return w.Close()
}

func writeWords(w *message.Writer, said wording) error {
	pieces := said.pieces()
	if len(pieces) == 1 {
		return part(w, pieces[0])
	}
	var h message.Header
	h.SetContentType("multipart/alternative", nil)
	forms, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if err := part(forms, p); err != nil {
			return err
		}
	}
	return forms.Close()
}

func writeFile(ctx context.Context, w *message.Writer, media sdk.Media, f event.File) error {
	body, err := media.Open(ctx, f.Content)
	if errors.Is(err, sdk.ErrNotFound) {
		return errNoFile
	}
	if err != nil {
		return event.Retry(event.ScopeMessage, 0, fmt.Errorf("open a file: %w", err))
	}
	defer body.Close()
	var h message.Header
	kind, params, err := mime.ParseMediaType(f.MediaType)
	if err != nil {
		kind, params = "application/octet-stream", nil
	}
	h.SetContentType(kind, params)
	h.SetContentDisposition("attachment", map[string]string{"filename": f.Name})
	h.Set("Content-Transfer-Encoding", "base64")
	p, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	if _, err := io.Copy(p, body); err != nil {
		return err
	}
	return p.Close()
}
