package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file size limit makes every write of the running host fail.
func TestADiskThatFailsIsAnswered503UntilItWorksAgain(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	b.send("alice", "lobby", "before")
	ann.sees("before", nil)

	pid := b.cmd.Process.Pid
	var whole unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &whole); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: whole.Max}, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := b.answer("lobby", "meanwhile"); !strings.HasPrefix(got, "503 ") {
			t.Errorf("with a broken disk it answers %q", got)
		}
	}
	b.says(`level=(ERROR|WARN) msg="message (refused|not stored)`)

	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &whole, nil); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); !strings.HasPrefix(b.answer("lobby", "after"), "202 "); {
		if time.Now().After(end) {
			t.Fatal("it never takes messages again")
		}
	}
	ann.sees("after", nil)
	joinChat(t, b.web, "late").sees("before", nil)
}

func TestAFullDiskIsAnswered503(t *testing.T) {
	b := newBridge(t, `reserve     = "64MiB"`, `reserve     = "1048576TiB"`) // more than any disk has free
	out, bad, code := b.cli("", "send", "--config", b.config, "--server", at(b.sip), "--from", "sip:alice@127.0.0.1", "sip:lobby@127.0.0.1", "hello")
	if code != exitFailed || !strings.HasPrefix(out, "503 ") {
		t.Errorf("exit code %d, %q, %q", code, out, bad)
	}
	b.says(`level=(ERROR|WARN).*(full|space|reserve)`)
}

func TestBelowTheReserveWhatIsStoredIsDelivered(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	b.send("alice", "bob", "waits")
	b.crash()
	b.rewrite(`reserve     = "64MiB"`, `reserve     = "1048576TiB"`)
	b.start()
	newUDPPhone(b, "bob").sees("waits")
	b.says(`msg=delivered connector=sip`) // the outcome is stored, too
	if got := b.answer("bob", "new"); !strings.HasPrefix(got, "503 ") {
		t.Errorf("a new message is answered %q", got)
	}
}

func TestASecondHostOnOneStoreIsRefused(t *testing.T) {
	b := newBridge(t)
	other := writeBridge(t, `"data"`, `"`+b.dir+`/data"`)
	p := start(t, "second host", exec.Command(parley, "run", "--config", other.config))
	p.says(`parley: .*(in use|another)`)
	if code := p.ends(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestAStoreThatCantBeMadeIsNamed(t *testing.T) {
	b := writeBridge(t)
	write(t, b.dir, "data", "a file stands where the folder should be")
	p := start(t, "host", exec.Command(parley, "run", "--config", b.config))
	p.says(`parley: .*` + b.dir + `/data`)
	if code := p.ends(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}
