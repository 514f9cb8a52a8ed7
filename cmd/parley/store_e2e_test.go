package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestAFullDiskIsAnswered503(t *testing.T) {
	b := newBridge(t, `reserve     = "64MiB"`, `reserve     = "1048576TiB"`) // more than any disk has free
	out, bad, code := b.cli("", "send", "--config", b.config, "--server", at(b.sip), "--from", "sip:alice@127.0.0.1", "sip:lobby@127.0.0.1", "hello")
	if code != exitFailed || !strings.HasPrefix(out, "503 ") {
		t.Errorf("exit code %d, %q, %q", code, out, bad)
	}
	b.says(`level=(ERROR|WARN).*(full|space|reserve)`)
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
