package sipedge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/content/composing"
	"parley.im/plugins/content/imdn"
)

// listed is a MESSAGE to several recipients as RFC 5365 shows it.
func (p *probe) listed(part string, uris ...string) *draft {
	var entries strings.Builder
	for _, u := range uris {
		fmt.Fprintf(&entries, `<entry uri="%s" cp:copyControl="to"/>`, u)
	}
	body := "--b\r\n" + part + "\r\n--b\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n" +
		`<?xml version="1.0" encoding="UTF-8"?><resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:cp="urn:ietf:params:xml:ns:copycontrol"><list>` +
		entries.String() + "</list></resource-lists>\r\n--b--"
	return p.message("sip:example.com", body).with("Require: recipient-list-message", `Content-Type: multipart/mixed;boundary="b"`)
}

// C12 S08: each recipient of a list gets the message once.
func TestC12AListOfRecipients(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	d := p.listed("Content-Type: text/html\r\n\r\n<b>hi</b>", "sip:bob@example.com", "sip:lobby@example.com", "SIP:bob@EXAMPLE.com:5060")
	if res := p.say(d); code(res) != "202" {
		t.Fatal(res)
	}
	if res := p.ask(d.String()); code(res) != "202" { // sent once more
		t.Fatal(res)
	}
	var got []string
	for _, in := range h.stored() {
		got = append(got, string(in.Recipient)+" "+in.MediaType+" "+string(in.Data))
	}
	if want := []string{"sip:bob@example.com text/html <b>hi</b>", "sip:lobby@example.com text/html <b>hi</b>"}; !slices.Equal(got, want) {
		t.Errorf("stored %q", got)
	}
	two := p.listed("\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\npng", "sip:bob@example.com")
	if res := p.say(two); code(res) != "202" {
		t.Fatal(res)
	}
	if in := h.stored()[2]; in.MediaType != `multipart/mixed;boundary="b"` || !strings.Contains(string(in.Data), "one") || strings.Contains(string(in.Data), "resource-lists") {
		t.Errorf("%s %q", in.MediaType, in.Data)
	}
}

// C12: a list that is not taken whole is not taken at all.
func TestC12AListThatIsRefused(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	h.refuse["sip:nobody@example.com"] = fmt.Errorf("%w: nobody", ErrNoRoute)
	p := dial(t, s, "tcp")
	many := make([]string, maxRecipients+1)
	for i := range many {
		many[i] = fmt.Sprintf("sip:u%d@example.com", i)
	}
	text := "\r\nhi"
	elsewhere := p.listed(text, "sip:bob@example.com")
	elsewhere.uri = "sip:example.org"
	for name, tc := range map[string]struct {
		d    *draft
		want string
	}{
		"one that no route takes": {p.listed(text, "sip:bob@example.com", "sip:nobody@example.com"), "404"},
		"one in a foreign domain": {p.listed(text, "sip:bob@example.com", "sip:eve@example.org"), "404"},
		"one that is no address":  {p.listed(text, "mailto:bob@example.com"), "400"},
		"too many":                {p.listed(text, many...), "413"},
		"nobody":                  {p.listed(text), "400"},
		"a foreign service":       {elsewhere, "404"},
		"no list":                 {p.message("sip:example.com", "hi").with("Require: recipient-list-message", "Content-Type: text/plain"), "400"},
		"cut off": {p.message("sip:example.com", "--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n<resource-lists").
			with("Require: recipient-list-message", "Content-Type: multipart/mixed;boundary=b"), "400"},
	} {
		if res := p.say(tc.d); code(res) != tc.want {
			t.Errorf("%s: %s", name, res)
		}
	}
	if res := p.ask(p.listed(text, "sip:bob@example.com").String()); code(res) != "401" {
		t.Errorf("a stranger: %s", res)
	}
	if n := len(h.stored()); n != 0 {
		t.Errorf("%d stored", n)
	}
}

func FuzzDivideList(f *testing.F) {
	f.Add(`multipart/mixed;boundary="b"`, "--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list><entry uri=\"sip:a@b\"/></list></resource-lists>\r\n--b--")
	f.Fuzz(func(t *testing.T, mediaType, body string) {
		c, uris, err := divideList(mediaType, []byte(body))
		if err == nil && (len(uris) == 0 || checkType(c.MediaType) != nil) {
			t.Fatalf("%q to %q", c.MediaType, uris)
		}
	})
}

// C08: what phones send by themselves is no message to a list, either.
func TestSignalsToAListAreNotStored(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	state := composing.State{Active: true, Refresh: time.Minute}
	notice := imdn.Notification{MessageID: "out-1", DateTime: time.Now(), Kind: imdn.Displaying, Status: imdn.Displayed}
	wrapped := "Content-Type: message/cpim\r\n\r\nFrom: <sip:alice@example.com>\r\nTo: <sip:bob@example.com>\r\n\r\nContent-Type: " + composing.MediaType + "\r\n\r\n"
	for name, part := range map[string]string{
		"typing":         "Content-Type: " + composing.MediaType + "\r\n\r\n" + string(state.XML("text/plain")),
		"typing in CPIM": wrapped + string(state.XML("text/plain")),
		"a notice":       "Content-Type: " + imdn.MediaType + "\r\n\r\n" + string(notice.XML()),
		"nonsense":       "Content-Type: " + imdn.MediaType + "\r\n\r\nx",
	} {
		if res := p.say(p.listed(part, "sip:bob@example.com", "sip:lobby@example.com")); code(res) != "202" {
			t.Errorf("%s: %s", name, res)
		}
	}
	if n := len(h.stored()); n != 0 {
		t.Errorf("%d stored", n)
	}
	var to []string
	for len(h.typing) > 0 {
		to = append(to, string((<-h.typing).Recipient))
	}
	if slices.Sort(to); strings.Join(to, " ") != "sip:bob@example.com sip:bob@example.com sip:lobby@example.com sip:lobby@example.com" {
		t.Errorf("typing is told to %q", to)
	}
	if len(h.told) == 0 {
		t.Fatal("nobody is told what became of the message")
	}
	if got := <-h.told; got.Outbound != "out-1" || got.State != event.Displayed {
		t.Errorf("told %+v", got)
	}
}

// M22: a signed message to a list is refused as one to somebody alone is.
func TestAStaleSignedMessageToAList(t *testing.T) {
	h := newHost()
	s := run(t, config(h), h)
	p := dial(t, s, "tcp")
	signed := "Content-Type: multipart/signed;boundary=s\r\n\r\n--s\r\n\r\nhi\r\n--s--"
	encoded := "Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8="
	for _, tc := range []struct {
		name, part string
		age        time.Duration
		want       string
	}{
		{"of yesterday", signed, 24 * time.Hour, "400"},
		{"of yesterday, encoded", encoded, 24 * time.Hour, "400"},
		{"of now", signed, 0, "202"},
		{"of now, encoded", encoded, 0, "202"},
		{"not signed", "Content-Type: text/plain\r\n\r\nhi", 24 * time.Hour, "202"},
	} {
		d := p.listed(tc.part, "sip:bob@example.com").with("Date: " + time.Now().Add(-tc.age).UTC().Format(http.TimeFormat))
		if res := p.say(d); code(res) != tc.want {
			t.Errorf("%s: %s", tc.name, res)
		}
	}
	all := h.stored()
	if len(all) != 3 || all[1].MediaType != "application/pkcs7-mime" || string(all[1].Data) != "hello" {
		t.Errorf("stored %+v", all)
	}
}
