package sipedge

import (
	"bytes"
	"compress/zlib"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/cpim"
	"parley.im/plugins/content/imdn"
)

const inCPIM = "From: <sip:president@example.com>\r\nTo: <sip:lobby@example.com>\r\nDateTime: 2026-01-02T03:04:05Z\r\nSubject: Lunch\r\n" +
	"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m-1\r\nimdn.Disposition-Notification: positive-delivery, display, negative-delivery\r\n\r\n"

func TestAMessageInCPIMIsStoredWithoutItsWrapper(t *testing.T) { // C01, C05
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	body := inCPIM + "Content-Type: text/plain;charset=utf-8\r\n\r\nGrüße\r\n\r\n"
	if res := p.say(p.message("sip:lobby@example.com", body).with("Content-Type: message/cpim")); code(res) != "202" {
		t.Fatalf("got %s", res)
	}
	in := h.stored()[0]
	if string(in.Data) != "Grüße\r\n\r\n" || in.MediaType != "text/plain;charset=utf-8" { // C03
		t.Errorf("body %q of %s", in.Data, in.MediaType)
	}
	if in.Sender != "sip:alice@example.com" || in.MessageID != "m-1" || in.Title != "Lunch" || in.Sent.Unix() != 1767323045 ||
		!slices.Equal(in.Wants, []event.State{event.Delivered, event.Displayed, event.Failed}) {
		t.Errorf("envelope %+v", in.Envelope)
	}

	// The phone sends it again by itself, as another request.
	if res := p.say(p.message("sip:lobby@example.com", body).with("Content-Type: message/cpim")); code(res) != "202" {
		t.Fatalf("again: got %s", res)
	}
	encoded := strings.Replace(inCPIM, "m-1", "m-2", 1) + "Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n"
	if res := p.say(p.message("sip:lobby@example.com", encoded).with("Content-Type: message/cpim")); code(res) != "202" {
		t.Fatalf("base64: got %s", res)
	}
	if all := h.stored(); len(all) != 2 || string(all[1].Data) != "hello" || all[1].MediaType != "text/plain" {
		t.Errorf("stored %d messages, the last is %+v", len(all), all[len(all)-1])
	}
}

func TestCPIMThatCantBeReadIsRefused(t *testing.T) { // C02
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	for name, body := range map[string]string{
		"no CPIM":                 "hello",
		"something is required":   "Require: x.Secret\r\n\r\nContent-Type: text/plain\r\n\r\nhello",
		"an encoding nobody has":  "From: <sip:a@b>\r\n\r\nContent-Transfer-Encoding: rot13\r\n\r\nuryyb",
		"base64 that is not that": "From: <sip:a@b>\r\n\r\nContent-Transfer-Encoding: base64\r\n\r\n***",
	} {
		if res := p.say(p.message("sip:lobby@example.com", body).with("Content-Type: message/cpim")); code(res) != "400" {
			t.Errorf("%s: got %s", name, res)
		}
	}
	if n := len(h.stored()); n > 0 {
		t.Errorf("%d are stored", n)
	}
}

func TestAPhoneTellsWhatBecameOfAMessage(t *testing.T) { // C06, C07
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	n := imdn.Notification{MessageID: "out-1", DateTime: time.Now(), Kind: imdn.Displaying, Status: imdn.Displayed}
	var deflated bytes.Buffer
	z := zlib.NewWriter(&deflated)
	_, _ = z.Write(n.XML())
	_ = z.Close()
	byCallID := n
	byCallID.MessageID = "out-1.2.3@example.com"
	inside := "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: n-1\r\n\r\nContent-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n"
	for name, d := range map[string]*draft{
		"of a Call-ID (Linphone)": p.message("sip:lobby@example.com", string(byCallID.XML())).with("Content-Type: message/imdn+xml"),
		"bare":                    p.message("sip:lobby@example.com", string(n.XML())).with("Content-Type: message/imdn+xml"),
		"in CPIM":                 p.message("sip:lobby@example.com", inside+string(n.XML())).with("Content-Type: message/cpim"),
		"compressed (Linphone)":   p.message("sip:lobby@example.com", deflated.String()).with("Content-Type: message/imdn+xml", "Content-Encoding: deflate"),
	} {
		if res := p.say(d); code(res) != "202" {
			t.Fatalf("%s: got %s", name, res)
		}
		select {
		case r := <-h.told:
			if r.Outbound != "out-1" || r.State != event.Displayed || r.Detail != "sip:alice@example.com" {
				t.Errorf("%s: told %+v", name, r)
			}
		case <-time.After(patience):
			t.Fatalf("%s: nobody is told", name)
		}
	}
	failed := byCallID
	failed.Kind, failed.Status = imdn.Delivery, imdn.Failed
	bomb := bytes.Buffer{}
	z = zlib.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 1<<24))
	_ = z.Close()
	for name, d := range map[string]*draft{
		"failed, unasked":  p.message("sip:lobby@example.com", string(failed.XML())).with("Content-Type: message/imdn+xml"),
		"no XML":           p.message("sip:lobby@example.com", "hello").with("Content-Type: message/imdn+xml"),
		"a bomb":           p.message("sip:lobby@example.com", bomb.String()).with("Content-Type: message/imdn+xml", "Content-Encoding: deflate"),
		"another encoding": p.message("sip:lobby@example.com", "x").with("Content-Type: message/imdn+xml", "Content-Encoding: gzip"),
		"composing":        p.message("sip:lobby@example.com", "<isComposing/>").with("Content-Type: application/im-iscomposing+xml"),
	} {
		if res := p.say(d); code(res) != "202" { // C09
			t.Errorf("%s: got %s", name, res)
		}
	}
	if len(h.told) > 0 || len(h.stored()) > 0 {
		t.Errorf("%d more are told, %d stored", len(h.told), len(h.stored()))
	}
}

