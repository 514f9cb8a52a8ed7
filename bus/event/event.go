// Package event is Parley's vocabulary: what happens to a message, as plain
// data, and the form these facts take on the bus (CloudEvents 1.0, NATS
// binding, binary mode). It knows no network and imports the standard library
// only, so that connectors, stages and subscribers all speak the same words.
//
// A message enters the bridge as an Inbound, is assigned to each target as an
// Outbound, and what became of it is a Status. A failed Outbound is kept whole
// as a Dead. Typing is a signal: it is never stored.
package event

import "time"

// Kind says what a message is for. Connectors declare the kinds they take; the
// host degrades or drops the others.
type Kind string

// The kinds of a message.
const (
	KindMessage Kind = "message" // something a person said
	KindEdit    Kind = "edit"    // replaces an earlier message
	KindRedact  Kind = "redact"  // withdraws an earlier message
	KindReact   Kind = "react"   // a reaction to an earlier message
	KindStatus  Kind = "status"  // tells a sender what became of a message
	KindTyping  Kind = "typing"  // somebody is composing; never stored
)

// State is what is known of an Outbound. The four are different facts and
// none implies a later one.
type State string

// The states of an Outbound.
const (
	Accepted  State = "accepted"  // the far side took responsibility (SIP 202, SMTP 250)
	Delivered State = "delivered" // it reached the recipient's device or room (SIP 200)
	Displayed State = "displayed" // the recipient's device showed it
	Failed    State = "failed"    // it will not be delivered; reason and detail say why
)

// Reason classes a failure.
type Reason string

// The reasons of a Failed status and a Dead.
const (
	ReasonPermanent Reason = "permanent" // the far side can never take it
	ReasonRefused   Reason = "refused"   // the recipient, or somebody for them, said no
	ReasonExhausted Reason = "exhausted" // the retry budget ended
	ReasonExpired   Reason = "expired"   // its expiry passed first
)

// Mode is how a route joins its two sides. It is empty between local SIP
// accounts, which need no route.
type Mode string

// The modes of a route.
const (
	ModeDirect Mode = "direct" // one SIP user and one person
	ModeDesk   Mode = "desk"   // many SIP users and one place: each has a thread of its own there
	ModeRoom   Mode = "room"   // a group: everybody sees everything
)

// BuiltinSIP is the connector name of the host's own network.
const BuiltinSIP = "sip"

// Content is a message's MIME body exactly as it came. The bus keeps large
// bodies in Media: then Ref, SHA256 and Size stand for Data.
type Content struct {
	MediaType string // MIME type with its parameters, such as "text/plain;charset=utf-8"
	Data      []byte // the body; nil when Ref is set
	Ref       string // name of a large body in Media, which is not in the event
	SHA256    string // of a body that is in Media, hex
	Size      int64  // of a body that is in Media, in bytes
}

// File is something that came beside the text of a message, kept in Media or,
// when small, in Data.
type File struct {
	Name string // such as "plan.pdf"; hostile text: shown, never used as a path
	Content
}

// Envelope is what an Inbound and the Outbounds made of it share.
type Envelope struct {
	Kind         Kind      // what the message is for
	Sender       Address   // who said it, authenticated by the network it came from
	SenderName   string    // display name; hostile text, shown but never interpreted
	Recipient    Address   // the address the sender dialled
	Conversation string    // conversation token
	Thread       string    // thread on the network it came from, in the words of an anchor
	InReplyTo    string    // id, on the network it comes from or goes to, of the message this one answers, edits or concerns
	Concerns     string    // id of the Inbound that this one answers, edits or concerns, if it is known
	Title        string    // what SIP and mail call Subject
	Language     string    // BCP 47
	Sent         time.Time // when the sender says it was sent, if it does
	Expires      time.Time // not to be delivered afterwards; if not set, the host's limit
	Wants        []State   // receipts the sender asked for
	State        State     // of kind status: what became of the message it is about
	Automatic    bool      // made by a machine: never answered automatically (RFC 3834)
	Origin       string    // connector instance the message came in by, or "sip"
	NativeID     string    // id on the network it came from
	MessageID    string    // id its sender's device gave it, by which receipts name it (RFC 5438)
	Files        []File    // what came beside the body; each is in Media
	Original     string    // name in Media of the message whole, when the body is less than what came
	Hops         int       // bridges it may still cross; 0 is never forwarded
	Mark         string    // by which other bridges know the message again: id;hops;places, of package event's Mark
	Traceparent  string    // W3C trace context
}

// Inbound is a message that entered the bridge, from any network.
type Inbound struct {
	ID   string    // identity, derived from where it came from: see InboundID
	Time time.Time // when it was stored
	Lane string    // token of sender, dialled address and thread; a filter, no unit of order
	Envelope
	Content
}

// Outbound is one Inbound assigned to one target address and generation.
type Outbound struct {
	ID            string    // identity, derived from Inbound, target and generation: see OutboundID
	Time          time.Time // when it was assigned
	Inbound       string    // id of the Inbound
	Connector     string    // connector instance that delivers it, or "sip"
	Target        Address   // whom it is for
	From          Address   // whom the target sees and answers: the sender, a room or a desk
	FromName      string    // display name of whom the target sees
	Generation    int       // 1, and one more for each retry of a dead letter
	Route         string    // name of the route; empty between local SIP accounts
	Mode          Mode      // of the route
	Correspondent Address   // SIP side of the conversation: its user, or the room's address
	Lane          string    // token of route, conversation and target: the unit of order
	Envelope
	Content
}

