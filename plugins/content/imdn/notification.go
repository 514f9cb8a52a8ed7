package imdn

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Kind is what a notification is about.
type Kind string

// The kinds of notifications (RFC 5438, section 7).
const (
	Delivery   Kind = "delivery"
	Processed  Kind = "processing"
	Displaying Kind = "display"
)

// Status is what a notification says.
type Status string

// The statuses of notifications. Which goes with which kind is checked.
const (
	Delivered Status = "delivered"
	Failed    Status = "failed"
	Forbidden Status = "forbidden"
	Error     Status = "error"
	Handled   Status = "processed"
	Stored    Status = "stored"
	Displayed Status = "displayed"
)

// statuses are those of each kind.
var statuses = map[Kind][]Status{
	Delivery:   {Delivered, Failed, Forbidden, Error},
	Processed:  {Handled, Stored, Forbidden, Error},
	Displaying: {Displayed, Forbidden, Error},
}

// Notification says what became of a message.
type Notification struct {
	MessageID string    // of the message it is about
	DateTime  time.Time // when that was sent
	Recipient string    // URI of whom it had reached; may be empty
	Original  string    // URI that its sender had dialled; may be empty
	Kind      Kind
	Status    Status
}

// Limits of what Parse takes.
const (
	MaxSize  = 16 << 10 // bytes
	maxDepth = 8
)

const namespace = "urn:ietf:params:xml:ns:imdn"

// Parse reads a notification.
func Parse(data []byte) (n Notification, err error) {
	if len(data) > MaxSize {
		return n, fmt.Errorf("imdn: %d bytes; at most %d are read", len(data), MaxSize)
	}
	r := reader{}
	if err := r.read(xml.NewDecoder(bytes.NewReader(data))); err != nil {
		return n, fmt.Errorf("imdn: %w", err)
	}
	switch {
	case r.n.MessageID == "" || len(r.n.MessageID) > MaxID:
		return n, errors.New("imdn: no message-id")
	case r.n.Kind == "" || r.n.Status == "":
		return n, errors.New("imdn: no status")
	}
	return r.n, nil
}

// A reader walks through a document.
type reader struct {
	n    Notification
	path []string
	text strings.Builder
}

func (r *reader) read(d *xml.Decoder) error {
	began := false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && began {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.Directive:
			return errors.New("a document type is not taken")
		case xml.StartElement:
			if err := r.open(t.Name, began); err != nil {
				return err
			}
			began = true
		case xml.EndElement:
			if err := r.close(); err != nil {
				return err
			}
		case xml.CharData:
			if len(r.path) > 0 {
				r.text.Write(t)
			}
		}
	}
}

func (r *reader) open(name xml.Name, began bool) error {
	switch {
	case len(r.path) == 0 && (began || name.Local != "imdn" || name.Space != namespace):
		return fmt.Errorf("element %q is not imdn", name.Local)
	case len(r.path) == maxDepth:
		return fmt.Errorf("more than %d elements in one another", maxDepth)
	}
	if name.Space != namespace {
		name.Local = "" // an extension
	}
	r.path = append(r.path, name.Local)
	r.text.Reset()
	return nil
}

// close takes in the element that ends.
func (r *reader) close() error {
	path := strings.Join(r.path[1:], "/")
	r.path = r.path[:len(r.path)-1]
	text := strings.TrimSpace(r.text.String())
	r.text.Reset()
	switch path {
	case "message-id":
		r.n.MessageID = text
	case "datetime":
		r.n.DateTime, _ = time.Parse(time.RFC3339Nano, text) // many clients are careless; nothing hangs on it
	case "recipient-uri":
		r.n.Recipient = text
	case "original-recipient-uri":
		r.n.Original = text
	}
	kind, status, ok := strings.Cut(path, "-notification/status/")
	if !ok || !slices.Contains(statuses[Kind(kind)], Status(status)) {
		return nil
	}
	if r.n.Kind != "" {
		return errors.New("more than one status")
	}
	r.n.Kind, r.n.Status = Kind(kind), Status(status)
	return nil
}

// XML writes the notification, as short as can be.
func (n Notification) XML() []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<imdn xmlns="` + namespace + `">`)
	element := func(name, text string) {
		if text == "" {
			return
		}
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(&b, []byte(text)) // into memory
		b.WriteString("</" + name + ">")
	}
	element("message-id", n.MessageID)
	element("datetime", n.DateTime.UTC().Format(time.RFC3339))
	element("recipient-uri", n.Recipient)
	element("original-recipient-uri", n.Original)
	fmt.Fprintf(&b, "<%s-notification><status><%s/></status></%s-notification></imdn>", n.Kind, n.Status, n.Kind)
	return b.Bytes()
}
