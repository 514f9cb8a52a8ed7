package sipedge

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley.im/bus/event"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
)

// maxHops caps what a sender's Max-Forwards grants.
const maxHops = 16

// isSignal tells of content that phones send by themselves and nobody reads as
// text: signs of typing (RFC 3994) and notices about messages (RFC 5438). They
// are never stored as messages.
func isSignal(mediaType string) bool {
	t := bareType(mediaType)
	return t == "application/im-iscomposing+xml" || t == imdn.MediaType
}

// message takes a MESSAGE in: who is it, may they, where to, store it, 202
// (RFC 3428, section 7).
func (e *Edge) message(r request) answer {
	uri := r.Recipient.String()
	who, err := e.guard.verify(r.values("Authorization", "Proxy-Authorization"), string(r.Method), uri)
	if err != nil {
		return e.challenge(false)
	}
	from, err := e.AOR(r.From().Address.String())
	if err != nil || from != who.aor {
		return say(403, "From is not the account that sends")
	}
	to, err := e.AOR(uri)
	if err != nil {
		return say(404, "Not Found: nobody is named in the Request-URI")
	}
	if !e.domains.ours(to) {
		return say(404, "Not Found: this is not the server of that domain")
	}
	in := e.inbound(r, from, to)
	if err := unwrap(&in); err != nil {
		return say(400, "Unreadable body: "+err.Error())
	}
	return e.inWork.do(in.ID, func() answer { return e.take(r, who, in) })
}

// challenge asks for credentials, or for new ones.
func (e *Edge) challenge(stale bool) answer {
	a := say(401, "Unauthorized")
	for _, c := range e.guard.challenge(stale) {
		a.headers = append(a.headers, field{"WWW-Authenticate", c})
	}
	return a
}

// take stores a message whose sender is known. A repetition of a stored one is
// never challenged again, or its sender would send it with a new CSeq, which
// is another message.
func (e *Edge) take(r request, who claim, in event.Inbound) answer {
	if !e.guard.spend(who) {
		if e.host.Stored(in.ID) {
			return say(202, "Accepted")
		}
		return e.challenge(true)
	}
	e.heard(who.aor, r.path)
	if bareType(mediaType(r.ContentType())) == cpim.MediaType {
		e.phones.of(who.aor).takesCPIM(r.path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), putPatience)
	defer cancel()
	if a := e.check(ctx, in); a.code != 0 {
		return a
	}
	if isSignal(in.MediaType) {
		return e.signal(ctx, r, in)
	}
	if err := e.host.Put(ctx, in); err != nil {
		e.log.Warn("message not stored", "message", in.ID, "error", err)
		return tryLater()
	}
	return say(202, "Accepted")
}

// check asks for a route.
func (e *Edge) check(ctx context.Context, in event.Inbound) answer {
	err := e.host.Check(ctx, in.Sender, in.Recipient)
	switch {
	case err == nil:
		return answer{}
	case errors.Is(err, ErrNoRoute):
		return say(404, "Not Found: "+err.Error())
	case errors.Is(err, ErrForbidden):
		return say(403, "Forbidden: "+err.Error())
	}
	e.log.Warn("route not found out", "message", in.ID, "error", err)
	return tryLater()
}

// inbound makes the event of a MESSAGE.
func (e *Edge) inbound(r request, from, to event.Address) event.Inbound {
	now := time.Now().UTC()
	in := event.Inbound{ID: event.InboundID(event.BuiltinSIP, append([]string{string(from), string(to)}, r.key()...)...), Time: now}
	in.Envelope = event.Envelope{
		Kind: event.KindMessage, Sender: from, SenderName: nameFrom(r.From().DisplayName), Recipient: to,
		Title: plain(r.value("Subject", "s"), maxTitle), Origin: event.BuiltinSIP, NativeID: plain(r.CallID().Value(), 256),
		Hops: min(max(int(r.MaxForwards().Val())-1, 1), maxHops),
	}
	if l := r.value("Content-Language"); isToken(l) && len(l) <= 35 {
		in.Language = l
	}
	in.Sent, in.Expires = times(r, now)
	in.Content = event.Content{MediaType: mediaType(r.ContentType()), Data: bytes.Clone(r.Body())}
	return in
}

func mediaType(h *sip.ContentTypeHeader) string {
	if h == nil || checkType(h.Value()) != nil {
		return "text/plain"
	}
	return h.Value()
}

// times returns when a message was sent and when it expires, zero if it does
// not say: Expires counts from Date, and without one from the arrival (RFC
// 3428, section 7).
func times(r request, arrived time.Time) (sent, expires time.Time) {
	if t, err := http.ParseTime(r.value("Date")); err == nil {
		sent = t.UTC()
	}
	seconds, err := strconv.ParseUint(strings.TrimSpace(r.value("Expires")), 10, 32)
	if err != nil {
		return sent, time.Time{}
	}
	from := arrived
	if !sent.IsZero() {
		from = sent
	}
	return sent, from.Add(time.Duration(seconds) * time.Second)
}
