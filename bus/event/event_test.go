package event

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// examples has one of each event, with every attribute set.
func examples() map[string]Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000000, time.UTC)
	envelope := Envelope{
		Kind: KindMessage, Sender: "sip:ann@example.com", SenderName: `Ann "A" Müller`,
		Recipient: "sip:lobby@example.com", Conversation: "c0nv", Thread: "1712345678.0001",
		InReplyTo: "$evt:hs.org", Concerns: InboundID("matrix", "$evt:hs.org"), Title: "Lunch?\r\nce-hops: 99", Language: "de-AT",
		Sent: at.Add(-time.Second), Expires: at.Add(time.Hour), Wants: []State{Delivered, Displayed},
		Automatic: true, Origin: "sip", NativeID: "call-id@host;1 MESSAGE", MessageID: "34jk324j", Original: "media-9",
		Files: []File{{Name: "Plan \"B\".pdf", Content: Content{MediaType: "application/pdf", Ref: "media-7", SHA256: strings.Repeat("0b", 32), Size: 1234}}}, Hops: 7, Mark: InboundID("web", "1") + ";7;",
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	in := Inbound{
		ID: InboundID("sip", "ann", "lobby", "call-id", "1", "tag"), Time: at, Lane: "laneA",
		Envelope: envelope, Content: Content{MediaType: "text/plain;charset=utf-8", Data: []byte("Servus\r\n")},
	}
	out := Outbound{
		ID: OutboundID(in.ID, "matrix:r/lobby:hs.org", 2), Time: at.Add(time.Millisecond), Inbound: in.ID,
		Connector: "matrix", Target: "matrix:r/lobby:hs.org", From: "sip:lobby@example.com", FromName: "Lobby",
		Generation: 2, Route: "lobby", Mode: ModeDesk, Correspondent: "sip:carol@example.com", Lane: "laneB", Envelope: envelope,
		Content: Content{MediaType: "image/png", Ref: "body.x", SHA256: strings.Repeat("0a", 32), Size: 300000},
	}
	status := out.Status(Failed, at)
	status.RemoteIDs, status.Anchor = []string{"$1:hs.org", "a b"}, "$root"
	status.Reason, status.Detail = ReasonRefused, "403 Forbidden: ann is banned"
	status.Losses, status.SettledThrough = []string{"bold text"}, 4711
	dead := Dead{DeadID: DeadID(out.ID), At: at, Reason: ReasonExhausted, Detail: "no answer", Outbound: out}
	return map[string]Event{
		"inbound": in, "outbound": out, "failed": status, "dead": dead,
		"delivered": out.Status(Delivered, at), "accepted": out.Status(Accepted, at), "displayed": out.Status(Displayed, at),
		"typing": Typing{
			Connector: "web", Lane: "laneC", Time: at, Sender: "web:u/eve", Recipient: "sip:ann@example.com",
			Active: true, Refresh: 2 * time.Minute,
		},
	}
}

// TestGolden guards the form on the wire: whoever reads the log relies on it.
func TestGolden(t *testing.T) {
	for name, e := range examples() {
		w, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		fmt.Fprintf(&got, "subject: %s\n", e.Subject())
		for _, h := range w.Names() {
			fmt.Fprintf(&got, "%s: %s\n", h, w.Header[h])
		}
		fmt.Fprintf(&got, "\n%s", w.Data)
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant (%v)\n%s", name, got.String(), err, want)
		}
	}
}

func TestExamplesComeBack(t *testing.T) {
	for name, e := range examples() {
		w, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(w)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%s: sent %+v\ngot  %+v (%v)", name, e, back, err)
		}
	}
}

// draw makes events of any content.
type draw struct{ *rapid.T }

func (d draw) text(name string) string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "\r\nce-x: y", "%41", "\xff\x00", "ä b\"c%"})).Draw(d.T, name)
}

