package email

import (
	"bytes"
	"io"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-message"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
)

func ourNames() names {
	return names{local: "parley", host: "bridge.test", domain: "bridge.test", sipDomain: "sip.test"}
}

// read is what a mail client makes of a mail.
func read(t *testing.T, data []byte) (h netmail.Header, body string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	e, err := message.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	b, err := io.ReadAll(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, string(b)
}

// TestWhoAMailIsFrom: E09, never in a domain that is not ours; and the answer
// goes to an address that names the conversation.
func TestWhoAMailIsFrom(t *testing.T) {
	tok := token(hello(""))
	for _, tc := range []struct {
		name   string
		change func(*event.Delivery)
		from   string
		reply  string
	}{
		{"a SIP user of ours has an address", func(*event.Delivery) {}, `"Alice" <alice@bridge.test>`, `"Alice" <alice+` + tok + `@bridge.test>`},
		{"a number, too", func(d *event.Delivery) { d.From = "sip:+15551234@sip.test" }, `"Alice" <+15551234@bridge.test>`, `"Alice" <+15551234+` + tok + `@bridge.test>`},
		{"a SIP user of elsewhere", func(d *event.Delivery) { d.From = "sip:carol@elsewhere.test" }, `"Alice" <parley+` + tok + `@bridge.test>`, ""},
		{"a name that is no address", func(d *event.Delivery) { d.From = "sip:a%20b@sip.test" }, `"Alice" <parley+` + tok + `@bridge.test>`, ""},
		{"a name that is the bridge's", func(d *event.Delivery) { d.From = "sip:parley@sip.test" }, `"Alice" <parley+` + tok + `@bridge.test>`, ""},
		{"a name for bounces", func(d *event.Delivery) { d.From = "sip:bounce@sip.test" }, `"Alice" <parley+` + tok + `@bridge.test>`, ""},
		{"a long name", func(d *event.Delivery) { d.From = event.Address("sip:" + strings.Repeat("a", 60) + "@sip.test") },
			`"Alice" <` + strings.Repeat("a", 60) + `@bridge.test>`, `"Alice" <parley+` + tok + `@bridge.test>`},
		{"a desk", func(d *event.Delivery) { d.Mode = event.ModeDesk }, `"Alice" <parley+` + tok + `@bridge.test>`, ""},
		{"a room", func(d *event.Delivery) { d.Mode, d.Sender, d.SenderName = event.ModeRoom, "slack:T0/U0", "Eve" }, `"Eve" <parley+` + tok + `@bridge.test>`, ""},
		{"nobody with a name", func(d *event.Delivery) { d.SenderName, d.FromName = "", "" }, `"alice@sip.test" <alice@bridge.test>`, `"alice@sip.test" <alice+` + tok + `@bridge.test>`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := hello("hi")
			tc.change(&d)
			m, err := ourNames().message(d, wording{text: "hi"})
			if err != nil {
				t.Fatal(err)
			}
			h, _ := read(t, m.data)
			if h.Get("From") != tc.from || h.Get("Reply-To") != tc.reply {
				t.Errorf("From %s, Reply-To %s\nwant %s, %s", h.Get("From"), h.Get("Reply-To"), tc.from, tc.reply)
			}
			back := h.Get("Reply-To")
			if back == "" {
				back = h.Get("From")
			}
			a, err := netmail.ParseAddress(back)
			if err != nil {
				t.Fatal(err)
			}
			r, ok := ourNames().read(a.Address)
			if !ok || r.kind != kindToken || r.token != tok {
				t.Errorf("an answer to %s is read as %+v, %v", a.Address, r, ok)
			}
			if m.from != "bounce+"+someID+"@bridge.test" {
				t.Errorf("envelope sender %q", m.from)
			}
		})
	}
}

