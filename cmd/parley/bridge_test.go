package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parley is the program under test, built with the race detector.
var parley string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parley-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	parley = filepath.Join(dir, "parley")
	build := exec.Command("go", "build", "-race", "-o", parley, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A bridge is a running host with the shipped configuration, but for its ports
// and its store.
type bridge struct {
	*proc
	t        *testing.T
	dir      string
	config   string
	sip, web int
}

// newBridge writes a configuration and starts the host. edits are pairs of old
// and new text in the configuration.
func newBridge(t *testing.T, edits ...string) *bridge {
	t.Helper()
	b := writeBridge(t, edits...)
	b.start()
	return b
}

func writeBridge(t *testing.T, edits ...string) *bridge {
	t.Helper()
	shipped, err := os.ReadFile("../../bridge.toml")
	if err != nil {
		t.Fatal(err)
	}
	p := ports(t, 2)
	b := &bridge{t: t, dir: shortDir(t), sip: p[0], web: p[1]}
	text := string(shipped)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("bridge.toml has no %q", edits[i])
		}
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	text = strings.NewReplacer("127.0.0.1:5060", at(b.sip), "127.0.0.1:8025", at(b.web),
		`["SHA-256", "MD5"]`, `["MD5"]`, // sipp 3.6 and baresip 1.0 give up at SHA-256
	).Replace(text)
	b.config = write(t, b.dir, "bridge.toml", text)
	return b
}

// shortDir is a folder whose path is short enough for sockets in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (b *bridge) start() {
	b.t.Helper()
	b.proc = start(b.t, "parley", exec.Command(parley, "run", "--config", b.config))
	b.says(`^Parley is running`)
}

// crash kills the host and nothing else, and waits until its connectors are
// gone with it.
func (b *bridge) crash() {
	b.t.Helper()
	b.signal(syscall.SIGKILL)
	<-b.done
}

// phone is sipp as one of the bridge's accounts, alice or bob.
func (b *bridge) phone(user, transport string) *sippPhone {
	b.t.Helper()
	return &sippPhone{t: b.t, dir: b.t.TempDir(), user: user, password: password(user), transport: transport,
		local: ports(b.t, 1)[0], bridge: b.sip}
}

// password is that of an account in the shipped bridge.toml.
func password(user string) string { return user + "-secret" }

// cli runs a command of the program and returns its output and exit code.
func (b *bridge) cli(stdin string, args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	cmd := exec.Command(parley, args...)
	cmd.Dir = b.dir
	cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader(stdin)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Run()
	return out.String(), bad.String(), cmd.ProcessState.ExitCode()
}

// send sends a text as a SIP user from the shell and wants 202.
func (b *bridge) send(from, to, text string) {
	b.t.Helper()
	out, bad, code := b.cli("", "send", "--server", at(b.sip), "--from", "sip:"+from+"@127.0.0.1", "sip:"+to+"@127.0.0.1", text)
	if code != 0 || !strings.HasPrefix(out, "202 ") {
		b.t.Fatalf("send: exit code %d, %q, %q", code, out, bad)
	}
}

// answer sends a text as alice and returns the final response.
func (b *bridge) answer(to, text string) string {
	b.t.Helper()
	out, bad, _ := b.cli("", "send", "--config", b.config, "--server", at(b.sip), "--from", "sip:alice@127.0.0.1", "sip:"+to+"@127.0.0.1", text)
	return strings.TrimSpace(out + bad)
}
