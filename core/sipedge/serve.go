package sipedge

import (
	"fmt"
	"net"
	"runtime/debug"
	"strings"

	"github.com/emiago/sipgo/sip"
)

const (
	allowed   = "MESSAGE, REGISTER, OPTIONS"
	accepted  = "text/plain, */*"
	encodings = "identity"
)

// request is a SIP request on its way through the edge.
type request struct {
	*sip.Request
	path path
}

// answer is a final response in the making. An answer of code 0 is not sent.
type answer struct {
	code    int
	phrase  string
	headers []field
}

type field struct{ name, value string }

func say(code int, phrase string, headers ...field) answer { return answer{code, phrase, headers} }

func tryLater() answer {
	return say(503, "Service Unavailable", field{"Retry-After", retryAfter})
}

// serve handles one request in the goroutine that the library starts for it.
// With too many in work it is refused before anything of it is looked at.
func (e *Edge) serve(req *sip.Request, tx sip.ServerTransaction) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("a request broke its handler", "method", req.Method, "panic", p, "stack", string(debug.Stack()))
			e.respond(req, tx, say(500, "Server Internal Error"))
		}
	}()
	if req.IsAck() {
		return
	}
	select {
	case e.working <- struct{}{}:
		defer func() { <-e.working }()
	default:
		e.respond(req, tx, tryLater())
		return
	}
	r := request{Request: req}
	if c, ok := tx.(interface{ Connection() sip.Connection }); ok {
		r.path = pathOf(req, c.Connection())
	}
	e.respond(req, tx, e.handle(r))
}

// handle decides what a request is answered.
func (e *Edge) handle(r request) answer {
	for _, c := range checks {
		if a := c.fails(e, r); a.code != 0 {
			return a
		}
	}
	switch r.Method {
	case sip.REGISTER:
		return e.register(r)
	case sip.OPTIONS:
		return e.options(r)
	}
	return e.message(r)
}

// options tells what the edge can do (RFC 3261, section 11.2).
func (e *Edge) options(r request) answer {
	_, host, err := e.domains.parts(r.Recipient.String())
	if err != nil || host != e.domains.first {
		return say(404, "Not Found")
	}
	return say(200, "OK", field{"Allow", allowed}, field{"Accept", accepted}, field{"Accept-Encoding", encodings},
		field{"Accept-Language", "*"}, field{"Supported", ""})
}

// respond sends an answer (RFC 3261, section 8.2.6). A 2xx to a MESSAGE has
// neither Contact nor body (RFC 3428, section 7).
func (e *Edge) respond(req *sip.Request, tx sip.ServerTransaction, a answer) {
	if a.code == 0 {
		return
	}
	res := sip.NewResponseFromRequest(req, a.code, plain(a.phrase, 200), nil)
	res.SipVersion = "SIP/2.0"
	for res.RemoveHeader("Record-Route") {
	}
	addReceived(res.Via(), req.Source())
	for _, h := range a.headers {
		res.AppendHeader(sip.NewHeader(h.name, h.value))
	}
	res.AppendHeader(sip.NewHeader("Server", serverString))
	if err := tx.Respond(res); err != nil {
		e.log.Debug("response not sent", "code", a.code, "error", err)
	}
}

// addReceived notes where a request really came from, if its sender sees
// itself elsewhere (RFC 3261, section 18.2.1; with rport it is there already).
func addReceived(via *sip.ViaHeader, source string) {
	if via == nil || via.Params.Has("received") {
		return
	}
	host, _, err := net.SplitHostPort(source)
	if err == nil && strings.Trim(via.Host, "[]") != host {
		via.Params.Add("received", host)
	}
}

// values returns the values of a header under its long and its compact name.
func (r request) values(names ...string) []string {
	var all []string
	for _, n := range names {
		for _, h := range r.GetHeaders(n) {
			all = append(all, h.Value())
		}
	}
	return all
}

// value returns the first value of a header, or nothing.
func (r request) value(names ...string) string {
	if v := r.values(names...); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (r request) fromTag() string {
	tag, _ := r.From().Params.Get("tag")
	return tag
}

// key is what identifies a request whatever its transport and branch.
func (r request) key() []string {
	return []string{r.CallID().Value(), fmt.Sprint(r.CSeq().SeqNo), r.fromTag()}
}
