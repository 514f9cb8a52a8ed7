package wire

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"parley.im/bus/event"
)

// MaxAnchor is the longest anchor or thread, in bytes.
const MaxAnchor = 512

// DeliveryRef begins the Refs of bodies that are there only while they are
// being delivered: who wants to keep one stores it. What follows is the Ref of
// one in Media, or stands for one in the host's memory.
const DeliveryRef = "delivery:"

// Limits of a receipt, which becomes headers of a status event.
const (
	maxRemoteIDs = 32
	maxRemoteID  = 256
	maxLosses    = 32
	maxLoss      = 64
)

// FromDelivery returns the wire form of d.
func FromDelivery(d event.Delivery) *Delivery {
	return &Delivery{
		Id: text(d.ID), Kind: text(d.Kind), Target: text(d.Target), From: text(d.From), FromName: text(d.FromName),
		Sender: text(d.Sender), SenderName: text(d.SenderName), Recipient: text(d.Recipient),
		Mode: text(d.Mode), Correspondent: text(d.Correspondent), Conversation: text(d.Conversation), Anchor: text(d.Anchor), InReplyTo: text(d.InReplyTo),
		Title: text(d.Title), Language: text(d.Language), Sent: Stamp(d.Sent), Expires: Stamp(d.Expires),
		Wants: texts(d.Wants), State: text(d.State), Active: d.Active, Automatic: d.Automatic, Mark: text(d.Mark), MessageId: text(d.MessageID), Attempt: number(d.Attempt),
		RemoteIds: texts(d.RemoteIDs), Files: fromFiles(d.Files), Links: text(d.Links), Content: FromContent(d.Content),
	}
}

// ToDelivery returns the delivery that m carries. Its Data shares memory with m.
func ToDelivery(m *Delivery) event.Delivery {
	return event.Delivery{
		ID: m.GetId(), Kind: event.Kind(m.GetKind()), Target: event.Address(m.GetTarget()),
		From: event.Address(m.GetFrom()), FromName: m.GetFromName(),
		Sender: event.Address(m.GetSender()), SenderName: m.GetSenderName(),
		Recipient: event.Address(m.GetRecipient()), Mode: event.Mode(m.GetMode()),
		Correspondent: event.Address(m.GetCorrespondent()),
		Conversation:  m.GetConversation(), Anchor: m.GetAnchor(),
		InReplyTo: m.GetInReplyTo(), Title: m.GetTitle(), Language: m.GetLanguage(),
		Sent: when(m.GetSent()), Expires: when(m.GetExpires()), Wants: states(m.GetWants()),
		State: event.State(m.GetState()), Active: m.GetActive(), Automatic: m.GetAutomatic(), Mark: m.GetMark(), MessageID: m.GetMessageId(), Attempt: int(m.GetAttempt()),
		RemoteIDs: m.GetRemoteIds(), Files: toFiles(m.GetFiles()), Links: m.GetLinks(), Content: ToContent(m.GetContent()),
	}
}

// FromInbound returns the wire form of what a connector may say of an Inbound.
func FromInbound(in event.Inbound) *Inbound {
	return &Inbound{
		NativeId: text(in.NativeID), Kind: text(in.Kind), Sender: text(in.Sender), SenderName: text(in.SenderName),
		Recipient: text(in.Recipient), Thread: text(in.Thread), InReplyTo: text(in.InReplyTo),
		Title: text(in.Title), Language: text(in.Language), Sent: Stamp(in.Sent), Expires: Stamp(in.Expires),
		Wants: texts(in.Wants), State: text(in.State), Automatic: in.Automatic,
		Traceparent: text(in.Traceparent), Original: text(in.Original), Mark: text(in.Mark),
		Files: fromFiles(in.Files), Content: FromContent(in.Content),
	}
}

// ToInbound returns the Inbound that m carries; what the host sets is empty.
// Its Data shares memory with m.
func ToInbound(m *Inbound) event.Inbound {
	in := event.Inbound{
		Envelope: event.Envelope{
			NativeID: m.GetNativeId(), Kind: event.Kind(m.GetKind()), Sender: event.Address(m.GetSender()),
			SenderName: m.GetSenderName(), Recipient: event.Address(m.GetRecipient()), Thread: m.GetThread(),
			InReplyTo: m.GetInReplyTo(), Title: m.GetTitle(), Language: m.GetLanguage(),
			Sent: when(m.GetSent()), Expires: when(m.GetExpires()), Wants: states(m.GetWants()),
			State: event.State(m.GetState()), Automatic: m.GetAutomatic(),
			Traceparent: m.GetTraceparent(), Original: m.GetOriginal(), Mark: m.GetMark(),
			Files: toFiles(m.GetFiles()),
		},
		Content: ToContent(m.GetContent()),
	}
	if in.Kind == "" {
		in.Kind = event.KindMessage
	}
	return in
}

