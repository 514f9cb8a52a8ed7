package sipedge

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// attack is one thing that a hostile client sends, and what it gets: codes of
// which one is right, "end" if a TCP connection is over then, nothing if there
// is no answer and all goes on.
type attack struct {
	name string
	over string // "udp" or "tcp"; both if empty
	want string
	send func(d *draft) string // made from a MESSAGE that would be challenged
}

// gaps are the attacks that the edge does not meet as yet, and why.
var gaps = map[string]string{}

// judge fails the test if something is wrong that is not known.
func judge(t *testing.T, name, why string) {
	t.Helper()
	switch known := gaps[name]; {
	case why == "" && known != "":
		t.Errorf("%s: this gap is closed: %s", name, known)
	case known != "":
		t.Logf("%s: %s; known: %s", name, why, known)
	case why != "":
		t.Errorf("%s: %s", name, why)
	}
}

// unlike tells what is wrong with a response that should have one of some codes.
func unlike(res, codes string) string {
	if slices.Contains(strings.Fields(codes), code(res)) {
		return ""
	}
	return fmt.Sprintf("got %q; want %s", res, codes)
}

// swap makes a message with something else in the place of old.
func swap(old, other string) func(*draft) string {
	return func(d *draft) string { return strings.Replace(d.String(), old, other, 1) }
}

// more makes a message with further headers.
func more(headers ...string) func(*draft) string {
	return func(d *draft) string { return d.with(headers...).String() }
}

func (a attack) against(t *testing.T, s *started, good *probe) {
	for _, network := range []string{"udp", "tcp"} {
		if a.over != "" && a.over != network {
			continue
		}
		t.Run(strings.ReplaceAll(a.name, " ", "_")+"/"+network, func(t *testing.T) {
			p := dial(t, s, network)
			p.send(a.send(p.message("sip:bob@example.com", "hello")))
			codes, end := strings.CutSuffix(a.want, "end")
			res, why := "", ""
			if codes != "" {
				res = p.mustRead()
				why = unlike(res, codes)
			}
			if end && network == "tcp" {
				p.closed()
			} else if silent := p.alive(res); silent != "" {
				t.Error(silent)
			}
			judge(t, a.name, why)
			good.served(t)
		})
	}
}

// served tells that a client that behaves is served as ever.
func (p *probe) served(t *testing.T) {
	t.Helper()
	if res := p.say(p.message("sip:bob@example.com", "x")); code(res) != "202" {
		t.Errorf("a client that behaves is answered %s", res)
	}
}

// S17 S20: what may be read in two ways is not read at all.
func TestHostileFraming(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	good := dial(t, s, "tcp")
	const length = "Content-Length: 5"
	for _, a := range []attack{
		{"a length with a sign", "", "400 end", swap(length, "Content-Length: +5")},
		{"a length in hex", "", "400 end", swap(length, "Content-Length: 0x5")},
		{"a list of lengths", "", "400 end", swap(length, "Content-Length: 5, 5")},
		{"a length with a parameter", "", "400 end", swap(length, "Content-Length: 5;q=1")},
		{"two numbers", "", "400 end", swap(length, "Content-Length: 5 5")},
		{"digits of another script", "", "400 end", swap(length, "Content-Length: ٥")},
		{"a length with NUL", "", "400 end", swap(length, "Content-Length: 5\x00")},
		{"a length behind a bare LF", "", "400 end", swap(length, "Content-Length: 5\nContent-Length: 6")},
		{"a length behind a bare CR", "", "400 end", swap(length, "Content-Length: 5\rContent-Length: 6")},
		{"a second length with a vertical tab", "", "400 end", swap(length, length+"\r\nContent-Length\v: 6")},
		{"a second length in a continuation", "", "401", swap(length, length+"\r\nX: y\r\n Content-Length: 6")},
		{"the only length in a continuation", "tcp", "400 end", swap(length, "X: y\r\n Content-Length: 5")},
		{"a request line that ends with LF", "", "", swap("SIP/2.0\r\n", "SIP/2.0\n")},
		{"a continuation behind the request line", "", "400 401", swap("SIP/2.0\r\n", "SIP/2.0\r\n X: y\r\n")},
		{"an empty line of blanks", "", "400 401", swap("Max-Forwards", " \t\r\nMax-Forwards")},
		{"a method without end", "", "501", func(d *draft) string {
			d.method = strings.Repeat("M", 2000)
			d.cseq = "1 " + d.method
			return d.String()
		}},
		{"a method of controls", "", "400", swap("MESSAGE sip", "MESS\x01AGE sip")},
		{"a version that goes on", "", "505", swap("SIP/2.0\r\n", "SIP/2.0.1\r\n")},
		{"no version", "udp", "", swap(" SIP/2.0\r\n", "\r\n")},
		{"another protocol", "tcp", "end", swap(" SIP/2.0\r\n", " HTTP/1.1\r\n")},
		{"CSeq below zero", "", "400", swap("CSeq: 1 ", "CSeq: -1 ")},
		{"CSeq beyond 32 bits", "", "400", swap("CSeq: 1 ", "CSeq: 4294967296 ")},
		{"CSeq in one word", "", "400", swap("CSeq: 1 ", "CSeq: 1")},
		{"CSeq with a third word", "", "400", swap("1 MESSAGE", "1 MESSAGE MESSAGE")},
		{"Max-Forwards below zero", "", "400", swap("Forwards: 70", "Forwards: -1")},
		{"Max-Forwards as a list", "", "400", swap("Forwards: 70", "Forwards: 70, 70")},
		{"a port beyond 16 bits", "", "400", swap("MESSAGE sip:bob@example.com", "MESSAGE sip:bob@example.com:65536")},
		{"a host that is no address", "", "400", swap("MESSAGE sip:bob@example.com", "MESSAGE sip:bob@[::1")},
		{"a response nobody asked for", "", "", func(d *draft) string {
			return strings.Replace(d.String(), "MESSAGE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK", 1)
		}},
		{"an ACK", "", "", func(d *draft) string { d.method, d.cseq = "ACK", "1 ACK"; return d.String() }},
	} {
		a.against(t, s, good)
	}
	forgotten(t, s)
}

