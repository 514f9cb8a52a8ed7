package sipedge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// checks are made of every request, in this order, before anything else is
// done with it. Each names the rule of docs/rfc3428.md that it keeps; one that
// fails gives the answer. What the library could not read at all has had its
// answer before (flaw), and what depends on who sends and where it goes has it
// later (message, register).
var checks = []struct {
	rule, text string
	fails      func(*Edge, request) answer
}{
	{"S22", "RFC 3261, section 21.5.6: only SIP/2.0", checkVersion},
	{"S15", "RFC 3261, section 21.5.7: no more header fields than we read", checkCount},
	{"S01", "RFC 3261, section 8.1.1: what every request must have, and only once", checkHeaders},
	{"S20", "RFC 3261, section 25.1: no control characters in a header", checkControls},
	{"S13 M20", "RFC 3261, section 8.2.1: methods", checkMethod},
	{"S15 S12 M17", "RFC 3261, section 8.2.2.1: the Request-URI", checkURI},
	{"S19", "RFC 3261, section 26.2.2: sips: over TLS only", checkSecure},
	{"M18", "RFC 3428, section 5: no im: in a route", checkRoutes},
	{"S07", "RFC 3261, section 16.3: Max-Forwards", checkHops},
	{"S08", "RFC 3261, section 8.2.2.3: Require", checkRequire},
	{"S16 M21", "RFC 3261, section 12.2.2, and RFC 3428, section 2: no dialogs", checkDialog},
	{"S15", "RFC 3261, section 21.4.11: size of the body", checkSize},
	{"S09", "RFC 3261, section 8.2.3: encoding of the body", checkEncoding},
	{"S10", "RFC 3261, section 20.11: disposition of the body", checkDisposition},
}

func checkVersion(_ *Edge, r request) answer {
	if !strings.EqualFold(r.SipVersion, "SIP/2.0") {
		return say(505, "Version Not Supported")
	}
	return answer{}
}

func checkCount(e *Edge, r request) answer {
	if most := e.warden.limits().Headers; len(r.Headers()) > most {
		return say(513, fmt.Sprintf("Message Too Large: at most %d header fields", most))
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
	{"Content-Length", "l"}, {"Content-Type", "c"}, {"Content-Disposition", ""}, {"Expires", ""}, {"Date", ""}, {"Subject", "s"},
}

// checkHeaders does not look for a Via: without one there is no request to
// answer, as the library says by a 400 of its own.
func checkHeaders(_ *Edge, r request) answer {
	count := map[string]int{}
	for _, h := range r.Headers() {
		name := strings.ToLower(h.Name())
		count[name]++
		if single[name] && len(addresses(h.Value())) > 1 {
			return say(400, "More than one address in "+h.Name())
		}
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
	for _, h := range r.GetHeaders("Via") {
		if v, ok := h.(*sip.ViaHeader); ok && slices.ContainsFunc(v.Params, func(p sip.HeaderKV) bool { return !isToken(p.K) }) {
			return say(400, "Unreadable Via")
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
		if hasControl(h.Value()) {
			return say(400, "Control character in a header")
		}
	}
	return answer{}
}

// hasControl passes over what is escaped within quotes, where all but the ends
// of lines is allowed.
func hasControl(s string) bool {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\' && i+1 < len(s) && s[i+1] != '\r' && s[i+1] != '\n':
			i++
		case c == '"':
			quoted = !quoted
		case c < ' ' && c != '\t' || c == 0x7f:
			return true
		}
	}
	return false
}

// known are the methods that exist but are not for us.
var known = []sip.RequestMethod{
	sip.INVITE, sip.CANCEL, sip.BYE, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER, sip.INFO, sip.PRACK, sip.UPDATE, sip.PUBLISH,
}

// checkMethod sees methods in capitals only.
func checkMethod(_ *Edge, r request) answer {
	ours := slices.Contains([]sip.RequestMethod{sip.MESSAGE, sip.REGISTER, sip.OPTIONS}, r.Method)
	switch {
	case !ours && !slices.Contains(known, r.Method):
		return say(501, "Not Implemented", field{"Allow", allowed})
	case strings.TrimSpace(string(r.CSeq().MethodName)) != string(r.Method):
		return say(400, "CSeq method is not that of the request")
	case ours:
		return answer{}
	case r.Method == sip.CANCEL:
		return say(481, "Call/Transaction Does Not Exist")
	}
	return say(405, "Method Not Allowed", field{"Allow", allowed})
}

// checkURI takes im: for the sip: of the same user and domain (RFC 3428,
// section 5, lets a domain say so of itself). tel: is for trunks; pres: leads
// nowhere from here.
func checkURI(e *Edge, r request) answer {
	uri := r.Recipient.String()
	if len(uri) > maxURI {
		return say(414, fmt.Sprintf("Request-URI Too Long: at most %d bytes", maxURI))
	}
	_, _, err := e.domains.parts(uri)
	_, tel := telNumber(uri)
	switch {
	case tel == nil && r.Method == sip.MESSAGE && e.trunkOf(r) != nil: // it dials numbers
	case errors.Is(err, errScheme):
		return say(416, "Unsupported URI Scheme")
	case err != nil:
		return say(400, "Unreadable Request-URI: "+err.Error())
	}
	return answer{}
}

// checkSecure refuses what asks for a protected way and did not come by one.
func checkSecure(_ *Edge, r request) answer {
	if strings.EqualFold(r.Recipient.Scheme, "sips") && !r.path.protected() {
		return say(416, "Unsupported URI Scheme: sips: needs TLS")
	}
	return answer{}
}

func checkRoutes(_ *Edge, r request) answer {
	for _, h := range r.values("Route", "Record-Route") {
		for _, one := range addresses(h) {
			scheme, _, _ := strings.Cut(one[strings.LastIndexByte(one, '<')+1:], ":")
			if strings.EqualFold(strings.TrimSpace(scheme), "im") {
				return say(400, "im: URI in a route")
			}
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

// extensions are those that a request may require, by its method.
var extensions = map[sip.RequestMethod][]string{sip.REGISTER: {"path", "outbound"}, sip.MESSAGE: {listExtension}}

func checkRequire(_ *Edge, r request) answer {
	var unknown []string
	for o := range r.members("Require", "Proxy-Require") {
		if o != "" && !isToken(o) {
			return say(400, "Unreadable Require")
		}
		if o != "" && !slices.Contains(extensions[r.Method], o) {
			unknown = append(unknown, o)
		}
	}
	if unknown == nil {
		return answer{}
	}
	return say(420, "Bad Extension", field{"Unsupported", strings.Join(unknown, ", ")})
}

// checkDialog: there are no dialogs here, so a tag of ours in To is of none.
func checkDialog(_ *Edge, r request) answer {
	if r.Method == sip.MESSAGE && r.To().Params.Has("tag") {
		return say(481, "Call/Transaction Does Not Exist")
	}
	return answer{}
}

// single are the headers with one address, of which the library reads several
// as one.
var single = map[string]bool{"from": true, "f": true, "to": true, "t": true}

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
			if single[name] && len(addresses(text)) > 1 {
				return sip.NewHeader(string(n), text), nil
			}
			h, err := parse(n, text)
			if err == nil || err.Error() == "comma detected" {
				return h, err
			}
			return sip.NewHeader(string(n), text), nil
		}
	}
	return all
}
