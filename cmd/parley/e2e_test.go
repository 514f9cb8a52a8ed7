package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ann is a person in the chat, alice and bob have phones.

func TestSippSendsAndTheRoomSees(t *testing.T) {
	for _, tc := range []struct{ name, transport string }{{"over UDP", "u1"}, {"over TCP", "t1"}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			alice := b.phone("alice", tc.transport)
			alice.register()
			alice.send("lobby", "hello from sipp")
			m := ann.sees("hello from sipp", nil)
			if m.Conv != "r:lobby" || m.From != "sip:alice@127.0.0.1" {
				t.Errorf("the room sees %+v", m)
			}
		})
	}
}

func TestTheRoomSpeaksAndSippHears(t *testing.T) {
	b := newBridge(t)
	bob := b.phone("bob", "u1")
	bob.register()
	bob.listen()
	ann := joinChat(t, b.web, "ann")
	ann.say("r:lobby", "hello phones")
	got := bob.uas.says(`GOT from=(.*) contact=(.*) body=hello phones$`)
	if !strings.Contains(got[1], "sip:lobby@127.0.0.1") || !strings.Contains(got[1], "ann") {
		t.Errorf("bob's phone shows %q, want the room's address and ann's name", got[1])
	}
	if got[2] != "" { // M02
		t.Errorf("the MESSAGE has a Contact: %q", got[2])
	}
	ann.marked("hello phones", "delivered")
}

func TestBaresipBothWays(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			alice := startBaresip(t, "alice", password("alice"), transport, b.sip, "sip:web-ann@127.0.0.1")
			alice.send("hi ann, this is alice")
			m := ann.sees("hi ann, this is alice", nil)
			if m.From != "sip:alice@127.0.0.1" {
				t.Errorf("ann sees it from %q", m.From)
			}
			ann.say(m.Conv, "hi alice")
			alice.receives("sip:web-ann@127.0.0.1", "hi alice")
			ann.marked("hi alice", "delivered")
			ann.say("r:lobby", "all of you")
			alice.receives("sip:lobby@127.0.0.1", "all of you")
		})
	}
}

func TestLocalPhonesTalkWithoutARoute(t *testing.T) {
	b := newBridge(t)
	bob := b.phone("bob", "u1")
	bob.register()
	bob.listen()
	b.send("alice", "bob", "between us")
	got := bob.uas.says(`GOT from=(.*) contact=.* body=between us$`)
	if !strings.Contains(got[1], "sip:alice@127.0.0.1") {
		t.Errorf("bob's phone shows %q", got[1])
	}
}

func TestAPhoneThatIsOffGetsItsMessagesInOrderWhenItRegisters(t *testing.T) {
	b := newBridge(t)
	for i := range 5 {
		b.send("alice", "bob", fmt.Sprintf("late %d", i))
	}
	b.crash()
	b.start()
	bob := b.phone("bob", "u1")
	bob.register()
	bob.listen()
	for i := range 5 {
		bob.uas.says(fmt.Sprintf(`body=late %d$`, i))
	}
	if got := bodies(bob.uas, "late"); fmt.Sprint(got) != "[late 0 late 1 late 2 late 3 late 4]" {
		t.Errorf("bob's phone got %q", got)
	}
}

// bodies returns the bodies that a listening sipp logged, in order.
func bodies(p *proc, prefix string) (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	re := regexp.MustCompile(` body=(` + prefix + `.*)$`)
	for _, l := range p.lines {
		if m := re.FindStringSubmatch(l); m != nil {
			list = append(list, m[1])
		}
	}
	return list
}

func TestWhatWas202IsInTheRoomOnceAfterACrash(t *testing.T) {
	b := newBridge(t)
	for i := range 10 {
		b.send("alice", "lobby", fmt.Sprintf("precious %d", i))
		b.crash() // at once: routing and delivery are under way or have not begun
		b.start()
	}
	ann := joinChat(t, b.web, "ann")
	for i := range 10 {
		ann.sees(fmt.Sprintf("precious %d", i), nil)
	}
	b.send("alice", "lobby", "precious end")
	ann.sees("precious end", nil)
	if got := ann.texts("precious"); len(got) != 11 {
		t.Errorf("the room has %d messages, want 11: %q", len(got), got)
	}
}

func TestAConnectorKilledInMidDeliveryGivesEachMessageOnce(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	const n = 40
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			b.send("alice", "lobby", fmt.Sprintf("through %02d", i))
		}
	}()
	for i := range 3 {
		ann.sees(fmt.Sprintf("through %02d", 10*i+5), nil)
		kill(t, child(t, b.cmd.Process.Pid, "plugin serve web"))
	}
	<-sent
	for i := range n {
		ann.sees(fmt.Sprintf("through %02d", i), nil)
	}
	late := joinChat(t, b.web, "late") // what the room really holds, in its order
	got := late.texts("through")
	for i := range n {
		if len(got) != n || got[i] != fmt.Sprintf("through %02d", i) {
			t.Fatalf("the room holds %d messages, want %d in order: %q", len(got), n, got)
		}
	}
}

func TestNoChildOutlivesTheHost(t *testing.T) {
	b := newBridge(t)
	pid := child(t, b.cmd.Process.Pid, "plugin serve web")
	b.crash()
	gone(t, pid)
}

func TestItStopsInOrder(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann") // an open page must not hold it up
	defer ann.stop()
	began := time.Now()
	b.signal(syscall.SIGINT)
	if code := b.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

func TestItAnswersWhereItSaysItIs(t *testing.T) {
	b := newBridge(t)
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": "parley_outbound_settled_total", "/c/web/": "<!doctype html",
	} {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", b.web, path))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(strings.ToLower(string(body)), want) {
			t.Errorf("%s: %s %v\n%.200s", path, resp.Status, err, body)
		}
	}
}

func TestTailFollowsOneMessage(t *testing.T) {
	b := newBridge(t)
	tail := start(t, "tail", exec.Command(parley, "tail", "--config", b.config))
	tail.says(`^following`)
	b.send("alice", "lobby", "secret words")
	for _, fact := range []string{"inbound", "outbound", "delivered"} {
		tail.says(fact)
	}
	if strings.Contains(tail.tail(100), "secret words") {
		t.Error("tail shows the body of a message")
	}
}
