package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The types of the events, as ce-type.
const (
	TypeInbound   = "im.parley.message.inbound.v1"
	TypeOutbound  = "im.parley.message.outbound.v1"
	TypeAccepted  = "im.parley.message.accepted.v1"
	TypeDelivered = "im.parley.message.delivered.v1"
	TypeDisplayed = "im.parley.message.displayed.v1"
	TypeFailed    = "im.parley.message.failed.v1"
	TypeDead      = "im.parley.message.dead.v1"
	TypeTyping    = "im.parley.typing.v1"
)

// MaxHeader is the most bytes the headers of one event may take on the wire.
const MaxHeader = 16 << 10

// ErrUnknown is returned by Decode for an event type or version that this
// program does not know. Such an event is kept, not dropped.
var ErrUnknown = errors.New("unknown event type")

// Event is an Inbound, Outbound, Status, Dead or Typing.
type Event interface {
	// Subject returns the public subject of the event.
	Subject() string
	// EventID returns the identity under which the bus stores it once.
	EventID() string
	// Type returns the CloudEvents type.
	Type() string
}

// Wire is an event as it stands on the bus: CloudEvents attributes as ce-…
// headers, and the body.
type Wire struct {
	Header map[string]string
	Data   []byte
}

// EventID returns the identity under which the bus stores e once.
func (e Inbound) EventID() string { return e.ID }

// EventID returns the identity under which the bus stores e once.
func (e Outbound) EventID() string { return e.ID }

// EventID returns the identity under which the bus stores e once.
func (e Status) EventID() string { return e.ID }

// EventID returns the identity under which the bus stores e once.
func (e Dead) EventID() string { return e.DeadID }

// EventID returns an id for the signal, which is not stored.
func (e Typing) EventID() string {
	return id("typing", e.Connector, e.Lane, e.Time.UTC().Format(time.RFC3339Nano))
}

// Type returns the CloudEvents type.
func (Inbound) Type() string { return TypeInbound }

// Type returns the CloudEvents type.
func (Outbound) Type() string { return TypeOutbound }

// Type returns the CloudEvents type.
func (e Status) Type() string { return "im.parley.message." + string(e.State) + ".v1" }

// Type returns the CloudEvents type.
func (Dead) Type() string { return TypeDead }

// Type returns the CloudEvents type.
func (Typing) Type() string { return TypeTyping }

// Encode returns the wire form of e. It fails when the headers would exceed
// MaxHeader. Controls, CR and LF never pass into a header: values are
// percent-encoded as the CloudEvents HTTP and NATS bindings say.
func Encode(e Event) (Wire, error) {
	f := &fields{header: map[string]string{}}
	f.set("specversion", "1.0")
	f.set("type", e.Type())
	var body []byte
	switch e := e.(type) {
	case Inbound:
		e.fields(f)
		body = e.Data
	case Outbound:
		e.fields(f)
		body = e.Data
	case Status:
		e.fields(f)
	case Dead:
		e.fields(f)
		body = e.Data
	case Typing:
		e.fields(f)
	default:
		return Wire{}, fmt.Errorf("encode %T: %w", e, ErrUnknown)
	}
	if f.err != nil {
		return Wire{}, fmt.Errorf("encode %s: %w", e.Type(), f.err)
	}
	size := 0
	for k, v := range f.header {
		size += len(k) + len(v) + len(": \r\n")
	}
	if size > MaxHeader {
		return Wire{}, fmt.Errorf("encode %s: headers of %d bytes, at most %d are allowed", e.Type(), size, MaxHeader)
	}
	return Wire{f.header, body}, nil
}

// Decode returns the event that w carries, by value. Its Data shares memory
// with w. Attributes it does not know are ignored.
func Decode(w Wire) (Event, error) {
	f := &fields{header: w.Header, reading: true}
	var (
		e   Event
		typ = w.Header["ce-type"]
	)
	switch typ {
	case TypeInbound:
		var in Inbound
		in.fields(f)
		in.Data = w.Data
		e = in
	case TypeOutbound:
		var out Outbound
		out.fields(f)
		out.Data = w.Data
		e = out
	case TypeAccepted, TypeDelivered, TypeDisplayed, TypeFailed:
		var st Status
		st.fields(f)
		st.State = State(strings.TrimSuffix(strings.TrimPrefix(typ, "im.parley.message."), ".v1"))
		e = st
	case TypeDead:
		var d Dead
		d.fields(f)
		d.Data = w.Data
		e = d
	case TypeTyping:
		var t Typing
		t.fields(f)
		e = t
	default:
		return nil, fmt.Errorf("decode %q: %w", typ, ErrUnknown)
	}
	if f.err != nil {
		return nil, fmt.Errorf("decode %s: %w", typ, f.err)
	}
	if e.EventID() == "" {
		return nil, fmt.Errorf("decode %s: no ce-id", typ)
	}
	return e, nil
}