// read reads what a phone got.
func readCPIM(t *testing.T, req string) cpim.Message {
	t.Helper()
	if got := header1(req, "Content-Type"); got != cpim.MediaType {
		t.Fatalf("Content-Type is %q in %s", got, req)
	}
	_, body, _ := strings.Cut(req, "\r\n\r\n")
	m, err := cpim.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, req)
	}
	return m
}

func TestAReceiptIsSentAsItWasAskedFor(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	p.online(h)
	for state, want := range map[event.State]string{
		event.Accepted: "processing processed", event.Delivered: "delivery delivered", event.Displayed: "display displayed", event.Failed: "delivery failed",
	} {
		d := delivery("n-"+string(state), "words")
		d.Kind, d.State, d.MessageID, d.Sent = event.KindStatus, state, "m-1", time.Unix(1767323045, 0)
		c := deliver(s, d)
		req := p.mustRead()
		p.reply(req, "200 OK")
		if r := await(t, c); r.err != nil {
			t.Errorf("%s: %v", state, r.err)
		}
		if len(req) > maxRequest {
			t.Errorf("%s: %d bytes", state, len(req))
		}
		m := readCPIM(t, req)
		n, err := imdn.Parse(m.Body)
		if err != nil || m.Content("Content-Type") != imdn.MediaType || m.Content("Content-Disposition") != "notification" {
			t.Fatalf("%s: %v in %s", state, err, req)
		}
		if n.MessageID != "m-1" || n.DateTime.Unix() != 1767323045 || string(n.Kind)+" "+string(n.Status) != want {
			t.Errorf("%s: got %+v", state, n)
		}
		if id, asks := imdn.Request(m); id == "" || id == "m-1" || len(asks) > 0 {
			t.Errorf("%s: it has the id %q and asks for %q", state, id, asks)
		}
	}
}

func TestAPhoneIsAskedToTellWhenItShowsAMessageIfItKnowsHow(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "udp")
	get := func(id string, answers ...string) (req string) {
		t.Helper()
		c := deliver(s, delivery(id, "hello"))
		for _, a := range answers {
			req = p.mustRead()
			p.reply(req, a)
		}
		if r := await(t, c); r.err != nil {
			t.Fatalf("%s: %v", id, r.err)
		}
		return req
	}
	p.online(h)
	if got := header1(get("o1", "200 OK"), "Content-Type"); got != "text/plain;charset=utf-8" {
		t.Errorf("a phone of which nothing is known gets %q", got)
	}
	contact := "<sip:bob@" + p.local() + ";transport=udp>"
	if res := p.register("bob", "builder", contact, "600", "Accept: text/plain, message/cpim"); code(res) != "200" {
		t.Fatal(res)
	}
	m := readCPIM(t, get("o2", "200 OK"))
	id, asks := imdn.Request(m)
	if string(m.Body) != "hello" || m.Content("Content-Type") != "text/plain;charset=utf-8" || id != "o2" || !slices.Equal(asks, []imdn.Ask{imdn.Display}) {
		t.Errorf("got %+v", m)
	}
	if from := m.Value("", "From"); from != "<sip:lobby@example.com>" {
		t.Errorf("from %s", from)
	}
	if got := header1(get("o3", "415 Unsupported Media Type", "200 OK"), "Content-Type"); got != "text/plain;charset=utf-8" {
		t.Errorf("after a refusal it gets %q", got)
	}
	if got := header1(get("o4", "200 OK"), "Content-Type"); got != "text/plain;charset=utf-8" {
		t.Errorf("a phone that refused gets %q", got)
	}
}
