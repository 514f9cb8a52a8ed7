package sipedge

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
)

func TestMessageIsAcceptedAndStored(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		before := len(h.stored())
		d := p.message("sip:lobby@127.0.0.1:5060", "Grüße, 世界\r\n").with(
			"Content-Type: text/plain;charset=utf-8", "s: Lunch?", "Contact: <sip:x@y>", "Record-Route: <sip:z;lr>", "Content-Language: de")
		d.from = `"Al \"Ice\" \\ L" <sip:alice@localhost:7000>;tag=f1`
		d.to = "<tel:+4312345>" // S12: a scheme of To that is not ours is no reason to refuse
		res := p.say(d)
		if code(res) != "202" { // M05
			t.Fatalf("got %s", res)
		}
		if len(header(res, "Contact")) > 0 || header1(res, "Content-Length") != "0" || len(header(res, "Record-Route")) > 0 { // M03, M04, M19
			t.Errorf("a 2xx has Contact, body or Record-Route: %s", res)
		}
		if header1(res, "Call-ID") != d.callID || header1(res, "CSeq") != d.cseq || !strings.Contains(header1(res, "To"), ";tag=") { // S02
			t.Errorf("the response does not match its request: %s", res)
		}
		all := h.stored()
		if len(all) != before+1 {
			t.Fatalf("%d messages stored; want one more than %d", len(all), before)
		}
		in := all[len(all)-1]
		if string(in.Data) != "Grüße, 世界\r\n" || in.MediaType != "text/plain;charset=utf-8" { // M01
			t.Errorf("body %q of %s", in.Data, in.MediaType)
		}
		want := event.Envelope{
			Kind: event.KindMessage, Sender: "sip:alice@example.com", SenderName: `Al "Ice" \ L`, Recipient: "sip:lobby@example.com",
			Title: "Lunch?", Language: "de", Origin: "sip", NativeID: d.callID, Hops: maxHops,
		}
		if fmt.Sprint(in.Envelope) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", in.Envelope, want)
		}
		n, _, _ := strings.Cut(d.cseq, " ")
		if in.ID != event.InboundID("sip", "sip:alice@example.com", "sip:lobby@example.com", d.callID, n, "f1") {
			t.Errorf("id %s", in.ID)
		}
	})
}

// M11
func TestExpiryCountsFromDateElseFromArrival(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	sent := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		headers []string
		check   func(event.Inbound) bool
	}{
		{"both", []string{"Date: Fri, 02 Jan 2026 03:04:05 GMT", "Expires: 300"}, func(in event.Inbound) bool {
			return in.Sent.Equal(sent) && in.Expires.Equal(sent.Add(5*time.Minute))
		}},
		{"no date", []string{"Expires: 300"}, func(in event.Inbound) bool {
			return in.Sent.IsZero() && in.Expires.Equal(in.Time.Add(5*time.Minute))
		}},
		{"never", []string{"Date: Fri, 02 Jan 2026 03:04:05 GMT"}, func(in event.Inbound) bool {
			return in.Sent.Equal(sent) && in.Expires.IsZero()
		}},
		{"nonsense", []string{"Date: tomorrow", "Expires: soon"}, func(in event.Inbound) bool {
			return in.Sent.IsZero() && in.Expires.IsZero()
		}},
	} {
		if res := p.say(p.message("sip:bob@example.com", "x").with(tc.headers...)); code(res) != "202" {
			t.Fatalf("%s: %s", tc.name, res)
		}
		all := h.stored()
		if in := all[len(all)-1]; !tc.check(in) {
			t.Errorf("%s: sent %v, expires %v, arrived %v", tc.name, in.Sent, in.Expires, in.Time)
		}
	}
}

