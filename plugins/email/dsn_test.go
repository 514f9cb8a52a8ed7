package email

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
)

// failed is what bob is told of a mail of his to alice.
func failed(text string) event.Delivery {
	d := hello(text)
	d.Kind, d.State, d.Automatic = event.KindStatus, event.Failed, true
	d.Sender, d.SenderName, d.From, d.FromName = "sip:alice@sip.test", "", "sip:alice@sip.test", ""
	d.Anchor, d.InReplyTo = someToken, "<m1@example.com> alice+"+someToken+"@bridge.test"
	d.Sent = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return d
}

// dsn is a report as a mail server's reader takes it apart.
type dsn struct {
	header        netmail.Header
	text          string
	message       textproto.MIMEHeader // fields about the mail
	recipient     textproto.MIMEHeader // fields about its recipient
	parts, groups int
}

// readDSN uses none of the parsers and writers of this package.
func readDSN(t *testing.T, data []byte) (r dsn) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%q is no report: %v", m.Header.Get("Content-Type"), err)
	}
	r.header = m.Header
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return r
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		r.parts++
		var body io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		r.take(t, p.Header.Get("Content-Type"), string(b))
	}
}

func (r *dsn) take(t *testing.T, kind, body string) {
	t.Helper()
	switch {
	case r.parts == 1 && kind == "text/plain; charset=utf-8":
		r.text = body
		return
	case r.parts != 2 || kind != "message/delivery-status" || !isASCII(body):
		t.Fatalf("part %d is %q: %q", r.parts, kind, body)
	}
	for group := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n"), "\r\n\r\n") {
		fields := textproto.MIMEHeader{}
		for line := range strings.SplitSeq(group, "\r\n") {
			name, value, ok := strings.Cut(line, ": ")
			if !ok || strings.ContainsAny(name, " \t") {
				t.Fatalf("line %q of\n%s", line, body)
			}
			fields.Add(name, value)
		}
		r.groups++
		r.message, r.recipient = r.recipient, fields
	}
}

// TestAFailureComesBackAsAReport: RFC 3464, RFC 3834, section 5.
func TestAFailureComesBackAsAReport(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	receipt, m := w.sent(failed("sip:alice@sip.test: 404 no such user"))
	r := readDSN(t, m.Data)
	if m.From != "" || len(m.To) != 1 || m.To[0] != "bob@example.com" || receipt.Anchor != "" {
		t.Errorf("from %q to %q, receipt %+v", m.From, m.To, receipt)
	}
	for name, want := range map[string]string{
		"Auto-Submitted": "auto-replied", "In-Reply-To": "<m1@example.com>", "References": "<" + someToken + "@bridge.test> <m1@example.com>",
		"To": "<bob@example.com>", "From": `"Parley" <parley+` + someToken + `@bridge.test>`, "Subject": "Not delivered", loopHeader: "bridge.test", "Mime-Version": "1.0",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if date, err := r.header.Date(); err != nil || time.Since(date) > time.Hour {
		t.Errorf("the report is of %v, %v", date, err)
	}
	if want := "Your message of Fri, 02 Jan 2026 03:04:05 +0000 was not delivered.\r\n\r\nsip:alice@sip.test: 404 no such user\r\n"; r.text != want {
		t.Errorf("text %q, want %q", r.text, want)
	}
	if got, want := fmt.Sprint(r.message), "map[Reporting-Mta:[dns; bridge.test]]"; got != want {
		t.Errorf("of the mail it says\n%s\nwant\n%s", got, want)
	}
	if got, want := fmt.Sprint(r.recipient), "map[Action:[failed] Diagnostic-Code:[x-parley; sip:alice@sip.test: 404 no such user] "+
		"Final-Recipient:[rfc822; alice+"+someToken+"@bridge.test] Status:[5.0.0]]"; got != want {
		t.Errorf("of the recipient it says\n%s\nwant\n%s", got, want)
	}
}

// TestWhomAReportIsAbout: the address that the mail was sent to, or a member of
// the room with an address and a status of their own.
func TestWhomAReportIsAbout(t *testing.T) {
	room := "rfc822; parley+" + someToken + "@bridge.test"
	for _, tc := range []struct {
		name      string
		change    func(*event.Delivery)
		text      string
		recipient string
		status    string
	}{
		{"a SIP user", func(d *event.Delivery) { d.InReplyTo = "<m1@x> alice@bridge.test" }, "sip:alice@sip.test: 404", "rfc822; alice@bridge.test", "5.0.0"},
		{"a code that only looks like one", nil, "sip:alice@sip.test: 5.1.1", "rfc822; alice+" + someToken + "@bridge.test", "5.0.0"},
		{"an id that tells nothing", func(d *event.Delivery) { d.InReplyTo = "<m1@x>" }, "no", room, "5.0.0"},
		{"another's address", func(d *event.Delivery) { d.InReplyTo = "<m1@x> eve@elsewhere.test" }, "no", room, "5.0.0"},
		{"an address with blanks", func(d *event.Delivery) { d.InReplyTo = "<m1@x> a b+" + someToken + "@bridge.test" }, "no", room, "5.0.0"},
		{"no thread either", func(d *event.Delivery) { d.InReplyTo, d.Anchor = "", "x\r\ny" }, "no", "rfc822; parley@bridge.test", "5.0.0"},
		{"a mailbox in a room", func(d *event.Delivery) { d.Sender = "mailto:carol@example.org" },
			"mailto:carol@example.org: RCPT: the mail server said: 550 5.1.1 no such user", "rfc822; carol@example.org", "5.1.1"},
		{"one that was full for days", func(d *event.Delivery) { d.Sender = "mailto:carol@example.org" },
			"mailto:carol@example.org: the mail server reported: mailbox full (4.2.2)", "rfc822; carol@example.org", "4.2.2"},
		{"one whose server gave no code", func(d *event.Delivery) { d.Sender = "mailto:carol@example.org" },
			"mailto:carol@example.org: 550 host 5.1.1.2 said 2.1.0, 5.01.1, 5.1 and 5.1111.1", "rfc822; carol@example.org", "5.0.0"},
		{"letters beyond ASCII", func(d *event.Delivery) { d.Sender = "mailto:jürgen+x@example.org" }, "no", `utf-8; j\x{FC}rgen\x{2B}x@example.org`, "5.0.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := failed(tc.text)
			if tc.change != nil {
				tc.change(&d)
			}
			m, err := ourNames().notice(d, wording{text: tc.text})
			if err != nil {
				t.Fatal(err)
			}
			r := readDSN(t, m.data)
			if got, status := r.recipient.Get("Final-Recipient"), r.recipient.Get("Status"); got != tc.recipient || status != tc.status {
				t.Errorf("%s with %s, want %s with %s", got, status, tc.recipient, tc.status)
			}
		})
	}
}