func (d draw) time(name string) time.Time {
	if rapid.Bool().Draw(d.T, name+" unknown") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(0, 1<<33).Draw(d.T, name), rapid.Int64Range(0, 999_999_999).Draw(d.T, name+" ns")).UTC()
}

func (d draw) list(name string) []string {
	list := rapid.SliceOfN(rapid.StringN(1, -1, 40), 0, 3).Draw(d.T, name)
	if len(list) == 0 {
		return nil
	}
	return list
}

func (d draw) states() (s []State) {
	for _, x := range d.list("wants") {
		s = append(s, State(x))
	}
	return s
}

func (d draw) envelope(origin string) Envelope {
	return Envelope{
		Kind: Kind(d.text("kind")), Sender: Address(d.text("sender")), SenderName: d.text("name"),
		Recipient: Address(d.text("recipient")), Conversation: d.text("conversation"), Thread: d.text("thread"),
		InReplyTo: d.text("reply"), Concerns: d.text("concerns"), Title: d.text("title"), Language: d.text("language"),
		Sent: d.time("sent"), Expires: d.time("expires"), Wants: d.states(), State: State(d.text("state")),
		Automatic: rapid.Bool().Draw(d.T, "automatic"), Origin: origin, NativeID: d.text("native"), MessageID: d.text("message"), Original: d.text("original"), Files: d.files(), Mark: d.text("mark"),
		Hops: rapid.IntRange(0, 100).Draw(d.T, "hops"), Traceparent: d.text("trace"),
	}
}

func (d draw) files() (list []File) {
	for range rapid.IntRange(0, 3).Draw(d.T, "files") {
		words := rapid.String() // in JSON all is UTF-8
		list = append(list, File{Name: words.Draw(d.T, "file"), Content: Content{
			MediaType: words.Draw(d.T, "type"), Ref: "r" + words.Draw(d.T, "ref"), SHA256: words.Draw(d.T, "sum"), Size: rapid.Int64Range(0, 1<<50).Draw(d.T, "size"),
		}})
	}
	return list
}

func (d draw) content() Content {
	c := Content{MediaType: d.text("type"), Data: rapid.SliceOf(rapid.Byte()).Draw(d.T, "body")}
	if rapid.Bool().Draw(d.T, "large") {
		c.Ref, c.SHA256, c.Size = d.text("ref"), d.text("sum"), rapid.Int64Range(0, 1<<50).Draw(d.T, "size")
	}
	return c
}

func (d draw) outbound() Outbound {
	return Outbound{
		ID: "i" + d.text("id"), Time: d.time("time"), Inbound: d.text("inbound"), Connector: d.text("connector"),
		Target: Address(d.text("target")), From: Address(d.text("from")), FromName: d.text("from name"),
		Generation: rapid.IntRange(0, 9).Draw(d.T, "generation"), Route: d.text("route"), Mode: Mode(d.text("mode")), Correspondent: Address(d.text("correspondent")), Lane: d.text("lane"),
		Envelope: d.envelope(d.text("origin")), Content: d.content(),
	}
}

func (d draw) event() Event {
	switch rapid.IntRange(0, 4).Draw(d.T, "event") {
	case 0:
		return Inbound{
			ID: "i" + d.text("id"), Time: d.time("time"), Lane: d.text("lane"),
			Envelope: d.envelope(d.text("connector")), Content: d.content(),
		}
	case 1:
		return d.outbound()
	case 2:
		return Dead{DeadID: "d" + d.text("dead"), At: d.time("at"), Reason: Reason(d.text("reason")), Detail: d.text("detail"), Outbound: d.outbound()}
	case 3:
		return Typing{
			Connector: d.text("connector"), Lane: d.text("lane"), Time: d.time("time"),
			Sender: Address(d.text("sender")), Recipient: Address(d.text("recipient")),
			Active: rapid.Bool().Draw(d.T, "active"), Refresh: time.Duration(rapid.IntRange(0, 1000).Draw(d.T, "refresh")) * time.Second,
		}
	}
	s := d.outbound().Status(rapid.SampledFrom([]State{Accepted, Delivered, Displayed, Failed}).Draw(d.T, "state"), d.time("at"))
	s.RemoteIDs, s.Anchor, s.Losses = d.list("remote"), d.text("anchor"), d.list("losses")
	s.Reason, s.Detail, s.SettledThrough = Reason(d.text("reason")), d.text("detail"), rapid.Uint64Max(1<<62).Draw(d.T, "settled")
	return s
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := draw{t}.event()
		w, err := Encode(e)
		if err != nil {
			return // larger than headers may be: TestEncodeRefusesTooLargeHeaders
		}
		for k, v := range w.Header {
			if strings.ContainsFunc(k+v, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("header %q: %q", k, v)
			}
		}
		back, err := Decode(w)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("sent %#v\ngot  %#v (%v)", e, back, err)
		}
	})
}

