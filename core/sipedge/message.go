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
	"parley.im/plugins/content/composing"
	"parley.im/plugins/content/imdn"
)

// maxHops caps what a sender's Max-Forwards grants.
const maxHops = 16

// isSignal tells of content that phones send by themselves and nobody reads as
// text: signs of typing (RFC 3994) and notices about messages (RFC 5438). They
// are never stored as messages.
func isSignal(mediaType string) bool {
	t := bareType(mediaType)
	return t == composing.MediaType || t == imdn.MediaType
}

// message takes a MESSAGE in: who is it, may they, where to, store it, 202
// (RFC 3428, section 7).
func (e *Edge) message(r request) answer {
	who, a := e.identify(r)
	if a.code != 0 {
		return a
	}
	if a := e.decompress(r); a.code != 0 {
		return a
	}
	if r.isList() {
		return e.list(r, who)
	}
	to, err := e.recipient(r)
	if err != nil {
		return say(404, "Not Found: nobody is named in the Request-URI")
	}
	if !e.domains.ours(to) && !e.mayDial(who, to) {
		return say(404, "Not Found: this is not the server of that domain")
	}
	in := e.inbound(r, who, to)
	if a := open(r, who, &in); a.code != 0 {
		return a
	}
	first, a := e.inWork.do(in.ID, r.branch(), func() answer { return e.take(r, who, in) })
	if !first && a.code/100 == 2 { // S04; after a refusal the copy is told of that
		return say(482, "Loop Detected: the same request came on another way")
	}
	return a
}

// open takes the wrapper off a message, and refuses it if it is stale.
func open(r request, who sender, in *event.Inbound) answer {
	if err := unwrap(in); err != nil {
		return say(400, "Unreadable body: "+err.Error())
	}
	return checkDate(r, who, bareType(in.MediaType), time.Now())
}

// mayDial tells whether a sender may use the trunk that leads to an address of
// another domain: our accounts may, and nobody behind another trunk.
func (e *Edge) mayDial(who sender, to event.Address) bool {
	return who.account != (claim{}) && e.trunkBy(who.account) == nil && e.trunkTo(to) != nil
}

// take stores a message whose sender is known. A repetition of a stored one is
// never challenged again, or its sender would send it with a new CSeq, which
// is another message.
func (e *Edge) take(r request, who sender, in event.Inbound) answer {
	if who.account != (claim{}) && !e.guard.spend(who.account) {
		if e.host.Stored(in.ID) {
			return say(202, "Accepted")
		}
		return e.challenge(r, true)
	}
	e.heard(who.account.aor, r.path)
	for _, kind := range []string{bareType(mediaType(r.ContentType())), bareType(in.MediaType)} { // in CPIM are others
		e.phones.of(who.account.aor).sends(r.path, kind)
	}
	ctx, cancel := context.WithTimeout(context.Background(), putPatience)
	defer cancel()
	if a := e.check(ctx, in); a.code != 0 {
		return a
	}
	return e.use(ctx, who, in)
}

// use stores a message, and passes on what is none.
func (e *Edge) use(ctx context.Context, who sender, in event.Inbound) answer {
	if isSignal(in.MediaType) {
		return e.signal(ctx, who, in)
	}
	if err := e.host.Put(ctx, in); err != nil {
		e.log.Warn("message not stored", "message", in.ID, "error", err)
		return tryLater()
	}
	return say(202, "Accepted")
}

// check asks for a route.
func (e *Edge) check(ctx context.Context, in event.Inbound) answer {
	about := in
	if isSignal(in.MediaType) {
		about.Content = event.Content{} // nobody is shown it
	}
	err := e.host.Check(ctx, about)
	var wrongType *TypeError
	switch {
	case err == nil:
		return answer{}
	case errors.As(err, &wrongType): // S09
		return say(415, "Unsupported Media Type: "+err.Error(), field{"Accept", plain(strings.Join(wrongType.Accept, ", "), maxTitle)})
	case errors.Is(err, ErrNoRoute):
		return say(404, "Not Found: "+err.Error())
	case errors.Is(err, ErrForbidden):
		return say(403, "Forbidden: "+err.Error())
	}
	e.log.Warn("route not found out", "message", in.ID, "error", err)
	return tryLater()
}

// inbound makes the event of a MESSAGE.
func (e *Edge) inbound(r request, from sender, to event.Address) event.Inbound {
	now := time.Now().UTC()
	in := event.Inbound{ID: event.InboundID(event.BuiltinSIP, append([]string{string(from.known), string(to)}, r.key()...)...), Time: now}
	in.Envelope = event.Envelope{
		Kind: event.KindMessage, Sender: from.address, SenderName: from.name, Recipient: to,
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
