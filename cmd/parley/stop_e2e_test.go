package main

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestASecondSignalStopsAtOnce(t *testing.T) {
	b := newBridge(t)
	// The connector is frozen, so that the orderly stop has something to wait
	// for.
	frozen := child(t, b.cmd.Process.Pid, "plugin serve web")
	if err := syscall.Kill(frozen, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.signal(syscall.SIGINT)
	b.says(`msg=stopping`)
	b.signal(syscall.SIGINT)
	if code := b.ends(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	gone(t, frozen)
}

func TestAPortInUseIsNamed(t *testing.T) {
	b := newBridge(t)
	for _, tc := range []struct{ name, was, now, says string }{
		{"sip", "tcp:127.0.0.1:5060", "tcp:" + at(b.sip), `parley: .*sip.*` + at(b.sip) + `.*in use`},
		{"http", "127.0.0.1:8025", at(b.web), `parley: .*http.*` + at(b.web) + `.*in use`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other := writeBridge(t, tc.was, tc.now)
			p := start(t, "second host", exec.Command(parley, "run", "--config", other.config))
			p.says(tc.says)
			if code := p.ends(); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
