package imdn

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley.im/plugins/content/internal/xmltree"
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

// MaxSize is the largest document that Parse reads.
const MaxSize = 16 << 10 // bytes

const namespace = "urn:ietf:params:xml:ns:imdn"

// Parse reads a notification.
func Parse(data []byte) (n Notification, err error) {
	if len(data) > MaxSize {
		return n, fmt.Errorf("imdn: %d bytes; at most %d are read", len(data), MaxSize)
	}
	root, err := xmltree.Parse(data)
	if err != nil {
		return n, fmt.Errorf("imdn: %w", err)
	}
	if root.Name != "imdn" || root.Space != namespace {
		return n, fmt.Errorf("imdn: element %.40q is not imdn", root.Name)
	}
	for _, e := range root.Children {
		if e.Space != namespace {
			continue // an extension
		}
		if err := n.read(e); err != nil {
			return n, err
		}
	}
	switch {
	case n.MessageID == "" || len(n.MessageID) > MaxID:
		return n, errors.New("imdn: no message-id")
	case n.Kind == "":
		return n, errors.New("imdn: no status")
	}
	return n, nil
}

// read takes in an element of the notification.
func (n *Notification) read(e *xmltree.Element) error {
	switch e.Name {
	case "message-id":
		n.MessageID = e.Text
	case "datetime":
		n.DateTime, _ = time.Parse(time.RFC3339Nano, e.Text) // many clients are careless; nothing hangs on it
	case "recipient-uri":
		n.Recipient = e.Text
	case "original-recipient-uri":
		n.Original = e.Text
	}
	kind, about := strings.CutSuffix(e.Name, "-notification")
	if !about {
		return nil
	}
	for _, status := range e.Child("status").Children {
		if status.Space != namespace || !slices.Contains(statuses[Kind(kind)], Status(status.Name)) {
			continue
		}
		if n.Kind != "" {
			return errors.New("imdn: more than one status")
		}
		n.Kind, n.Status = Kind(kind), Status(status.Name)
	}
	return nil
}

// XML writes the notification, as short as can be.
func (n Notification) XML() []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<imdn xmlns="` + namespace + `">`)
	element := func(name, text string) {
		if text != "" {
			b.WriteString("<" + name + ">" + xmltree.Escape(text) + "</" + name + ">")
		}
	}
	element("message-id", n.MessageID)
	element("datetime", n.DateTime.UTC().Format(time.RFC3339))
	element("recipient-uri", n.Recipient)
	element("original-recipient-uri", n.Original)
	fmt.Fprintf(&b, "<%s-notification><status><%s/></status></%s-notification></imdn>", n.Kind, n.Status, n.Kind)
	return b.Bytes()
}