func TestWhatIsWrongIsAnswered(t *testing.T) {
	h := newHost()
	h.refuse["sip:nobody@example.com"] = fmt.Errorf("%w: try sip:lobby@example.com", ErrNoRoute)
	h.refuse["sip:secret@example.com"] = fmt.Errorf("%w: members only", ErrForbidden)
	h.refuse["sip:sick@example.com"] = errors.New("the table is being read")
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		for _, tc := range []struct {
			rule   string
			change func(*draft)
			code   string
			has    string
		}{
			{"S01 no From", func(d *draft) { d.from = "" }, "400", "Missing From"},
			{"S01 no To", func(d *draft) { d.to = "" }, "400", "Missing To"},
			{"S01 no Call-ID", func(d *draft) { d.callID = "" }, "400", "Missing Call-ID"},
			{"S01 no CSeq", func(d *draft) { d.cseq = "" }, "400", ""},
			{"S01 no Max-Forwards", func(d *draft) { d.hops = "" }, "400", "Missing Max-Forwards"},
			{"S01 no tag", func(d *draft) { d.from = "<sip:alice@example.com>" }, "400", "Missing tag"},
			{"S20 two From", func(d *draft) { d.with("f: <sip:bob@example.com>;tag=2") }, "400", "More than one From"},
			{"S20 From is no address", func(d *draft) { d.from = `"open <sip:alice@example.com>;tag=1` }, "400", "Unreadable From"},
			{"S20 Max-Forwards is no number", func(d *draft) { d.hops = "many" }, "400", "Unreadable Max-Forwards"},
			{"S20 CSeq of another method", func(d *draft) { d.cseq = "1 INFO" }, "400", "CSeq"},
			{"A05 NUL in a header", func(d *draft) { d.with("Subject: a\x00b") }, "400", "Control character"},
			{"S20 bare LF in a header", func(d *draft) { d.with("Subject: a\nEvil: b") }, "400", "Control character"},
			{"S07 no hops left", func(d *draft) { d.hops = "0" }, "483", ""},
			{"S08 Require", func(d *draft) { d.with("Require: foo,bar") }, "420", "Unsupported: foo, bar"},
			{"S09 Content-Encoding", func(d *draft) { d.with("e: br") }, "415", "Accept-Encoding: identity, deflate, gzip"},
			{"S09 not compressed", func(d *draft) { d.with("e: gzip") }, "400", "Unreadable body"},
			{"S12 scheme http", func(d *draft) { d.uri = "http://example.com/" }, "416", ""},
			{"S12 scheme tel", func(d *draft) { d.uri = "tel:+431234" }, "416", ""},
			{"S12 scheme pres", func(d *draft) { d.uri = "pres:bob@example.com" }, "416", ""},
			{"S12 scheme that nobody knows", func(d *draft) { d.uri = "no.such+scheme:bob" }, "416", ""},
			{"S20 no URI", func(d *draft) { d.uri = "bob" }, "400", "Unreadable Request-URI"},
			{"S20 spaces in the Request-URI", func(d *draft) { d.uri = "sip:bob@example.com; lr" }, "400", "Unreadable Request-Line"},
			{"S20 the Request-URI in brackets", func(d *draft) { d.uri = "<sip:bob@example.com>" }, "400", "Unreadable Request-URI"},
			{"S15 a long URI", func(d *draft) { d.uri = "sip:bob@example.com;x=" + strings.Repeat("y", maxURI) }, "414", ""},
			{"S15 many headers", func(d *draft) { d.with(strings.Repeat("X: y\r\n", 300) + "X: y") }, "513", "at most 256"},
			{"S19 sips: without TLS", func(d *draft) { d.uri = "sips:bob@example.com" }, "416", "needs TLS"},
			{"M18 im: in Route", func(d *draft) { d.with("Route: <im:bob@example.com>") }, "400", "im:"},
			{"M18 im: in the second Route", func(d *draft) { d.with("Route: <sip:a;lr>, \"a <\" < IM:bob@example.com>") }, "400", "im:"},
			{"M18 im: in Record-Route", func(d *draft) { d.with("Record-Route: im:bob@example.com") }, "400", "im:"},
			{"S20 a line without a colon", func(d *draft) { d.with("Subject") }, "400", "without a colon"},
			{"S20 no name before a colon", func(d *draft) { d.with(": x") }, "400", "header name"},
			{"S20 a space in a header's name", func(d *draft) { d.with("Sub ject: x") }, "400", "header name"},
			{"S20 CR alone in a header", func(d *draft) { d.with("Subject: a\rEvil: b") }, "400", "CR without LF"},
			{"S10 a disposition that nobody knows", func(d *draft) { d.with("Content-Disposition: levitate") }, "415", "Accept: "},
			{"S10 that is required", func(d *draft) { d.with("Content-Disposition: recipient-list;handling=required") }, "415", "Accept: "},
			{"S09 a type that nobody takes there", func(d *draft) { d.with("Content-Type: video/mp4") }, "415", "Accept: text/*, text/plain"},
			{"M22 a signed message of yesterday", func(d *draft) {
				d.with("Content-Type: multipart/signed;boundary=b", "Date: "+time.Now().Add(-24*time.Hour).UTC().Format(http.TimeFormat))
			}, "400", "Incorrect Date or Time"},
			{"S13 INVITE", func(d *draft) { d.method, d.cseq = "SUBSCRIBE", "1 SUBSCRIBE" }, "405", "Allow: " + allowed},
			{"S13 unknown method", func(d *draft) { d.method, d.cseq = "FOO", "1 FOO" }, "501", ""},
			{"M20 method in small letters", func(d *draft) { d.method, d.cseq = "message", "1 message" }, "501", ""},
			{"M20 the same, with a CSeq in capitals", func(d *draft) { d.method = "Message" }, "501", ""},
			{"M21 S16 To tag", func(d *draft) { d.to += ";tag=1" }, "481", ""},
			{"A03 From of another", func(d *draft) { d.from = "<sip:bob@example.com>;tag=1" }, "403", ""},
			{"A03 From of another domain", func(d *draft) { d.from = "<sip:alice@example.org>;tag=1" }, "403", ""},
			{"S12 foreign domain", func(d *draft) { d.uri = "sip:bob@example.org" }, "404", ""},
			{"S12 no user", func(d *draft) { d.uri = "sip:example.com" }, "404", ""},
			{"S12 M07 no route", func(d *draft) { d.uri = "sip:nobody@example.com" }, "404", "try sip:lobby@example.com"},
			{"M07 forbidden", func(d *draft) { d.uri = "sip:secret@example.com" }, "403", "members only"},
			{"no answer about the route", func(d *draft) { d.uri = "sip:sick@example.com" }, "503", "Retry-After: 5"},
		} {
			d := p.message("sip:bob@example.com", "x")
			tc.change(d)
			res := p.say(d)
			if code(res) != tc.code || !strings.Contains(res, tc.has) {
				t.Errorf("%s: got %s\nwant %s and %q", tc.rule, res, tc.code, tc.has)
			}
		}
		// S22: another version of SIP
		if res := p.ask(strings.Replace(p.message("sip:bob@example.com", "x").String(), " SIP/2.0\r\n", " SIP/7.0\r\n", 1)); code(res) != "505" || !strings.HasPrefix(res, "SIP/2.0 ") {
			t.Errorf("SIP/7.0: got %s", res)
		}
	})
	if n := len(h.stored()); n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