// TestAnotherBridgeReadsOurReport: what one writes, the other takes for the
// failure of its own delivery.
func TestAnotherBridgeReadsOurReport(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	text := "mailto:carol@example.org: 550 5.7.1 nicht für dich"
	d := failed(text)
	d.Sender = "mailto:carol@example.org"
	m, err := names{local: "parley", host: "other.test"}.notice(d, wording{text: text})
	if err != nil {
		t.Fatal(err)
	}
	if code := w.arrivesFrom("", "bounce+"+someID+"@bridge.test", string(m.data)); code != 250 {
		t.Fatalf("answer %d", code)
	}
	got := w.host.Reports()
	want := event.Report{Outbound: someID, State: event.Failed, Reason: event.ReasonRefused, Detail: "the mail server reported: " + text}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// FuzzNotice: no words from outside end a field, a group, a part or the report.
func FuzzNotice(f *testing.F) {
	f.Add("sip:alice@sip.test: 404", "sip:alice@sip.test", "<m1@x> alice@bridge.test", someToken)
	f.Add("a\r\nStatus: 2.0.0\r\n\r\nAction: delivered", "mailto:b@c.d", "<m@x> a\r\nb@bridge.test", "\r\n")
	f.Add("mailto:b@c.d: 5.1.1 =?utf-8?q?=0D=0A?= ü\u2028", "mailto:ü+\\@c.d", "<m@x> \"a b\"+"+someToken+"@bridge.test", "")
	f.Add("--\r\n\r\n--x--\r\nFrom x \xff\x00", "mailto:%0d%0a@c.d", "", strings.Repeat("a", tokenLength))
	f.Add(strings.Repeat("long ü ", 500), "sip:"+strings.Repeat("a", 300), "<m1@x> "+strings.Repeat("a", 300)+"@bridge.test", "")
	f.Fuzz(func(t *testing.T, text, sender, reply, anchor string) {
		d := failed(text)
		d.Sender, d.InReplyTo, d.Anchor = event.Address(sender), reply, anchor
		m, err := ourNames().notice(d, wording{text: text})
		if err != nil {
			t.Fatal(err)
		}
		r := readDSN(t, m.data)
		if r.parts != 2 || r.groups != 2 || len(r.message) != 1 || len(r.recipient) != 4 {
			t.Fatalf("%d parts, %d groups\n%s", r.parts, r.groups, m.data)
		}
		for name, values := range r.recipient {
			if len(values) != 1 || len(values[0]) > 900 || strings.ContainsAny(values[0], "\r\n\x00") {
				t.Errorf("%s: %q", name, values)
			}
		}
		if r.recipient.Get("Action") != "failed" || !isFailureCode(r.recipient.Get("Status")) {
			t.Errorf("%v", r.recipient)
		}
		if o, ok := readLetter(m.data).report(); !ok || o.state != event.Failed {
			t.Errorf("another bridge reads %+v, %v", o, ok)
		}
	})
}