// TestOneConversationIsOneThread: E01.
func TestOneConversationIsOneThread(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	first := hello("one")
	second := hello("two")
	second.ID = strings.Repeat("b", idLength)
	r, m1 := w.sent(first)
	second.Anchor = r.Anchor
	r2, m2 := w.sent(second)
	h1, _ := read(t, m1.Data)
	h2, _ := read(t, m2.Data)
	if r.Anchor != r2.Anchor || !isToken(r.Anchor, tokenLength) {
		t.Errorf("anchors %q and %q", r.Anchor, r2.Anchor)
	}
	root := "<" + r.Anchor + "@bridge.test>"
	for _, h := range []netmail.Header{h1, h2} {
		if h.Get("References") != root || h.Get("In-Reply-To") != root || h.Get("Subject") != "Message from alice@sip.test" || h.Get("Auto-Submitted") != "" {
			t.Errorf("header %v", h)
		}
	}
	if h1.Get("Message-ID") == h2.Get("Message-ID") || h1.Get("Message-ID") != r.RemoteIDs[0] {
		t.Errorf("message ids %s and %s", h1.Get("Message-ID"), h2.Get("Message-ID"))
	}
	other := hello("three")
	other.Target = "mailto:carol@example.com"
	if token(other) == token(first) {
		t.Error("two mailboxes of one conversation have one token")
	}
}