// What looks odd and is allowed.
func TestWhatIsOddIsTaken(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		for _, tc := range []struct {
			rule   string
			change func(*draft)
		}{
			{"M17 im: of our domain", func(d *draft) { d.uri = "IM:bob@example.com" }},
			{"M17 im: in To", func(d *draft) { d.to = "<im:bob@example.com>" }},
			{"M17 im: in From", func(d *draft) { d.from = "<im:alice@example.com>;tag=1" }},
			{"S10 a disposition that may be ignored", func(d *draft) { d.with("Content-Disposition: levitate; handling=OPTIONAL") }},
			{"S10 dispositions of what people read", func(d *draft) { d.with("Content-Disposition: Render") }},
			{"M22 a signed message of now", func(d *draft) {
				d.with("Content-Type: multipart/signed;boundary=b", "Date: "+time.Now().UTC().Format(http.TimeFormat))
			}},
			{"M23 a signed message", func(d *draft) { d.with("Content-Type: multipart/signed;boundary=b") }},
			{"M23 an encrypted message", func(d *draft) { d.with("Content-Type: application/pkcs7-mime;smime-type=enveloped-data") }},
			{"S20 compact names, folding, blanks and case", func(d *draft) { d.with("SUBJECT \t:  one\r\n two", "uNKNOWN: x", "c: text/plain") }},
			{"S12 headers that nobody knows", func(d *draft) { d.with("X-Nobody: knows", "Alert-Info: <http://a>") }},
			{"S09 languages", func(d *draft) { d.with("Content-Language: tlh, x-klingon") }},
			{"S20 escapes in the user", func(d *draft) { d.uri = "sip:%62ob@EXAMPLE.com" }},
		} {
			before := len(h.stored())
			d := p.message("sip:bob@example.com", "x")
			tc.change(d)
			if res := p.say(d); code(res) != "202" || len(h.stored()) != before+1 || h.stored()[before].Recipient != "sip:bob@example.com" {
				t.Errorf("%s: %d stored, got %s", tc.rule, len(h.stored())-before, res)
			}
		}
	})
}