// S20: a header or request hidden in another one changes nothing.
func TestHostileSmuggling(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	good := dial(t, s, "tcp")
	for _, a := range []attack{
		{"a second Call-ID", "", "400", more("i: another")},
		{"a second CSeq", "", "400", more("CSEQ: 2 MESSAGE")},
		{"a second To", "", "400", more("t: <sip:eve@example.com>")},
		{"a second Max-Forwards", "", "400", more("Max-forwards : 1")},
		{"a second Content-Type", "", "400", more("Content-Type: text/plain", "c: text/html")},
		{"From as a list", "", "400", swap("f1", "f1, <sip:eve@example.com>;tag=f2")},
		{"To as a list", "", "400", swap("To: ", "To: <sip:eve@example.com>, ")},
		{"NUL in a name", "", "400", more("Au\x00thorization: x")},
		{"a name with a blank", "", "400", more("Author ization: x")},
		{"an empty name", "", "400", more(": x")},
		{"a name of UTF-8", "", "400", more("Ｆrom: <sip:eve@example.com>;tag=1")},
		{"two tags", "", "400 401", swap(";tag=f1", ";tag=f1;tag=f2")},
		{"a tag with blanks", "", "400 401", swap(";tag=f1", ";tag=\"f 1\"")},
		{"an im: route in capitals", "", "400", more("ROUTE: <IM:bob@example.com>")},
		{"an extension in quotes", "", "400 420", more(`Require: "foo"`)},
		{"an extension behind a comma", "", "420", more("Require: , , foo")},
		{"a whole request as the body", "", "401", func(d *draft) string { d.body = d.String(); return d.String() }},
		{"what is no SIP behind a request", "tcp", "end", func(d *draft) string { return d.String() + "no SIP\r\n\r\n" }},
	} {
		a.against(t, s, good)
	}
	forgotten(t, s)
}

// A02 S17: what stands behind a request with a password is another request,
// without one.
func TestARequestBehindOneWithAPassword(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	d, hidden := p.message("sip:bob@example.com", ""), p.message("sip:bob@example.com", "hidden")
	d.auth = login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1)
	p.send(d.String() + hidden.String())
	codes := map[string]string{}
	for range 2 {
		res := p.mustRead()
		codes[header1(res, "Call-ID")] = code(res)
	}
	if codes[d.callID] != "202" || codes[hidden.callID] != "401" || len(h.stored()) != 1 {
		t.Errorf("answered %v, %d stored", codes, len(h.stored()))
	}
}

// T01: an answer goes to who asked, whatever else the request names.
func TestNobodyElseIsSentTo(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	for _, tc := range []struct{ name, via, header string }{ // VICTIM is a port
		{"maddr", "192.0.2.9:VICTIM;maddr=127.0.0.1;rport", ""},
		{"received", "127.0.0.1:VICTIM;received=127.0.0.2;rport", ""},
		{"rport with a value", "127.0.0.1;rport=VICTIM", ""},
		{"a second Via", "192.0.2.9;rport", "Via: SIP/2.0/UDP 127.0.0.1:VICTIM;branch=z9hG4bKnext"},
		{"Route", "192.0.2.9;rport", "Route: <sip:127.0.0.1:VICTIM;lr>"},
		{"Contact", "192.0.2.9;rport", "Contact: <sip:127.0.0.1:VICTIM>"},
		{"Reply-To", "192.0.2.9;rport", "Reply-To: <sip:127.0.0.1:VICTIM>"},
	} {
		victim, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { victim.Close() })
		_, port, _ := net.SplitHostPort(victim.LocalAddr().String())
		d := p.message("sip:bob@example.com", "x")
		if tc.header != "" {
			d.with(strings.ReplaceAll(tc.header, "VICTIM", port))
		}
		d.via = fmt.Sprintf("SIP/2.0/UDP %s;branch=z9hG4bKelse%s", strings.ReplaceAll(tc.via, "VICTIM", port), port)
		d.auth = login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1)
		p.send(d.String())
		why := unlike(p.read(time.Second), "202")
		if got := firstTo(t, victim); got != "" {
			why += fmt.Sprintf(" somebody else gets %q", got)
		}
		judge(t, tc.name, why)
	}
}

