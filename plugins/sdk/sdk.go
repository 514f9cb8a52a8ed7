// Package sdk is what a connector author needs: the contract between Parley
// and one chat network, and Serve, which turns a Connector into a program that
// the host starts as a child process.
//
// The host owns policy: order, pace, retry, backoff, expiry, mapping, id maps,
// thread anchors and dead letters. A connector has no retry loop. It translates
// between its network and package event, and says truthfully what happened.
package sdk

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk/wire"
)

// Connector joins one chat network to the bridge.
type Connector interface {
	// Describe says what the connector is and can do. It does no I/O and may
	// be called before Open and without it.
	Describe() Description
	// Open connects to the network and returns when Deliver may be called. It
	// is called once. The Host may be used until Close returns.
	Open(ctx context.Context, s Settings, h Host) error
	// Deliver hands over one message and returns what the network made of it.
	// It may be called from several goroutines at once (for one target never
	// more than Description.Gate allows), and again with the same delivery
	// after a crash. An error is event.Permanent, event.Refused or event.Retry
	// where the connector knows; any other error means that the outcome is
	// unknown: the host asks Find, or tries again later. Beside an error the
	// receipt may name the Anchor of a thread that stands already, so that who
	// answers there is understood while the rest is on its way.
	Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error)
	// Close leaves the network. No other method is called after it.
	Close(ctx context.Context) error
}

// Finder is implemented by a connector that can tell whether an interrupted
// Deliver reached the network.
type Finder interface {
	// Find returns the receipt of an earlier Deliver of d, if the network has
	// it. found=false means that it was certainly not sent; an error means
	// unknown, and the host asks again later. first is the earliest time at
	// which a Deliver of d may have begun.
	Find(ctx context.Context, d event.Delivery, first time.Time) (r event.Receipt, found bool, err error)
}

// Description is what a connector is and can do, as data, for it crosses a
// process boundary.
type Description struct {
	Network  string       // such as "slack"; letters, digits and "-"
	Version  string       // of the connector, for people
	Schemes  []string     // address schemes it delivers to and may name as sender
	Kinds    []event.Kind // kinds that Deliver takes; KindMessage at least
	Types    []string     // MIME types that Deliver takes, best first: the host maps to them; "text/*" and "*/*" are understood
	MaxBytes int          // largest body in bytes that Deliver takes; 0 means the host's limit
	MaxFile  int64        // largest file in bytes that Deliver takes beside the text; 0: none, files become links in the text
	Gate     Gate         // pace towards one target address
	HTTP     bool         // it serves HTTP behind the host's door: see Host.Serve
	// Public are prefixes of paths, such as "/events", that the door lets
	// anybody ask for, also without its password: the connector authenticates
	// the caller there itself.
	Public []string
	// States are those it wants to be told by deliveries of KindStatus; none
	// means all.
	States   []event.State
	Find     bool   // set by Serve when the connector implements Finder
	Settings string // JSON Schema of its table in bridge.toml
}

// Gate is the pace towards one target address. Zero values mean no limit.
type Gate struct {
	Outstanding int           // deliveries at once
	Every       time.Duration // at most one delivery begins in this time
}

// Settings is the connector's table in bridge.toml, checked against its schema.
type Settings struct {
	Instance string // the connector's name in bridge.toml
	JSON     json.RawMessage
	// Places are the addresses of this connector that routes name: the rooms
	// and channels it has to be in.
	Places []event.Address
}

// Decode unmarshals the table into v.
func (s Settings) Decode(v any) error { return json.Unmarshal(s.JSON, v) }

// Errors that a Host returns, for errors.Is.
var (
	ErrConflict = wire.ErrConflict // State.Put, State.Delete: another revision is there
	ErrNotFound = wire.ErrNotFound // State.Get, Media.Open
	ErrRefused  = wire.ErrRefused  // Put, Accepts: it will never be taken
	ErrBusy     = wire.ErrBusy     // Put: say so to the network, so that it tries again
	ErrClosed   = wire.ErrClosed   // any
)

// Host is what a connector may ask of the bridge. Its methods may be called
// from several goroutines. Put, Signal and Accepts wait while the host starts,
// so Open does not call them: it leaves that to a goroutine.
type Host interface {
	// Put hands over a message that came in and returns its event id once it
	// is stored. The connector fills Sender, Recipient, NativeID (the
	// network's own id: the same message twice has the same one), Content and
	// what else it knows of the Envelope; the host sets the rest. Putting the
	// same NativeID again is harmless and returns the same id. Only after Put
	// has returned may the network be told that the message was taken.
	//
	// Thread is in the words of an anchor. Where it is one that the host knows,
	// Recipient may be empty: the host knows whom the conversation is with. In
	// a direct conversation the thread becomes the anchor for what goes back.
	Put(ctx context.Context, in event.Inbound) (id string, err error)
	// Signal tells that somebody is composing. It is best effort.
	Signal(ctx context.Context, t event.Typing) error
	// Report tells what the network said later about a delivery.
	Report(ctx context.Context, r event.Report) error
	// Accepts tells whether Put would take a message with the Sender,
	// Recipient and Thread of in: nil, or ErrRefused with the reason. Without
	// a Sender it tells whether there is such a recipient for anybody.
	Accepts(ctx context.Context, in event.Inbound) error
	// State is the connector's durable key-value store.
	State() State
	// Media keeps large bodies.
	Media() Media
	// Serve serves h behind the host's HTTP door, under /c/<instance>/, until
	// Close. The prefix is stripped; X-Forwarded-Prefix has it. It returns at
	// once.
	Serve(h http.Handler) error
	// Log writes into the host's log.
	Log() *slog.Logger
}

// Entry is one key of State.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// State is a small durable key-value store of a connector instance. Keys are
// UTF-8 up to 256 bytes, values up to 64 KiB. Writes return when stored.
type State interface {
	// Get returns the entry, or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Put stores value if the key still has the revision (0: does not exist)
	// and returns the new one, or ErrConflict.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes the key if it still has the revision, or ErrConflict.
	Delete(ctx context.Context, key string, revision uint64) error
	// List returns up to limit entries whose keys begin with prefix and come
	// after after, in key order.
	List(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
}

// Media streams bodies too large for an event.
type Media interface {
	// Store keeps what r yields and returns a Content with Ref, SHA256 and
	// Size for it.
	Store(ctx context.Context, mediaType string, r io.Reader) (event.Content, error)
	// Open returns the body that c refers to, whether in Data or Ref.
	Open(ctx context.Context, c event.Content) (io.ReadCloser, error)
}
