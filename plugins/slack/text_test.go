package slack

import (
	"strings"
	"testing"
	"unicode/utf8"

	"parley.im/bus/event"
	"parley.im/plugins/content/markup"
)

func nobody(user string) string { return "N" + user }

// plain is the words of what somebody wrote.
func plain(t *testing.T, src string) string {
	d, err := mrkdwn(src, nobody)
	if err != nil {
		t.Fatal(err)
	}
	words, err := d.Write(markup.Plain)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func TestReferencesBecomeReadable(t *testing.T) {
	for in, want := range map[string]string{
		"<@U1> <@U2|bob>":            "@NU1 @bob",
		"<#C1|general> <#C2> <#C3|>": "#general #C2 #C3",
		"<!here> <!subteam^S1|@oncall> <!date^1^{date}|today> <!channel>": "@here @oncall today @channel",
		"<https://a.b/c> <https://a.b|a.b> <https://a.b|words>":           "https://a.b/c a.b words (https://a.b)",
		"<mailto:x@y.z|x@y.z> <tel:+1555|+1555> <mailto:x@y.z>":           "x@y.z +1555 x@y.z",
		"1 &lt; 2 &amp;&amp; 3 &gt; 2 &amp;lt;":                           "1 < 2 && 3 > 2 &lt;",
		"open < never closed":                                             "open < never closed", "<>": "<>", "<|x>": "x", "a <": "a <", "<@U1|>": "@NU1",
	} {
		if got := plain(t, in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestWhoIsDialled(t *testing.T) {
	for text, want := range map[string]string{
		"alice@example.com hello":      "sip:alice@example.com|hello",
		"sip:alice@example.com: hello": "sip:alice@example.com|hello",
		"alice hello there":            "sip:alice@home|hello there",
		"+1555\nhello":                 "sip:+1555@home|hello",
		"alice":                        "", "alice ": "", "": "", "who? me": "", "a@b@c hello": "", "Sip:alice@example.com, hello": "sip:alice@example.com|hello", "alice\u00a0hello": "sip:alice@home|hello", "alice@ hello": "", "@b hello": "sip:b@home|hello",
	} {
		to, rest, ok := dial(text, "home")
		got := ""
		if ok {
			got = string(to) + "|" + rest
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if _, _, ok := dial("alice hello", ""); ok {
		t.Error("a bare name without a domain names somebody")
	}
}

func TestNamesAreShortAndOnOneLine(t *testing.T) {
	if got := oneLine("Eve\r\nX: \u202eevil\x00 "); got != "Eve X: evil" {
		t.Errorf("got %q", got)
	}
	if got := oneLine("\u200b\u2060\ufeff"); got != "" {
		t.Errorf("a name that nobody sees is %q", got)
	}
	long := oneLine(strings.Repeat("é", 100))
	if len(long) > maxUsername || !utf8.ValidString(long) || !strings.HasSuffix(long, "…") {
		t.Errorf("got %q", long)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"<@U1> &lt; <https://x|y>", "<<>>", "<!date^|", "\xff<\x00>", "alice hello"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := plain(t, s)
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\u202e") {
			t.Errorf("%q became %q", s, text)
		}
		if n := oneLine(s); len(n) > maxUsername || strings.ContainsAny(n, "\n\r") {
			t.Errorf("%q became the name %q", s, n)
		}
		if to, rest, ok := dial(s, "home"); ok && (to.Check() != nil || rest == "") {
			t.Errorf("%q dials %q", s, to)
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","ts":"1.2","user":"U1","text":"x"}}`))
	f.Add([]byte(`{"type":"event_callback","authorizations":[{}],"event":{"type":"message","files":[{}],"metadata":{}}}`))
	f.Add([]byte(`{"event":[]}`))
	f.Add([]byte(`{"type":"event_callback","event":{"type":"message","subtype":"message_changed","channel":"C1","ts":"1.3","message":{"user":"U1","ts":"1.2"},"previous_message":{"user":"U1","ts":"1.2","text":"x"}}}`))
	f.Add([]byte(`{"type":"event_callback","event":{"type":"message","subtype":"message_deleted","channel":"C1","ts":"1.3","deleted_ts":"1.2","previous_message":{"user":"U1","files":[{}]}}}`))
	f.Add([]byte(`{"type":"event_callback","event":{"type":"reaction_removed","user":"U1","reaction":"tada","event_ts":"1.3","item":{"type":"message","channel":"C1","ts":"1.2"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, ok, err := hear(body)
		if ok && err != nil {
			t.Error("both")
		}
		if _, valid := readSpot(h.spot().String()); ok && !valid {
			t.Errorf("%q was taken for a message", h.spot())
		}
		if !ok || h.kind == "" {
			return
		}
		if _, valid := readSpot(h.about.String()); !valid || h.User == "" || h.Bot != "" || h.kind == event.KindRedact && h.Reaction == "" && len(h.parts()) == 0 {
			t.Errorf("%+v concerns %q", h.said, h.about)
		}
	})
}
