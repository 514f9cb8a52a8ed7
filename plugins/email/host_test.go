package email

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parley.im/bus/event"
	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

const (
	someToken = "abcdefghijklmnopqrstuvwxyz"
	someID    = "abcdefghijklmnopqrstuvwxyz234567"
)

// fakeHost keeps what a connector puts, and says no where rule does.
type fakeHost struct {
	*sdktest.Backend
	log  *slog.Logger
	mu   sync.Mutex
	rule func(event.Inbound) error
}

func newHost() *fakeHost {
	return &fakeHost{Backend: sdktest.NewBackend(), log: slog.New(slog.DiscardHandler)}
}

func (h *fakeHost) Serve(http.Handler) error { return nil }
func (h *fakeHost) Log() *slog.Logger        { return h.log }

// only makes f decide what is taken.
func (h *fakeHost) only(f func(event.Inbound) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rule = f
}

func (h *fakeHost) check(in event.Inbound) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rule == nil {
		return nil
	}
	return h.rule(in)
}

func (h *fakeHost) Accepts(_ context.Context, in event.Inbound) error { return h.check(in) }

func (h *fakeHost) Put(ctx context.Context, in event.Inbound) (string, error) {
	if err := h.check(in); err != nil {
		return "", err
	}
	return h.Backend.Put(ctx, in)
}

// world is an open connector with a submission server and a socket for LMTP.
type world struct {
	*connector
	t      *testing.T
	host   *fakeHost
	relay  *mailtest.Relay
	socket string
}

type table map[string]any

// open opens the connector with what changes in its usual table.
func open(t *testing.T, o mailtest.Options, change func(table)) *world {
	t.Helper()
	w := &world{t: t, host: newHost(), connector: New().(*connector), socket: filepath.Join(t.TempDir(), "in")}
	if o.TLS == "" {
		o.TLS = "none"
	}
	o.Dir = t.TempDir()
	relay, err := mailtest.NewRelay(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	w.relay = relay
	set := table{
		"address": "parley@bridge.test", "domain": "bridge.test", "sip_domain": "sip.test",
		"smtp":   table{"address": relay.Address, "tls": o.TLS, "user": o.User, "password": o.Password, "ca": relay.CA},
		"listen": table{"address": "unix:" + w.socket, "protocol": "lmtp"},
	}
	if change != nil {
		change(set)
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Open(t.Context(), sdk.Settings{Instance: "email", JSON: data}, w.host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	return w
}

// hello is a message from alice to bob.
func hello(text string) event.Delivery {
	return event.Delivery{
		ID: someID, Kind: event.KindMessage, Mode: event.ModeDirect, Target: "mailto:bob@example.com", Correspondent: "sip:alice@sip.test",
		From: "sip:alice@sip.test", FromName: "Alice", Sender: "sip:alice@sip.test", SenderName: "Alice",
		Recipient: "sip:bob@bridge.test", Conversation: "talk", Attempt: 1,
		Content: event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(text)},
	}
}

// sent delivers d and returns the mail that it became.
func (w *world) sent(d event.Delivery) (event.Receipt, mailtest.Mail) {
	w.t.Helper()
	before := len(w.relay.Mails())
	r, err := sdktest.Deliver(w.t.Context(), w.connector, d)
	if err != nil {
		w.t.Fatalf("deliver: %v", err)
	}
	mails := w.relay.Mails()
	if len(mails) != before+1 {
		w.t.Fatalf("%d mails were sent, want 1", len(mails)-before)
	}
	if wrong := w.relay.Wrong(); len(wrong) > 0 {
		w.t.Fatalf("the server finds fault with the mail: %s\n%s", wrong, mails[before].Data)
	}
	return r, mails[before]
}

// lines writes a mail with CRLF.
func lines(list ...string) string { return strings.Join(list, "\r\n") + "\r\n" }

// fromBob is a plain mail of bob's.
func fromBob(to, text string) string {
	return lines("From: Bob <bob@example.com>", "To: "+to, "Message-ID: <m1@example.com>", "Subject: Re: hello", "In-Reply-To: <x@bridge.test>", "", text)
}
