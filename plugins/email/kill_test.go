package email

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"testing"
	"time"

	"parley.im/plugins/email/mailtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
	"parley.im/plugins/sdk/sdktest"
)

// child is the connector in a process of its own.
func child(t *testing.T, relay *mailtest.Relay, host client.Backend) *client.Process {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p, err := client.Start(t.Context(), client.Command{
		Name: "email", Path: os.Args[0], Args: []string{"serve", "email"}, SocketDir: t.TempDir(),
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	table, err := json.Marshal(table{"address": "parley@bridge.test", "smtp": table{"address": relay.Address, "tls": "none"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(t.Context(), sdk.Settings{Instance: "email", JSON: table}, host); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKilledBetweenTheDotAndTheAnswer is the window that SMTP leaves: the
// outcome is unknown, the repetition comes as a second mail, and a reader can
// tell by its Message-ID that it is the same.
func TestKilledBetweenTheDotAndTheAnswer(t *testing.T) {
	relay, err := mailtest.NewRelay(mailtest.Options{TLS: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	stored, release := make(chan struct{}), make(chan struct{})
	relay.Hold(func(mailtest.Mail) {
		close(stored)
		<-release
	})
	host := sdktest.NewBackend()
	p := child(t, relay, host)
	done := make(chan error, 1)
	go func() {
		_, err := p.Deliver(t.Context(), hello("once"))
		done <- err
	}()
	<-stored
	victim, err := os.FindProcess(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := outcomeOf(<-done); got != "unknown" {
		t.Errorf("the host is told %s", got)
	}
	relay.Hold(nil)
	close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d := hello("once")
	d.Attempt = 2
	if _, err := child(t, relay, host).Deliver(ctx, d); err != nil {
		t.Fatal(err)
	}
	mails := relay.Mails()
	if len(mails) != 2 || readLetter(mails[0].Data).messageID() != readLetter(mails[1].Data).messageID() {
		t.Errorf("%d mails", len(mails))
	}
}
