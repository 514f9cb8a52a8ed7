package sipedge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// checks are made of every request, in this order, before anything else is
// done with it. Each names the rule it keeps; one that fails gives the answer.
var checks = []struct {
	rule  string
	fails func(*Edge, request) answer
}{
	{"RFC 3261 21.5.6: only SIP/2.0", checkVersion},
	{"RFC 3261 8.1.1: what every request must have, and only once", checkHeaders},
	{"RFC 3261 7.3: no control characters in a header", checkControls},
	{"RFC 3261 8.2.1: methods, and RFC 3428 9: their case matters", checkMethod},
	{"RFC 3261 8.2.2.1: schemes", checkScheme},
	{"RFC 3261 16.3: Max-Forwards", checkHops},
	{"RFC 3261 8.2.2.3: Require", checkRequire},
	{"RFC 3261 12.2.2 and RFC 3428 2: no dialogs", checkDialog},
	{"RFC 3261 21.4.11: size of the body", checkSize},
	{"RFC 3261 8.2.3: encoding of the body", checkEncoding},
}

func checkVersion(_ *Edge, r request) answer {
	if !strings.EqualFold(r.SipVersion, "SIP/2.0") {
		return say(505, "Version Not Supported")
	}
	return answer{}
}

// must are the headers that every request has exactly once, with their
// compact names.
var must = []struct{ name, short string }{
	{"From", "f"}, {"To", "t"}, {"Call-ID", "i"}, {"CSeq", ""}, {"Max-Forwards", ""},
}

// once are those that it may have once.
var once = []struct{ name, short string }{
	{"Content-Length", "l"}, {"Content-Type", "c"}, {"Expires", ""}, {"Date", ""},
}

func checkHeaders(_ *Edge, r request) answer {
	count := map[string]int{}
	for _, h := range r.Headers() {
		count[strings.ToLower(h.Name())]++
	}
	for _, m := range must {
		switch n := count[strings.ToLower(m.name)] + count[m.short]; {
		case n == 0:
			return say(400, "Missing "+m.name)
		case n > 1:
			return say(400, "More than one "+m.name)
		}
	}
	for _, o := range once {
		if count[strings.ToLower(o.name)]+count[o.short] > 1 {
			return say(400, "More than one "+o.name)
		}
	}
	switch {
	case r.From() == nil:
		return say(400, "Unreadable From")
	case r.To() == nil:
		return say(400, "Unreadable To")
	case r.CallID() == nil:
		return say(400, "Unreadable Call-ID")
	case r.CSeq() == nil:
		return say(400, "Unreadable CSeq")
	case r.MaxForwards() == nil || r.MaxForwards().Val() > 255:
		return say(400, "Unreadable Max-Forwards")
	case r.fromTag() == "":
		return say(400, "Missing tag in From")
	}
	return answer{}
}

func checkControls(_ *Edge, r request) answer {
	for _, h := range r.Headers() {
		if strings.ContainsFunc(h.Value(), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return say(400, "Control character in a header")
		}
	}
	return answer{}
}

// known are the methods that exist but are not for us.
var known = []sip.RequestMethod{
	sip.INVITE, sip.CANCEL, sip.BYE, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER, sip.INFO, sip.PRACK, sip.UPDATE, sip.PUBLISH,
}

// checkMethod goes by the CSeq where the case of the method matters, since the
// parser turns the one in the Request-Line into capitals.
func checkMethod(_ *Edge, r request) answer {
	inCSeq := sip.RequestMethod(strings.TrimSpace(string(r.CSeq().MethodName)))
	switch {
	case inCSeq != r.Method && strings.EqualFold(string(inCSeq), string(r.Method)):
		return say(501, "Not Implemented: method names are in capitals")
	case inCSeq != r.Method:
		return say(400, "CSeq method is not that of the request")
	case slices.Contains([]sip.RequestMethod{sip.MESSAGE, sip.REGISTER, sip.OPTIONS}, r.Method):
		return answer{}
	case r.Method == sip.CANCEL:
		return say(481, "Call/Transaction Does Not Exist")
	case slices.Contains(known, r.Method):
		return say(405, "Method Not Allowed", field{"Allow", allowed})
	}
	return say(501, "Not Implemented", field{"Allow", allowed})
}

func checkScheme(e *Edge, r request) answer {
	_, _, err := e.domains.parts(r.Recipient.String())
	switch {
	case errors.Is(err, errScheme):
		return say(416, "Unsupported URI Scheme")
	case err != nil:
		return say(400, "Unreadable Request-URI")
	}
	for _, h := range r.values("Route", "Record-Route") {
		if strings.Contains(strings.ToLower(h), "<im:") { // RFC 3428, section 5
			return say(400, "im: URI in a route")
		}
	}
	return answer{}
}

// checkHops concerns MESSAGE only: the others end here.
func checkHops(_ *Edge, r request) answer {
	if r.Method == sip.MESSAGE && r.MaxForwards().Val() == 0 {
		return say(483, "Too Many Hops")
	}
	return answer{}
}

func checkRequire(_ *Edge, r request) answer {
	var unknown []string
	for _, v := range r.values("Require", "Proxy-Require") {
		for o := range strings.SplitSeq(v, ",") {
			if o = strings.TrimSpace(o); isToken(o) {
				unknown = append(unknown, o)
			}
		}
	}
	if unknown == nil {
		return answer{}
	}
	return say(420, "Bad Extension", field{"Unsupported", strings.Join(unknown, ", ")})
}

func checkDialog(_ *Edge, r request) answer {
	if r.Method == sip.MESSAGE && r.To().Params.Has("tag") {
		return say(481, "Call/Transaction Does Not Exist")
	}
	return answer{}
}

func checkSize(_ *Edge, r request) answer {
	if len(r.Body()) > MaxBody {
		return say(413, fmt.Sprintf("Request Entity Too Large: at most %d bytes", MaxBody))
	}
	return answer{}
}

// checkEncoding refuses compressed texts. Linphone compresses the notices it
// sends by itself, too, which nobody reads here.
func checkEncoding(_ *Edge, r request) answer {
	if isSignal(mediaType(r.ContentType())) {
		return answer{}
	}
	for _, v := range r.values("Content-Encoding", "e") {
		if v != "" && !strings.EqualFold(v, "identity") {
			return say(415, "Unsupported Media Type", field{"Accept-Encoding", encodings}, field{"Accept", accepted})
		}
	}
	return answer{}
}

// lenientParsers are the library's header parsers, but a header that one of
// them can't read stays as it is, unread: the request then gets an answer that
// names it, where the library would drop the request without one.
func lenientParsers() sip.HeadersParser {
	all := sip.HeadersParser{}
	for name, parse := range sip.DefaultHeadersParser() {
		if name == "content-length" || name == "l" {
			all[name] = parse // without it there is no telling where a message ends
			continue
		}
		all[name] = func(n []byte, text string) (sip.Header, error) {
			h, err := parse(n, text)
			if err == nil || err.Error() == "comma detected" {
				return h, err
			}
			return sip.NewHeader(string(n), text), nil
		}
	}
	return all
}