func (e *Inbound) fields(f *fields) {
	text(f, "id", &e.ID)
	f.time("time", &e.Time)
	text(f, "lane", &e.Lane)
	e.Envelope.fields(f)
	e.Content.fields(f)
	f.source(&e.Origin)
}

func (e *Outbound) fields(f *fields) {
	text(f, "id", &e.ID)
	f.time("time", &e.Time)
	e.assignment(f)
	f.source(&e.Connector)
}

// assignment is what an Outbound and its dead letter share.
func (e *Outbound) assignment(f *fields) {
	text(f, "inbound", &e.Inbound)
	text(f, "target", &e.Target)
	text(f, "from", &e.From)
	text(f, "fromname", &e.FromName)
	f.int("generation", &e.Generation)
	text(f, "route", &e.Route)
	text(f, "mode", &e.Mode)
	text(f, "correspondent", &e.Correspondent)
	text(f, "lane", &e.Lane)
	text(f, "origin", &e.Origin)
	e.Envelope.fields(f)
	e.Content.fields(f)
}

func (e *Dead) fields(f *fields) {
	text(f, "id", &e.DeadID)
	f.time("time", &e.At)
	text(f, "outbound", &e.ID)
	f.time("assigned", &e.Outbound.Time)
	text(f, "reason", &e.Reason)
	text(f, "detail", &e.Detail)
	e.assignment(f)
	f.source(&e.Connector)
}

func (e *Envelope) fields(f *fields) {
	text(f, "kind", &e.Kind)
	text(f, "sender", &e.Sender)
	text(f, "sendername", &e.SenderName)
	text(f, "recipient", &e.Recipient)
	text(f, "conversation", &e.Conversation)
	text(f, "thread", &e.Thread)
	text(f, "inreplyto", &e.InReplyTo)
	text(f, "concerns", &e.Concerns)
	text(f, "title", &e.Title)
	text(f, "language", &e.Language)
	f.time("sent", &e.Sent)
	f.time("expires", &e.Expires)
	list(f, "wants", &e.Wants)
	text(f, "state", &e.State)
	f.bool("automatic", &e.Automatic)
	text(f, "nativeid", &e.NativeID)
	text(f, "messageid", &e.MessageID)
	f.files("files", &e.Files)
	text(f, "original", &e.Original)
	f.int("hops", &e.Hops)
	text(f, "mark", &e.Mark)
	text(f, "traceparent", &e.Traceparent)
}

func (c *Content) fields(f *fields) {
	text(f, "datacontenttype", &c.MediaType)
	text(f, "dataref", &c.Ref)
	text(f, "datasha256", &c.SHA256)
	size := uint64(c.Size)
	f.uint("datasize", &size)
	c.Size = int64(size)
}

func (e *Status) fields(f *fields) {
	text(f, "id", &e.ID)
	f.time("time", &e.Time)
	text(f, "outbound", &e.Outbound)
	text(f, "inbound", &e.Inbound)
	text(f, "target", &e.Target)
	text(f, "from", &e.From)
	text(f, "route", &e.Route)
	text(f, "lane", &e.Lane)
	f.int("generation", &e.Generation)
	text(f, "kind", &e.Kind)
	text(f, "sender", &e.Sender)
	text(f, "recipient", &e.Recipient)
	text(f, "conversation", &e.Conversation)
	text(f, "origin", &e.Origin)
	text(f, "nativeid", &e.NativeID)
	text(f, "messageid", &e.MessageID)
	f.time("sent", &e.Sent)
	text(f, "mode", &e.Mode)
	text(f, "thread", &e.Thread)
	list(f, "wants", &e.Wants)
	f.bool("automatic", &e.Automatic)
	list(f, "remoteids", &e.RemoteIDs)
	text(f, "anchor", &e.Anchor)
	text(f, "reason", &e.Reason)
	text(f, "detail", &e.Detail)
	list(f, "losses", &e.Losses)
	f.uint("settledthrough", &e.SettledThrough)
	f.source(&e.Connector)
}

func (e *Typing) fields(f *fields) {
	f.set("id", e.EventID())
	f.time("time", &e.Time)
	text(f, "lane", &e.Lane)
	text(f, "sender", &e.Sender)
	text(f, "recipient", &e.Recipient)
	f.bool("active", &e.Active)
	f.duration("refresh", &e.Refresh)
	f.source(&e.Connector)
}

// fields visits the attributes of an event, either to write them into header
// or to read them from it, so that each event lists its attributes once.
type fields struct {
	header  map[string]string
	reading bool
	err     error
}

const sourcePrefix = "/parley/"

