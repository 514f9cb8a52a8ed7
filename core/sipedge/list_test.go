package sipedge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
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