func fromFiles(list []event.File) (out []*File) {
	for _, f := range list {
		out = append(out, &File{Name: text(f.Name), Content: FromContent(f.Content)})
	}
	return out
}

func toFiles(list []*File) (out []event.File) {
	for _, f := range list {
		out = append(out, event.File{Name: f.GetName(), Content: ToContent(f.GetContent())})
	}
	return out
}

// FromContent returns the wire form of c.
func FromContent(c event.Content) *Content {
	return &Content{MediaType: text(c.MediaType), Data: c.Data, Ref: text(c.Ref), Sha256: text(c.SHA256), Size: c.Size}
}

// ToContent returns the content that m carries. Its Data shares memory with m.
func ToContent(m *Content) event.Content {
	return event.Content{
		MediaType: m.GetMediaType(), Data: m.GetData(), Ref: m.GetRef(), SHA256: m.GetSha256(), Size: max(m.GetSize(), 0),
	}
}

// FromReceipt returns the wire form of r.
func FromReceipt(r event.Receipt) *Receipt {
	return &Receipt{State: text(r.State), RemoteIds: texts(r.RemoteIDs), Anchor: text(r.Anchor), Losses: texts(r.Losses)}
}

// ToReceipt returns the receipt that m carries, within the limits of a status
// event. Any state but delivered is accepted, the fact that claims less.
func ToReceipt(m *Receipt) event.Receipt {
	r := event.Receipt{
		State: event.Accepted, Anchor: short(m.GetAnchor(), MaxAnchor),
		RemoteIDs: shorts(m.GetRemoteIds(), maxRemoteIDs, maxRemoteID),
		Losses:    shorts(m.GetLosses(), maxLosses, maxLoss),
	}
	if event.State(m.GetState()) == event.Delivered {
		r.State = event.Delivered
	}
	return r
}

// FromReport returns the wire form of r.
func FromReport(r event.Report) *Report {
	return &Report{
		Outbound: text(r.Outbound), State: text(r.State), Time: Stamp(r.Time), Reason: text(r.Reason), Detail: text(r.Detail),
	}
}

// ToReport returns the report that m carries.
func ToReport(m *Report) event.Report {
	return event.Report{
		Outbound: m.GetOutbound(), State: event.State(m.GetState()), Time: when(m.GetTime()),
		Reason: event.Reason(m.GetReason()), Detail: Clip(m.GetDetail(), MaxErrorText),
	}
}

// FromTyping returns the wire form of t.
func FromTyping(t event.Typing) *Typing {
	return &Typing{Sender: text(t.Sender), Recipient: text(t.Recipient), Active: t.Active, Refresh: durationpb.New(t.Refresh)}
}

// ToTyping returns the signal that m carries.
func ToTyping(m *Typing) event.Typing {
	return event.Typing{
		Sender: event.Address(m.GetSender()), Recipient: event.Address(m.GetRecipient()),
		Active: m.GetActive(), Refresh: max(m.GetRefresh().AsDuration(), 0),
	}
}

// text returns s as valid UTF-8, which the wire demands of every string.
func text[T ~string](s T) string {
	if utf8.ValidString(string(s)) {
		return string(s)
	}
	return strings.ToValidUTF8(string(s), "\uFFFD")
}

func texts[T ~string](list []T) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

func states(list []string) []event.State {
	if len(list) == 0 {
		return nil
	}
	out := make([]event.State, min(len(list), 8))
	for i := range out {
		out[i] = event.State(list[i])
	}
	return out
}

// short returns s, or nothing when it is longer than limit: part of an id is
// not an id.
func short(s string, limit int) string {
	if len(s) > limit {
		return ""
	}
	return s
}

func shorts(list []string, count, limit int) []string {
	var out []string
	for _, s := range list {
		if s != "" && len(s) <= limit && len(out) < count {
			out = append(out, s)
		}
	}
	return out
}

func number(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

// Stamp returns the wire form of t, nil for the zero time.
func Stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// when returns the zero time for none and for times outside the years 1 to
// 9999, which no other part of the bridge could write down.
func when(t *timestamppb.Timestamp) time.Time {
	if t == nil || !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}
