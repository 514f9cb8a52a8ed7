package main

import (
	"bytes"
	"fmt"
	"net/mail"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley.im/plugins/email/mailtest"
)

// A held network has stored a message and not answered yet.
type held struct {
	stored  func() // waits until it has a message
	release func() // lets it answer
}

// hold keeps back the answers of the networks that give any.
func (tn *town) hold() map[string]held {
	matrix := tn.hs.HoldAnswers()
	slack, free := tn.slack.Hold()
	taken, released := make(chan string, 100), make(chan struct{})
	tn.relay.Hold(func(m mailtest.Mail) {
		taken <- m.From
		<-released
	})
	return map[string]held{
		"matrix": {func() { arrives(tn.t, "matrix", matrix.Stored) }, tn.hs.Restore},
		"slack":  {func() { arrives(tn.t, "slack", slack) }, free},
		"email":  {func() { arrives(tn.t, "email", taken) }, func() { tn.relay.Hold(nil); close(released) }},
	}
}

func arrives[T any](t *testing.T, network string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Errorf("%s never got the message", network)
	}
}

// settled waits until the host has stored an outcome for each connector, in
// the lines after the first n.
func (tn *town) settled(n int, connectors ...string) {
	tn.t.Helper()
	for _, c := range connectors {
		tn.saysAfter(n, `msg=(accepted|delivered) connector=`+c+` `)
	}
}

// once checks that each network shows each of the rounds once. Mail has a
// window: a mail whose answer was lost comes twice, with the same Message-ID.
func (tn *town) once(t *testing.T, networks ...string) {
	t.Helper()
	views := tn.views()
	twice := 0
	for _, n := range networks {
		count := map[string]int{}
		for _, s := range views[n] {
			count[s.text]++
		}
		for i := range kills {
			c := count[round(i)]
			if c == 0 || c > 1 && n != "mail" || c > 2 {
				t.Errorf("%s shows %q %d times", n, round(i), c)
			}
			if c == 2 {
				twice++
			}
		}
	}
	ids := map[string]string{}
	for _, m := range tn.relay.Mails() {
		text, id := readMail(t, m.Data).text, messageID(t, m.Data)
		if ids[text] != "" && ids[text] != id {
			t.Errorf("%q came as %s and as %s", text, ids[text], id)
		}
		ids[text] = id
	}
	t.Logf("%d of %d mails came twice, each with the Message-ID it had", twice, kills)
}

func round(i int) string { return fmt.Sprintf("round %02d", i) }

func messageID(t *testing.T, data []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get("Message-Id")
}

func TestEachConnectorKilledBetweenASendAndItsAnswerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	for i := range kills {
		if i%3 == 2 { // the host waits longer each time before it starts a connector that dies
			tn.signal(syscall.SIGTERM)
			tn.ends()
			tn.start()
		}
		from, networks := tn.lineCount(), tn.hold()
		pids := map[string]int{"web": tn.pid("web")}
		for name := range networks {
			pids[name] = tn.pid(name)
		}
		tn.send("alice", "town", round(i))
		_ = syscall.Kill(pids["web"], syscall.SIGKILL) // wherever it is
		var killing sync.WaitGroup
		for name, n := range networks {
			killing.Go(func() {
				n.stored()
				_ = syscall.Kill(pids[name], syscall.SIGKILL)
				n.release()
			})
		}
		killing.Wait()
		tn.settled(from, "matrix", "slack", "email", "web", "sip")
	}
	tn.once(t, all()...)
}

func TestTheHostKilledBetweenASendAndItsAnswersLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	for i := range kills {
		networks := tn.hold()
		tn.phone.holdAnswers()
		tn.send("alice", "town", round(i))
		for _, n := range networks {
			n.stored()
		}
		tn.phone.sees(round(i))
		tn.crash()
		for _, n := range networks {
			n.release()
		}
		tn.phone.release()
		tn.start()
		tn.settled(0, "matrix", "slack", "email", "sip")
	}
	tn.shown(round(kills-1), "web")
	tn.once(t, all()...)
}