// S01: without a Via nobody knows whose answer it is; the connection and the
// socket go on.
func TestWithoutVia(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		d := p.message("sip:bob@example.com", "x")
		d.via = ""
		if res := p.ask(d.String()); code(res) != "400" {
			t.Errorf("got %s", res)
		}
		if res := p.say(p.message("sip:bob@example.com", "x")); code(res) != "202" {
			t.Errorf("afterwards: %s", res)
		}
	})
}

// S15
func TestLargeBodyIsRefusedAndTheConnectionLives(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	if res := p.say(p.message("sip:bob@example.com", strings.Repeat("x", 70000))); code(res) != "413" {
		t.Fatalf("70 kB: got %s", res)
	}
	if res := p.say(p.message("sip:bob@example.com", strings.Repeat("x", MaxBody))); code(res) != "202" {
		t.Fatalf("64 KiB: got %s", res)
	}
}

// S14
func TestOptionsTellWhatWeCan(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		d := p.message("sip:example.com", "")
		d.method, d.cseq, d.hops = "OPTIONS", "1 OPTIONS", "0"
		res := p.ask(d.String())
		if code(res) != "200" || header1(res, "Allow") != allowed || header1(res, "Accept") == "" || len(header(res, "Supported")) != 1 {
			t.Errorf("got %s", res)
		}
		d = p.message("sip:example.org", "")
		d.method, d.cseq = "OPTIONS", "1 OPTIONS"
		if res := p.ask(d.String()); code(res) != "404" {
			t.Errorf("of another domain: got %s", res)
		}
	})
}

// Promise 1: no 2xx without a stored message.
func TestNotStoredIsTryLater(t *testing.T) {
	h := newHost()
	h.putErr = errors.New("disk full")
	s := run(t, config(h), h)
	both(t, s, func(t *testing.T, p *probe) {
		res := p.say(p.message("sip:bob@example.com", "x"))
		if code(res) != "503" || header1(res, "Retry-After") == "" {
			t.Errorf("got %s", res)
		}
	})
}

// M06 S06: the answer does not wait for a host that hangs.
func TestSlowHostIsTryLater(t *testing.T) {
	h := newHost()
	h.block = make(chan struct{})
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	begun := time.Now()
	if res := p.say(p.message("sip:bob@example.com", "x")); code(res) != "503" {
		t.Errorf("got %s", res)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("after %v", d)
	}
}

// C08: typing is neither stored nor refused (C09).
func TestTypingIsNotStored(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	if res := p.say(p.message("sip:bob@example.com", "<isComposing/>").with("Content-Type: application/im-iscomposing+xml; charset=utf-8")); code(res) != "202" {
		t.Errorf("got %s", res)
	}
	if n := len(h.stored()); n != 0 {
		t.Errorf("%d stored", n)
	}
}