// firstTo returns what a socket got before what is sent there now.
func firstTo(t *testing.T, at net.PacketConn) string {
	t.Helper()
	const last = "the end"
	c, err := net.Dial("udp", at.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, last)
	var b [4096]byte
	at.SetReadDeadline(time.Now().Add(patience))
	n, _, err := at.ReadFrom(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(b[:n]), last)
}

// S20: text from a header stays text: it makes no other header in an answer
// and no control in what is stored.
func TestHostileText(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		for _, tc := range []struct {
			name, want string
			change     func(*draft)
		}{
			{"a name folded", "202", func(d *draft) { d.from = "\"a\r\n Evil: 1\" <sip:alice@example.com>;tag=1" }},
			{"a name with escaped quotes", "202", func(d *draft) { d.from = `"\", <sip:bob@example.com>;tag=2, \"" <sip:alice@example.com>;tag=1` }},
			{"a name that hides what follows", "202", func(d *draft) { d.from = "\"\u202e\u2066\u200f a\" <sip:alice@example.com>;tag=1" }},
			{"a name of no UTF-8", "202 400", func(d *draft) { d.from = "\"\xff\xfe\x80\" <sip:alice@example.com>;tag=1" }},
			{"a name without end", "202 400", func(d *draft) { d.from = `"` + strings.Repeat("n", 20000) + `" <sip:alice@example.com>;tag=1` }},
			{"line ends in a From", "400 403", func(d *draft) { d.from = "<sip:alice%0d%0aEvil%3a1@example.com>;tag=1" }},
			{"line ends in a To", "202 400", func(d *draft) { d.to = "<sip:bob%0d%0aEvil%3a1@example.com>" }},
			{"line ends in the Request-URI", "400", func(d *draft) { d.uri = "sip:bob%0d%0aEvil%3a1@example.com" }},
			{"NUL in the Request-URI", "400 404", func(d *draft) { d.uri = "sip:bob%00@example.com" }},
			{"a wildcard in the Request-URI", "202 400 404", func(d *draft) { d.uri = "sip:*.>@example.com" }},
			{"a subject folded", "202", func(d *draft) { d.with("Subject: a\r\n\tEvil: 1\r\n  b") }},
			{"a subject of separators", "202", func(d *draft) { d.with("Subject: a\u2028b\u2029c\u0085d\ufeff") }},
			{"a subject of an escape sequence", "400", func(d *draft) { d.with("Subject: \x1b]0;evil\a") }},
			{"a subject without end", "202", func(d *draft) { d.with("Subject: " + strings.Repeat("s", 20000)) }},
			{"a Call-ID with a control", "400", func(d *draft) { d.callID += "\x01" }},
			{"a Call-ID of no UTF-8", "202 400", func(d *draft) { d.callID += "\xff" }},
			{"a tag with a line end", "202 400", func(d *draft) { d.from = "<sip:alice@example.com>;tag=\"a%0d%0aEvil: 1\"" }},
			{"a disposition with markup", "415", func(d *draft) { d.with("Content-Disposition: <b>\u202e\"evil\"") }},
			{"an extension with markup", "400 420", func(d *draft) { d.with("Require: <b>") }},
			{"a type that is none", "202 400 415", func(d *draft) { d.with("Content-Type: text/plain\u2028Evil: 1") }},
			{"a language that is none", "202", func(d *draft) { d.with("Content-Language: ../../etc") }},
			{"a Via with quotes", "202", func(d *draft) { d.via += `;evil="a, b;\"c"` }},
		} {
			d, before := p.message("sip:bob@example.com", "x"), len(h.stored())
			d.callID = fmt.Sprintf("%s-%s", d.callID, p.network())
			tc.change(d)
			res := p.say(d)
			judge(t, tc.name, unlike(res, tc.want))
			if strings.Contains(res, "\nEvil") || strings.Contains(strings.ReplaceAll(res, "\r\n", ""), "\n") || strings.Contains(strings.ReplaceAll(res, "\r\n", ""), "\r") {
				t.Errorf("%s: a header is made: %q", tc.name, res)
			}
			for _, in := range h.stored()[before:] {
				for _, text := range []string{string(in.Sender), in.SenderName, string(in.Recipient), in.Title, in.Language, in.NativeID, in.MediaType} {
					if !utf8.ValidString(text) || len(text) > 1024 || strings.ContainsFunc(text, func(c rune) bool {
						return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
					}) {
						t.Errorf("%s: stored %q", tc.name, text)
					}
				}
				if in.Sender != "sip:alice@example.com" {
					t.Errorf("%s: stored as of %s", tc.name, in.Sender)
				}
			}
		}
	})
}

// forgotten waits until only one connection, that of the client that behaves,
// is left.
func forgotten(t *testing.T, s *started) {
	t.Helper()
	soon(t, func() bool { return s.Stats().Open <= 1 })
	if n := s.Stats().Broken; n != 0 {
		t.Errorf("%d requests broke their handler", n)
	}
}