// Status says what became of an Outbound.
type Status struct {
	ID             string    // identity, derived from Outbound and state: see StatusID
	Time           time.Time // when the state was known
	State          State     // what is known of the Outbound
	Outbound       string    // id of the Outbound
	Inbound        string    // id of the Inbound
	Connector      string    // connector instance that delivers it, or "sip"
	Target         Address   // whom it is for
	From           Address   // whom the target saw
	Route          string    // name of the route
	Lane           string    // of the Outbound
	Generation     int       // of the Outbound
	Kind           Kind      // of the Outbound
	Sender         Address   // who said it: whom to tell
	Recipient      Address   // the address the sender dialled
	Conversation   string    // conversation token
	Origin         string    // connector instance the Inbound came in by, or "sip"
	NativeID       string    // id of the Inbound on the network it came from
	MessageID      string    // id that its sender's device gave the Inbound, for receipts
	Sent           time.Time // when the sender says the Inbound was sent
	Mode           Mode      // of the route
	Thread         string    // thread of the Inbound on the network it came from
	Wants          []State   // receipts the sender asked for
	Automatic      bool      // the Inbound was made by a machine
	RemoteIDs      []string  // ids on the target's network
	Anchor         string    // thread anchor on the target's network
	Reason         Reason    // class of the failure
	Detail         string    // the failure in words
	Losses         []string  // what mapping could not carry, by name
	SettledThrough uint64    // highest Outbound sequence its lane has settled
}

// Dead is the stored copy of an Outbound that failed, for replay.
type Dead struct {
	DeadID string    // identity, derived from the Outbound: see DeadID
	At     time.Time // when it failed
	Reason Reason    // class of the failure
	Detail string    // the failure in words
	Outbound
}

// Typing says that somebody is composing, or has stopped. It is a signal: not
// stored, not queued, not retried (RFC 3994).
type Typing struct {
	Connector string        // connector instance it came in by, or "sip"
	Lane      string        // token of sender and recipient
	Time      time.Time     // when it came in
	Sender    Address       // who is composing
	Recipient Address       // to whom
	Active    bool          // composing; stopped if not set
	Refresh   time.Duration // an active state ends after this long without another
}

// Delivery is what a connector is handed: one Outbound, mapped to what its
// network can take.
type Delivery struct {
	ID            string // the Outbound's: deterministic, the same on every attempt
	Kind          Kind
	Target        Address
	From          Address // whom the target sees and answers
	FromName      string
	Sender        Address // who said it
	SenderName    string
	Recipient     Address  // the address the sender dialled
	Mode          Mode     // desk: keep each conversation in a thread of its own; room: in none
	Correspondent Address  // SIP side of the conversation: its user, or the room's address
	Conversation  string   // token; the same for all messages of one conversation
	Anchor        string   // thread of the conversation: of an earlier Receipt, or of the person's last message
	InReplyTo     string   // id on the target's network of the message this concerns, if known
	RemoteIDs     []string // of kind redact: every id that the message concerned has at the target, in the order of its receipt; InReplyTo is the first of them
	Title         string   // what SIP and mail call Subject
	Language      string
	Sent          time.Time
	Expires       time.Time
	Wants         []State
	State         State  // of kind status
	MessageID     string // by which the sender's device names the message in receipts; of kind status: only if it asked for this one
	Active        bool   // of kind typing: composing, or stopped
	Automatic     bool
	Mark          string // goes along where the network has room for what nobody sees, and comes back as Inbound.Mark
	Attempt       int    // 1 if no earlier attempt can have reached the network
	Files         []File // what the network takes beside the text; the others are links in it
	Links         string // address below which anybody can fetch the parts of the message for a while; "" if there is none
	Content
}

// Receipt is a connector's answer to a Delivery that went well.
type Receipt struct {
	State     State    // Accepted or Delivered
	RemoteIDs []string // ids the network gave it
	Anchor    string   // thread in which the conversation goes on; unique within the connector instance
	Losses    []string // what the network could not carry
}

// Report tells what a network said later about a Delivery.
type Report struct {
	Outbound string // Delivery.ID
	State    State  // Delivered, Displayed or Failed
	Time     time.Time
	Reason   Reason // of Failed
	Detail   string // of Failed
}

// Delivery returns what a connector is handed for o on its first attempt. The
// anchor of a message is for the caller to look up; a status belongs in the
// thread of the message that it is about.
func (o Outbound) Delivery() Delivery {
	d := Delivery{
		ID: o.ID, Kind: o.Kind, Target: o.Target, From: o.From, FromName: o.FromName,
		Sender: o.Sender, SenderName: o.SenderName, Recipient: o.Recipient,
		Mode: o.Mode, Correspondent: o.Correspondent, Conversation: o.Conversation, InReplyTo: o.InReplyTo,
		Title: o.Title, Language: o.Language, Sent: o.Sent, Expires: o.Expires,
		Wants: o.Wants, State: o.State, MessageID: o.MessageID, Automatic: o.Automatic, Mark: o.Mark, Attempt: 1, Files: o.Files, Content: o.Content,
	}
	if o.Kind == KindStatus {
		d.Anchor = o.Thread
	}
	return d
}

// Status returns the fact that o reached a state, for the caller to complete.
func (o Outbound) Status(s State, at time.Time) Status {
	return Status{
		ID: StatusID(o.ID, s), Time: at, State: s, Outbound: o.ID, Inbound: o.Inbound,
		Connector: o.Connector, Target: o.Target, From: o.From, Route: o.Route, Lane: o.Lane,
		Generation: o.Generation, Kind: o.Kind, Sender: o.Sender, Recipient: o.Recipient,
		Conversation: o.Conversation, Origin: o.Origin, NativeID: o.NativeID, MessageID: o.MessageID, Sent: o.Sent, Mode: o.Mode,
		Thread: o.Thread, Wants: o.Wants, Automatic: o.Automatic,
	}
}
