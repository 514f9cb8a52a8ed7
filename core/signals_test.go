package core

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/core/plughost"
	"parley.im/plugins/sdk"
)

// TestMain is a connector when a test has started this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		sdk.Serve(&onlooker{})
	}
	os.Exit(m.Run())
}

// onlooker is a connector that logs what is delivered to it.
type onlooker struct{ log *slog.Logger }

func (*onlooker) Describe() sdk.Description {
	return sdk.Description{
		Network: "chat", Schemes: []string{"chat"}, Types: []string{"*/*"}, Settings: `{"additionalProperties":false}`,
		Kinds: []event.Kind{event.KindMessage, event.KindTyping},
	}
}

func (o *onlooker) Open(_ context.Context, _ sdk.Settings, h sdk.Host) error {
	o.log = h.Log()
	return nil
}

func (o *onlooker) Deliver(_ context.Context, d event.Delivery) (event.Receipt, error) {
	o.log.Info(fmt.Sprintf("%s of %s at %s in %q: %v", d.Kind, d.Sender, d.Target, d.Anchor, d.Active))
	return event.Receipt{}, nil
}

func (*onlooker) Close(context.Context) error { return nil }

// lines is a log handler that passes on what is logged.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l lines) WithGroup(string) slog.Handler            { return l }
func (l lines) Handle(_ context.Context, r slog.Record) error {
	l <- r.Message
	return nil
}

// see waits for a line and complains about another one about typing.
func (l lines) see(t *testing.T, want string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case got := <-l:
			if got == want {
				return
			}
		case <-late:
			t.Fatalf("never logged: %s", want)
		}
	}
}

func TestComposingIsToldWhereTheConversationGoesOn(t *testing.T) {
	h := router(t)
	seen := make(lines, 100)
	sockets, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	c := &connector{name: "chat"}
	b := &backend{h: h, c: c}
	c.process = plughost.New(plughost.Config{
		Name: "chat", Command: []string{os.Args[0], "serve"}, SocketDir: sockets, Log: slog.New(seen),
	}, b)
	h.current.Store(&setup{config: h.now().config, table: h.now().table, connectors: map[string]*connector{"chat": c}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.process.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-c.process.Ready()

	out := h.assigned(t, spoken("chat:u/ann", "chat:r/lobby", ""))[1]
	if err := h.talks.SetAnchor(t.Context(), "chat", out.Conversation, out.Target, "thread-1"); err != nil {
		t.Fatal(err)
	}
	for _, active := range []bool{true, false} {
		if err := b.Signal(t.Context(), event.Typing{Sender: "chat:u/ann", Recipient: "chat:r/lobby", Active: active}); err != nil {
			t.Fatal(err)
		}
		seen.see(t, fmt.Sprintf(`typing of chat:u/ann at chat:r/yard in "thread-1": %v`, active))
	}
	if err := b.Signal(t.Context(), event.Typing{Sender: "chat:u/ann", Recipient: "chat:r/nowhere", Active: true}); err != nil {
		t.Errorf("a signal that no route takes: %v", err)
	}
}
