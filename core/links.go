package core

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley.im/bus"
	"parley.im/bus/event"
	"parley.im/core/httpd"
	"parley.im/plugins/content/mapping"
)

// linkTag is how much of a link's HMAC-SHA256 it carries, in bytes.
const linkTag = 16

// linkBase returns the address below which the parts of a message can be
// fetched until the link expires. The link names the message's place in the
// log: nothing is stored for it, and what is erased or too old is gone for
// links, too.
func (h *Host) linkBase(_ event.Outbound, seq uint64) string {
	f := h.now().config.Files
	if f.Links == "" {
		return ""
	}
	return strings.TrimSuffix(f.Links, "/") + httpd.FilesPath + linkToken(h.linkKey, seq, time.Now().Add(f.Expire))
}

// linked tells whether what is no text can become a link.
func (h *Host) linked() bool { return h.now().config.Files.Links != "" }

// linkToken names a place in the log and when the link expires, which nobody
// can change or guess.
func linkToken(key []byte, seq uint64, until time.Time) string {
	b := binary.AppendUvarint(nil, seq)
	b = binary.AppendUvarint(b, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, linkMAC(key, b)...))
}

func linkMAC(key, what []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("link\x00"))
	m.Write(what)
	return m.Sum(nil)[:linkTag]
}

// readLink returns the place in the log that a token names.
func readLink(key []byte, token string, now time.Time) (seq uint64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) <= linkTag || !hmac.Equal(b[len(b)-linkTag:], linkMAC(key, b[:len(b)-linkTag])) {
		return 0, httpd.ErrNoFile
	}
	b = b[:len(b)-linkTag]
	seq, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, httpd.ErrNoFile
	}
	until, m := binary.Uvarint(b[n:])
	if m <= 0 || n+m != len(b) {
		return 0, httpd.ErrNoFile
	}
	if !now.Before(time.Unix(int64(until), 0)) {
		return 0, httpd.ErrFileGone
	}
	return seq, nil
}

// file opens the part of a message that a link leads to.
func (h *Host) file(ctx context.Context, token, path string) (f httpd.File, err error) {
	seq, err := readLink(h.linkKey, token, time.Now())
	if err != nil {
		return f, err
	}
	rec, err := h.bus.At(ctx, bus.Outbounds, seq)
	o, ok := rec.Event.(event.Outbound)
	switch {
	case errors.Is(err, bus.ErrNotFound), err == nil && !ok:
		return f, httpd.ErrFileGone
	case err != nil:
		return f, err
	}
	part, err := h.partOf(ctx, o, path)
	if err != nil {
		return f, err
	}
	if mapping.Refused(part, h.now().config.Files.Refuse) {
		return f, fmt.Errorf("%w: files like %s are not passed on here", httpd.ErrFileRefused, part.Name)
	}
	body, err := h.bus.Media().Open(ctx, part.Content)
	if errors.Is(err, bus.ErrNotFound) {
		err = httpd.ErrFileGone
	}
	if err != nil {
		return f, err
	}
	h.Log.Info("file fetched by a link", "message", o.ID, "part", path)
	return httpd.File{Name: part.Name, MediaType: part.MediaType, Size: max(part.Size, int64(len(part.Data))), Body: body}, nil
}

// partOf returns the part of a message that a path names.
func (h *Host) partOf(ctx context.Context, o event.Outbound, path string) (part event.File, err error) {
	c := o.Content
	if c.Ref != "" && c.Size <= mapping.MaxOpen {
		if c, err = h.bus.Load(ctx, c); errors.Is(err, bus.ErrNotFound) {
			return part, httpd.ErrFileGone
		}
	}
	if err != nil {
		return part, err
	}
	part, err = mapping.Part(mapping.Message{Content: c, Files: o.Files}, path)
	if errors.Is(err, mapping.ErrNoPart) || errors.Is(err, mapping.ErrEncrypted) {
		err = httpd.ErrNoFile
	}
	return part, err
}