func TestEncodeRefusesTooLargeHeaders(t *testing.T) {
	in := Inbound{ID: "a"}
	in.Title = strings.Repeat("ä", MaxHeader/6)
	if w, err := Encode(in); err == nil {
		t.Errorf("encoded to %d headers", len(w.Header))
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := func(change func(h map[string]string)) Wire {
		w, err := Encode(examples()["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		change(w.Header)
		return w
	}
	for _, tc := range []struct {
		name, header, value, want string
	}{
		{"no type", "ce-type", "", "unknown event type"},
		{"a later version", "ce-type", "im.parley.message.inbound.v2", "unknown event type"},
		{"no id", "ce-id", "", "ce-id"},
		{"a time that is none", "ce-time", "yesterday", "ce-time"},
		{"hops that are no number", "ce-hops", "many", "ce-hops"},
		{"negative hops", "ce-hops", "-1", "ce-hops"},
		{"a broken escape", "ce-title", "%4", "ce-title"},
		{"an escape that is none", "ce-title", "%zz", "ce-title"},
	} {
		e, err := Decode(good(func(h map[string]string) { h[tc.header] = tc.value }))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %+v, %v; want an error with %q", tc.name, e, err, tc.want)
		}
	}
	if _, err := Decode(good(func(h map[string]string) { h["ce-later"] = "x" })); err != nil {
		t.Errorf("an attribute of later: %v", err)
	}
}

// FuzzDecode feeds headers of any content, as "name: value" lines.
func FuzzDecode(f *testing.F) {
	for _, e := range examples() {
		w, err := Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		var lines strings.Builder
		for _, name := range w.Names() {
			fmt.Fprintf(&lines, "%s: %s\n", name, w.Header[name])
		}
		f.Add(lines.String(), w.Data)
	}
	f.Add("ce-type: im.parley.typing.v1\nce-id: %\nce-refresh: 9223372036854775807", []byte(nil))
	f.Add("ce-type: im.parley.message.failed.v1\nce-id: a\nce-losses: %2525 %20 \t %0a", []byte("x"))
	f.Fuzz(func(t *testing.T, lines string, data []byte) {
		w := Wire{Header: map[string]string{}, Data: data}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			w.Header[name] = value
		}
		e, err := Decode(w)
		if err != nil {
			return
		}
		again, err := Encode(e)
		if err != nil {
			return // larger than it came
		}
		back, err := Decode(again)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("decoded %#v\nagain   %#v (%v)", e, back, err)
		}
	})
}

// TestFilesMustBeInMedia: a file that is only in memory would be lost.
func TestFilesMustBeInMedia(t *testing.T) {
	in := examples()["inbound"].(Inbound)
	in.Files = []File{{Name: "a.txt", Content: Content{MediaType: "text/plain", Data: []byte("x")}}}
	if _, err := Encode(in); err == nil {
		t.Error("a file without a ref was written")
	}
	w, _ := Encode(examples()["inbound"])
	w.Header["ce-files"] = "%7B"
	if _, err := Decode(w); err == nil || !strings.Contains(err.Error(), "ce-files") {
		t.Errorf("files that are no JSON: %v", err)
	}
}