// C09: a phone that compresses its notices is not refused them.
func TestACompressedNoticeIsTakenUnread(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	notice := p.message("sip:bob@example.com", "x\x9c").with("Content-Type: message/imdn+xml").with("Content-Encoding: deflate")
	if res := p.say(notice); code(res) != "202" {
		t.Errorf("got %s", res)
	}
	if n := len(h.stored()); n != 0 {
		t.Errorf("%d stored", n)
	}
}

// S27: beyond what is in work a request is refused, cheaply.
func TestOverload(t *testing.T) {
	h := newHost()
	e, err := New(config(h), h)
	if err != nil {
		t.Fatal(err)
	}
	e.working = make(chan struct{}, 1)
	h.block = make(chan struct{})
	s := launch(t, e)
	one, two := dial(t, s, "tcp"), dial(t, s, "tcp")
	d := one.message("sip:bob@example.com", "x")
	d.auth = login(e.guard.challenge(netip.Addr{}, false)[0], "alice", "wonderland", d.method, d.uri, 1)
	one.send(d.String())
	h.waitPut(t)
	if res := two.ask(two.message("sip:bob@example.com", "x").String()); code(res) != "503" || header1(res, "Retry-After") == "" {
		t.Errorf("second: got %s", res)
	}
	close(h.block)
	if res := one.mustRead(); code(res) != "202" {
		t.Errorf("first: got %s", res)
	}
}

// T01, T03
func TestResponseGoesWhereTheRequestCameFrom(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	_, port, _ := strings.Cut(p.local(), ":")
	for _, tc := range []struct{ name, via, want string }{
		{"rport", "SIP/2.0/UDP 10.9.8.7:1;branch=z9hG4bKa1;rport", ";rport=" + port + ";received=127.0.0.1"},
		{"no rport, other address", "SIP/2.0/UDP pc.example.com:" + port + ";branch=z9hG4bKa2", ";received=127.0.0.1"},
	} {
		d := p.message("sip:bob@example.com", "x")
		d.via = tc.via
		d.with("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKfirst")
		res := p.ask(d.String())
		via := header(res, "Via")
		if len(via) != 2 || !strings.HasSuffix(via[0], tc.want) || !strings.Contains(via[1], "first") { // S02: order of Vias
			t.Errorf("%s: got %q; want it to end in %s", tc.name, via, tc.want)
		}
	}
}

// S17
func TestStreamFraming(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	one := p.message("sip:bob@example.com", "x").String()
	for i := range len(one) {
		p.send(one[i : i+1])
	}
	if res := p.mustRead(); code(res) != "401" {
		t.Errorf("byte by byte: %s", res)
	}
	p.send(p.message("sip:bob@example.com", "a").String() + p.message("sip:bob@example.com", "").String() + p.message("sip:bob@example.com", "b").String())
	for range 3 {
		if res := p.mustRead(); code(res) != "401" {
			t.Errorf("three at once: %s", res)
		}
	}
	p.send("\r\n\r\n") // T06
	p.conn.SetReadDeadline(time.Now().Add(patience))
	if line, err := p.r.ReadString('\n'); line != "\r\n" || err != nil {
		t.Errorf("keep-alive answered with %q, %v", line, err)
	}
}

func TestJunkHurtsNobody(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	for _, network := range []string{"udp", "tcp"} {
		for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x01\x00\x00\x21\x12\xa4\x42", "SIP/2.0 200 OK\r\n\r\n", "MESSAGE sip:* SIP/2.0\r\n\r\n", "\r\n", "x"} {
			dial(t, s, network).send(junk)
		}
		if res := dial(t, s, network).ask(dial(t, s, "udp").message("sip:bob@example.com", "x").String()); code(res) != "401" {
			t.Errorf("%s: %s", network, res)
		}
	}
}
