package sipedge

import (
	"bytes"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// flaw tells why the library would drop a message without an answer, with the
// answer that is due; of code 0 if there is nothing wrong with it. The header
// ends with an empty line.
func flaw(head []byte) answer {
	line, rest := nextLine(head)
	if hasSIP(line) {
		return statusFlaw(string(line))
	}
	if a := startFlaw(string(line)); a.code != 0 {
		return a
	}
	if len(rest) > 0 && isBlank(rest[0]) {
		return say(400, "The first header is the continuation of none")
	}
	for len(rest) > 0 {
		line, rest = nextLine(rest)
		if why := lineFlaw(line); why != "" && len(line) > 0 {
			return say(400, why)
		}
	}
	return answer{}
}

// startFlaw looks at a Request-Line. The library turns a method into capitals,
// but "message" is not MESSAGE (RFC 3428, section 9).
func startFlaw(line string) answer {
	parts := strings.Split(line, " ")
	switch {
	case strings.ContainsRune(line, '\r'):
		return say(400, "Unreadable Request-Line: CR without LF")
	case len(parts) != 3 || !hasSIP([]byte(parts[2])) || mixedCase(parts[2]):
		return say(400, "Unreadable Request-Line: it is method, URI and version with one space between")
	case !isToken(parts[0]):
		return say(400, "Unreadable method")
	case parts[0] != strings.ToUpper(parts[0]):
		return say(501, "Not Implemented: method names are in capitals", field{"Allow", allowed})
	}
	var u sip.Uri
	if err := sip.ParseUri(parts[1], &u); err == nil && !u.Wildcard {
		return answer{}
	}
	if scheme, _, ok := strings.Cut(parts[1], ":"); ok && isToken(scheme) && !strings.EqualFold(scheme, "sip") && !strings.EqualFold(scheme, "sips") {
		return say(416, "Unsupported URI Scheme")
	}
	return say(400, "Unreadable Request-URI")
}

// statusFlaw looks at a Status-Line. Nobody is answered, but the message is
// dropped and no more.
func statusFlaw(line string) answer {
	parts := strings.SplitN(line, " ", 3)
	if !mixedCase(line) && len(parts) > 1 && len(parts[1]) == 3 && parts[1] >= "100" && parts[1] <= "699" && strings.Trim(parts[1], "0123456789") == "" {
		return answer{}
	}
	return say(400, "Unreadable Status-Line")
}

// mixedCase tells of a version such as "SiP/2.0", which is allowed and which the
// library does not know.
func mixedCase(version string) bool { return version[:3] != "SIP" && version[:3] != "sip" }

// lineFlaw looks at a line of a header: a name and a colon, or a continuation.
func lineFlaw(line []byte) string {
	if bytes.IndexByte(line, '\r') >= 0 {
		return "CR without LF in a header"
	}
	if len(line) == 0 || isBlank(line[0]) {
		return ""
	}
	name, _, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok:
		return "Header line without a colon"
	case !isToken(string(bytes.TrimRight(name, " \t"))):
		return "Unreadable header name"
	}
	return ""
}

// headParser reads a header whose Content-Length may be anything.
var headParser = func() *sip.Parser {
	all := lenientParsers()
	delete(all, "content-length")
	delete(all, "l")
	return sip.NewParser(sip.WithHeadersParsers(all))
}()

// refusal answers a request that the library can't read, or whose end can't be
// told. It returns nil if it is no request, or one that can't be answered.
func refusal(head []byte, source string, a answer) *sip.Response {
	line, rest := nextLine(head)
	if hasSIP(line) || bytes.HasPrefix(line, []byte("ACK ")) {
		return nil
	}
	msg, _, err := headParser.ParseHeaders(legible(rest), true)
	req, ok := msg.(*sip.Request)
	if err != nil || !ok || req.Via() == nil {
		return nil
	}
	req.SetSource(source)
	return response(req, a)
}

// legible returns a header with only the lines that can be read, below another
// Request-Line: of that nothing is in a response.
func legible(lines []byte) []byte {
	out := []byte("OPTIONS sip:nobody SIP/2.0\r\n")
	kept := false
	for line := []byte(nil); len(lines) > 0; {
		line, lines = nextLine(lines)
		if continues := len(line) > 0 && isBlank(line[0]); !continues {
			kept = len(line) > 0
		}
		if kept = kept && lineFlaw(line) == ""; kept {
			out = append(append(out, line...), crlf...)
		}
	}
	return append(out, crlf...)
}

// unreadable tells whether a datagram is one that the library would drop, and
// returns the answer, nil if there is none: it has less of a body than it says
// (RFC 3261, section 18.3), no end of its header, or a flaw.
func unreadable(data []byte, source string) (res *sip.Response, bad bool) {
	head, body, ok := split(data)
	if !ok {
		return refusal(data, source, say(400, "No empty line behind the header")), true
	}
	a := flaw(head)
	if n, wrong := bodyLength(head); wrong != "" {
		a = say(400, wrong)
	} else if n > len(body) {
		a = say(400, "Body shorter than Content-Length")
	}
	if a.code == 0 {
		return nil, false
	}
	return refusal(head, source, a), true
}
