package bus

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		pattern, subject string
		want             bool
	}{
		{"parley.>", "parley.inbound.sip.l", true},
		{"parley.>", "parley.>", true},
		{"parley.>", "parley", false},
		{"parley.*.sip.>", "parley.inbound.sip.>", true},
		{"parley.*.sip.>", "parley.*.sip.*", true},
		{"parley.*.sip.>", "parley.*.*.l", false},
		{"parley.*.sip.>", "parley.>", false},
		{"parley.inbound.sip.l", "parley.inbound.sip.l", true},
		{"parley.inbound.sip.l", "parley.inbound.sip.*", false},
		{"parley.inbound.sip.*", "parley.inbound.sip.>", false},
		{"parley.inbound.sip", "parley.inbound.sip.l", false},
		{"parley.inbound.sip.l", "parley.inbound.sip", false},
	} {
		if got := covers(tc.pattern, tc.subject); got != tc.want {
			t.Errorf("%s covers %s: %v", tc.pattern, tc.subject, got)
		}
	}
}

// A subscriber finds the server again, on the same port, after storage failed
// and was opened anew; and what it asks is answered again.
func TestTheListenerComesBackAfterAReopening(t *testing.T) {
	_, public, err := NewSubscriberKey()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	b, err := Open(ctx, Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Subscribers: []Subscriber{{Name: "archive", Key: public}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	before := b.Addr()
	if err := b.recover(ctx); err != nil {
		t.Fatal(err)
	}
	if b.Addr() != before || before == "" {
		t.Errorf("it listened on %q, and now on %q", before, b.Addr())
	}
	inbox := "_INBOX_archive.x"
	answers, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.nc.PublishRequest("replay.archive.STREAM.INFO.PARLEY_INBOUND", inbox, nil); err != nil {
		t.Fatal(err)
	}
	if m, err := answers.NextMsgWithContext(ctx); err != nil || !strings.Contains(string(m.Data), "stream_info_response") {
		t.Errorf("got %v, %v", m, err)
	}
}

// What a client brings about in the server's log must not count as a failure
// of the disk.
func TestTroubleIsNotForSubscribersToMake(t *testing.T) {
	n := 0
	l := &serverLog{log: slog.New(slog.DiscardHandler), trouble: func(string) { n++ }}
	l.Errorf(`127.0.0.1:5 - cid:9 - "v1:go:write error" - authentication error - User %q`, "failed to store")
	l.Warnf(`127.0.0.1:5 - cid:9 - %s`, "disabling JetStream")
	if n != 0 {
		t.Errorf("%d times trouble", n)
	}
	l.Errorf("JetStream failed to store a msg on stream %q: %v", "PARLEY_INBOUND", "write error")
	if n != 1 {
		t.Error("no trouble when there is")
	}
}

func TestTheHostsKeyIsGoodWithinTheProcessOnly(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	b, err := Open(ctx, Config{Durability: Memory, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	public, err := b.server.key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+b.Addr(), nats.Nkey(public, b.server.key.Sign))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("got %v, want a refusal", err)
	}
	if err == nil {
		nc.Close()
	}
}

func TestCalmLogsSomeAndCountsTheRest(t *testing.T) {
	var c calm
	logged, more := 0, 0
	at := time.Unix(1, 0)
	for i := range 3 * calmLines {
		if i == 2*calmLines {
			at = at.Add(time.Second)
		}
		if ok, n := c.may(at); ok {
			logged, more = logged+1, more+n
		}
	}
	if logged != 2*calmLines || more != calmLines {
		t.Errorf("%d lines, %d counted", logged, more)
	}
}

// FuzzRequest: whatever a subscriber asks, what is asked of JetStream is about
// its own consumers, pulls, and names no subject to write on.
func FuzzRequest(f *testing.F) {
	s := Subscriber{Name: "web", Subjects: []string{"parley.inbound.web.>"}}
	const create = "replay.web.CONSUMER.CREATE.PARLEY_INBOUND.reader_web_1"
	f.Add(create, []byte(`{"stream_name":"x","config":{"ack_policy":"none","filter_subject":"stored.parley.inbound.web.>","DELIVER_SUBJECT":""}}`))
	f.Add(create+".stored.>", []byte(`{"config":{"ack_policy":"none","filter_subjects":["stored.parley.inbound.web.a","stored.>"]}}`))
	f.Add("replay.web.CONSUMER.MSG.NEXT.PARLEY_STATUS.reader_web_9", []byte(`{"batch":1}`))
	f.Add("replay.web.CONSUMER.DELETE.PARLEY_INBOUND.route", []byte(nil))
	f.Add("replay.web.STREAM.INFO.KV_parley_keys", []byte(nil))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		asked, out, err := s.request(subject, body)
		if err != nil {
			return
		}
		rest, ok := strings.CutPrefix(asked, apiPrefix)
		if !ok {
			t.Fatalf("asks %q", asked)
		}
		if stream, ok := strings.CutPrefix(rest, "STREAM.INFO."); ok && Stream(stream).root() != "" && out == nil {
			return
		}
		parts := strings.Split(strings.TrimPrefix(rest, "CONSUMER."), ".")
		if parts[0] == "MSG" {
			parts = parts[1:]
		}
		if len(parts) < 3 || Stream(parts[1]).root() == "" || !strings.HasPrefix(parts[2], "reader_web_") {
			t.Fatalf("asks %q", asked)
		}
		if parts[0] != "CREATE" {
			return
		}
		var c struct{ Config map[string]any }
		if err := json.Unmarshal(out, &c); err != nil {
			t.Fatal(err)
		}
		if c.Config["deliver_subject"] != nil || c.Config["durable_name"] != nil || c.Config["ack_policy"] != "none" || c.Config["name"] != parts[2] {
			t.Fatalf("asks %s", out)
		}
		filters, _ := c.Config["filter_subjects"].([]any)
		if one, ok := c.Config["filter_subject"]; ok {
			filters = append(filters, one)
		}
		for _, x := range filters {
			if text, ok := x.(string); !ok || !covers("stored.parley.inbound.web.>", text) {
				t.Fatalf("reads %s", out)
			}
		}
		if len(filters) == 0 {
			t.Fatalf("reads everything: %s", out)
		}
	})
}