// TestTheTraceStandsAtTheTop: E04b, RFC 5321, section 3.7.2.
func TestTheTraceStandsAtTheTop(t *testing.T) {
	m, err := ourNames().message(hello("hi"), wording{text: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(m.data), "Received: from bridge.test by bridge.test (Parley) via SIP id") {
		t.Errorf("the mail begins %.80q", m.data)
	}
}

func TestAnAnswerNamesTheMailItAnswers(t *testing.T) {
	d := hello("hi")
	d.InReplyTo, d.Automatic, d.Title = "<m1@example.com> parley+x@bridge.test", true, "Lunch?"
	m, err := ourNames().message(d, wording{text: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := read(t, m.data)
	root := "<" + token(d) + "@bridge.test>"
	if h.Get("References") != root+" <m1@example.com>" || h.Get("In-Reply-To") != "<m1@example.com>" {
		t.Errorf("References %s, In-Reply-To %s", h.Get("References"), h.Get("In-Reply-To"))
	}
	if h.Get("Auto-Submitted") != "auto-generated" || h.Get("Subject") != "Lunch?" || h.Get(loopHeader) != "bridge.test" || h.Get("Received") == "" {
		t.Errorf("header %v", h)
	}
}

// TestANoticeIsNeverAnswered: E03.
func TestANoticeIsNeverAnswered(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	d := hello("sip:alice@sip.test: 404 no such user")
	d.Kind, d.State, d.Automatic, d.Anchor, d.InReplyTo = event.KindStatus, event.Failed, true, someToken, "<m1@example.com> x"
	r, m := w.sent(d)
	h, body := read(t, m.Data)
	if m.From != "" || h.Get("Auto-Submitted") != "auto-replied" || h.Get(loopHeader) == "" || h.Get("In-Reply-To") != "<m1@example.com>" {
		t.Errorf("from %q, header %v", m.From, h)
	}
	if !strings.Contains(body, "404 no such user") || r.Anchor != "" {
		t.Errorf("receipt %+v, body %q", r, body)
	}
	if why := readLetter(m.Data).automatic(names{local: "x", host: "other.test"}, false); why == "" {
		t.Error("another bridge would take the notice for a person's mail")
	}
	for _, s := range []event.State{event.Accepted, event.Delivered, event.Displayed, ""} {
		d.State = s
		if _, err := w.Deliver(t.Context(), d); !event.IsPermanent(err) {
			t.Errorf("state %q: %v", s, err)
		}
	}
}

func TestBodiesArriveAsTheyAre(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	for _, text := range []string{
		"plain", "", "grüße 👋", "two\nlines", "two\r\nlines", ".\n..\n.dot", "From here on\nall is new", "trailing \nblanks\t\n",
		strings.Repeat("long ", 1000), strings.Repeat("ü", 5000), "tab\there", "=3D and = signs ü",
	} {
		_, m := w.sent(hello(text))
		_, body := read(t, m.Data)
		body = strings.TrimSuffix(body, "\r\n") // the end of the last line
		if got, want := strings.ReplaceAll(body, "\r\n", "\n"), strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"); got != want {
			t.Errorf("%.40q arrives as %.60q", text, got)
		}
	}
}

func TestBodiesThatAreNotUTF8(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	d := hello("")
	d.MediaType, d.Data = "text/plain;charset=iso-8859-1", []byte("gr\xfc\xdfe")
	_, m := w.sent(d)
	if _, body := read(t, m.Data); !strings.HasPrefix(body, "grüße") {
		t.Errorf("body %q", body)
	}
}

func TestALargeBodyIsReadFromMedia(t *testing.T) {
	w := open(t, mailtest.Options{}, nil)
	text := strings.Repeat("a large body\n", 50_000)
	c, err := w.host.Media().Store(t.Context(), "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := hello("")
	d.Content = c
	_, m := w.sent(d)
	if _, body := read(t, m.Data); strings.ReplaceAll(body, "\r\n", "\n") != text {
		t.Errorf("%d bytes arrive, want %d", len(body), len(text))
	}
	d.Ref = "gone"
	if _, err := w.Deliver(t.Context(), d); outcomeOf(err) != "retry message" {
		t.Errorf("a body that is not there: %v", err)
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	for _, target := range []event.Address{
		"mailto:bob", "mailto:@example.com", "mailto:bob@", "sip:bob@example.com", "mailto:bob@example.com?cc=eve@example.com",
		"mailto:bob%0d%0aRCPT@example.com", "mailto:bob%20x@example.com", "mailto:<bob@example.com>", "mailto:a@b@example.com",
		"mailto:bob@exa_mple", "mailto:alice@bridge.test", "mailto:parley+x@bridge.test", "mailto:%zz@example.com", "mailto:bob,eve@example.com",
	} {
		d := hello("hi")
		d.Target = target
		if m, err := ourNames().message(d, wording{text: "hi"}); err == nil {
			t.Errorf("%s is written to as %s", target, m.to)
		}
	}
}

// FuzzHeaders: E13, no words from outside begin a header field or end the
// header.
func FuzzHeaders(f *testing.F) {
	f.Add("Alice", "Subject", "sip:alice@sip.test", "<m@x>", "text")
	f.Add("a\r\nBcc: eve@example.com", "x\r\n\r\nbody", "sip:a\r\nb@sip.test", "<a@b>\r\nX: y", "\r\n.\r\n")
	f.Add("=?utf-8?q?=0D=0ABcc:_eve?=", "\u2028X: y", "sip:\"@sip.test", "<a b@c>", "From x\n")
	f.Add("\xff\xfe", strings.Repeat("é", 500), "sip:"+strings.Repeat("a", 300)+"@sip.test", strings.Repeat("<a@b>", 99), "\x00")
	f.Fuzz(func(t *testing.T, name, title, from, reply, text string) {
		d := hello(text)
		d.SenderName, d.FromName, d.Title, d.From, d.Sender, d.InReplyTo = name, name, title, event.Address(from), event.Address(from), reply
		m, err := ourNames().message(d, wording{text: text})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := read(t, m.data)
		allowed := "Auto-Submitted Content-Transfer-Encoding Content-Type Date From In-Reply-To Message-Id Mime-Version Received References Reply-To Subject To X-Parley-Loop "
		for key, values := range h {
			if !strings.Contains(allowed, key+" ") || len(values) != 1 {
				t.Errorf("header %s: %q", key, values)
			}
		}
		list, err := h.AddressList("From")
		if err != nil || len(list) != 1 || !strings.HasSuffix(list[0].Address, "@bridge.test") {
			t.Errorf("From %q: %v, %v", h.Get("From"), list, err)
		}
		for i := range len(m.data) {
			if m.data[i] >= 0x80 {
				t.Fatalf("byte %#x", m.data[i])
			}
		}
	})
}