// source carries the connector instance as the CloudEvents source.
func (f *fields) source(connector *string) {
	s := sourcePrefix + *connector
	text(f, "source", &s)
	*connector = strings.TrimPrefix(s, sourcePrefix)
}

func (f *fields) set(name, value string) {
	if !f.reading && value != "" {
		f.header["ce-"+name] = escape(value)
	}
}

func (f *fields) get(name string) string {
	v, err := unescape(f.header["ce-"+name])
	if err != nil {
		f.fail(name, err)
	}
	return v
}

func (f *fields) fail(name string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("ce-%s: %w", name, err)
	}
}

func text[T ~string](f *fields, name string, p *T) {
	if f.reading {
		*p = T(f.get(name))
		return
	}
	f.set(name, string(*p))
}

// list writes its members separated by spaces, each escaped on its own first,
// so that a member may itself contain a space.
func list[T ~string](f *fields, name string, p *[]T) {
	if !f.reading {
		members := make([]string, len(*p))
		for i, m := range *p {
			members[i] = escape(string(m))
		}
		f.set(name, strings.Join(members, " "))
		return
	}
	*p = nil
	for _, m := range strings.Fields(f.get(name)) {
		v, err := unescape(m)
		if err != nil {
			f.fail(name, err)
		}
		*p = append(*p, T(v))
	}
}

// fileJSON is a File as it stands in a header.
type fileJSON struct {
	Name   string `json:"name,omitempty"`
	Type   string `json:"type,omitempty"`
	Ref    string `json:"ref"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// files writes references to files as an array in JSON, whose bodies are in
// Media.
func (f *fields) files(name string, p *[]File) {
	if !f.reading {
		if len(*p) == 0 {
			return
		}
		list := make([]fileJSON, len(*p))
		for i, x := range *p {
			if x.Ref == "" {
				f.fail(name, fmt.Errorf("file %d is not in Media", i))
			}
			list[i] = fileJSON{x.Name, x.MediaType, x.Ref, x.SHA256, x.Size}
		}
		data, err := json.Marshal(list)
		if err != nil {
			f.fail(name, err)
		}
		f.set(name, string(data))
		return
	}
	*p = nil
	v := f.get(name)
	if v == "" {
		return
	}
	var list []fileJSON
	if err := json.Unmarshal([]byte(v), &list); err != nil {
		f.fail(name, err)
	}
	for _, x := range list {
		*p = append(*p, File{Name: x.Name, Content: Content{MediaType: x.Type, Ref: x.Ref, SHA256: x.SHA256, Size: max(x.Size, 0)}})
	}
}

func (f *fields) time(name string, p *time.Time) {
	if !f.reading {
		if !p.IsZero() {
			f.set(name, p.UTC().Format(time.RFC3339Nano))
		}
		return
	}
	*p = time.Time{}
	if v := f.get(name); v != "" {
		t, err := time.Parse(time.RFC3339Nano, v)
		if t = t.UTC(); err == nil && (t.Year() < 1 || t.Year() > 9999) {
			err = fmt.Errorf("year %d", t.Year())
		}
		if err != nil {
			f.fail(name, err)
		}
		*p = t
	}
}

func (f *fields) uint(name string, p *uint64) {
	if !f.reading {
		if *p != 0 {
			f.set(name, strconv.FormatUint(*p, 10))
		}
		return
	}
	*p = 0
	if v := f.get(name); v != "" {
		n, err := strconv.ParseUint(v, 10, 63)
		if err != nil {
			f.fail(name, err)
		}
		*p = n
	}
}

func (f *fields) int(name string, p *int) {
	n := uint64(max(*p, 0))
	f.uint(name, &n)
	*p = int(n)
}

func (f *fields) bool(name string, p *bool) {
	n := uint64(0)
	if *p {
		n = 1
	}
	f.uint(name, &n)
	*p = n == 1
}

func (f *fields) duration(name string, p *time.Duration) {
	n := uint64(max(*p, 0) / time.Second)
	f.uint(name, &n)
	*p = time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second
}

const hexDigits = "0123456789ABCDEF"

// escape percent-encodes what may not stand in a header value: the CloudEvents
// HTTP binding, section 3.1.3.2, asks it for space, the double quote, the
// percent sign and everything outside printable ASCII.
func escape(s string) string {
	if !strings.ContainsFunc(s, mustEscape) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; mustEscape(rune(c)) {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEscape(r rune) bool { return r <= ' ' || r == '"' || r == '%' || r >= 0x7f }

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("truncated percent-encoding")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("bad percent-encoding %q", s[i:i+3])
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// Names returns the names of the headers in w, sorted.
func (w Wire) Names() []string { return slices.Sorted(maps.Keys(w.Header)) }
