package sipedge

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

const (
	allowed   = "MESSAGE, REGISTER, OPTIONS"
	accepted  = "text/plain, */*"
	supported = "path, outbound, " + listExtension
)

// request is a SIP request on its way through the edge.
type request struct {
	*sip.Request
	path path
	from netip.Addr // the far end of the path
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
	r := request{Request: req, from: addressOf(req.Source())}
	defer e.warden.survive("a request", func() { e.respond(r, tx, say(500, "Server Internal Error")) })
	if req.IsAck() {
		return
	}
	if c, ok := tx.(interface{ Connection() sip.Connection }); ok {
		r.path = pathOf(req, c.Connection())
	}
	if r.path.flow != nil {
		defer r.path.flow.done()
	}
	e.warden.keep(req, tx)
	if a := e.begin(r); a.code != 0 {
		e.send(tx, response(req, a))
		tx.Terminate() // a refusal is not remembered, or refusing would cost as much as serving
		return
	}
	defer func() { <-e.working }()
	e.respond(r, tx, e.handle(r))
}

// begin refuses a request that is one too many, or takes a token for it.
func (e *Edge) begin(r request) answer {
	if a := e.warden.request(r.from); a.code != 0 {
		return a
	}
	if e.transactions() <= e.warden.limits().Transactions {
		select {
		case e.working <- struct{}{}:
			return answer{}
		default:
		}
	}
	e.warden.count.overload.Add(1)
	e.warden.lines.warn("overload: requests are refused", "in_work", len(e.working), "transactions", e.transactions())
	return tryLater()
}

// transactions are those over UDP: what is in work, and what is answered and
// may be repeated.
func (e *Edge) transactions() int { return int(e.warden.kept.Load()) + e.repeats.size(e.warden.now()) }

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
	if (err != nil || host != e.domains.first) && e.holderOf(r) == nil {
		return say(404, "Not Found")
	}
	return say(200, "OK", field{"Allow", allowed}, field{"Accept", accepted}, field{"Accept-Encoding", encodings},
		field{"Accept-Language", "*"}, field{"Supported", supported})
}

// respond sends an answer (RFC 3261, section 8.2.6). A 2xx to a MESSAGE has
// neither Contact nor body (RFC 3428, section 7).
func (e *Edge) respond(r request, tx sip.ServerTransaction, a answer) {
	if a.code == 0 {
		return
	}
	res := response(r.Request, a)
	kept := e.repeats.keep(r, res, e.warden.now())
	e.send(tx, res)
	if kept {
		tx.Terminate()
	}
}

func (e *Edge) send(tx sip.ServerTransaction, res *sip.Response) {
	if err := tx.Respond(res); err != nil {
		e.log.Debug("response not sent", "code", res.StatusCode, "error", err)
	}
}

// response builds what respond sends.
func response(req *sip.Request, a answer) *sip.Response {
	res := sip.NewResponseFromRequest(req, a.code, plain(a.phrase, 200), nil)
	res.SipVersion = "SIP/2.0"
	for res.RemoveHeader("Record-Route") {
	}
	addReceived(res.Via(), req.Source())
	for _, h := range a.headers {
		res.AppendHeader(sip.NewHeader(h.name, h.value))
	}
	res.AppendHeader(sip.NewHeader("Server", serverString))
	return res
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

// members returns what is between the commas of headers that are lists of
// tokens.
func (r request) members(names ...string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, v := range r.values(names...) {
			for t := range strings.SplitSeq(v, ",") {
				if !yield(strings.TrimSpace(t)) {
					return
				}
			}
		}
	}
}

// value returns the first value of a header, or nothing.
func (r request) value(names ...string) string {
	if v := r.values(names...); len(v) > 0 {
		return v[0]
	}
	return ""
}

// branch names the transaction of a request, if its sender does (RFC 3261,
// section 8.1.1.7).
func (r request) branch() string {
	if r.Via() == nil {
		return ""
	}
	b, _ := r.Via().Params.Get("branch")
	return b
}

func (r request) fromTag() string {
	tag, _ := r.From().Params.Get("tag")
	return tag
}

// key is what identifies a request whatever its transport and branch.
func (r request) key() []string {
	return []string{r.CallID().Value(), fmt.Sprint(r.CSeq().SeqNo), r.fromTag()}
}
