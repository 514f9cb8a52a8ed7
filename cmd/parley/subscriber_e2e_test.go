package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestASubscriberOutsideReadsLiveAndAgain runs examples/subscriber against the
// host, with a key that the program itself has made.
func TestASubscriberOutsideReadsLiveAndAgain(t *testing.T) {
	program := buildSubscriber(t)
	b := writeBridge(t, `listen      = ""`, `listen = "127.0.0.1:0"`)
	out, bad, code := b.cli("", "bus", "key", "archive.seed")
	if code != 0 || !strings.HasPrefix(out, "U") {
		t.Fatalf("exit code %d, %q, %q", code, out, bad)
	}
	seed := filepath.Join(b.dir, "archive.seed")
	if info, err := os.Stat(seed); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the seed: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.dir, "bridge.toml", string(text)+"\n[[bus.subscriber]]\nname = \"archive\"\nnkey = \""+strings.TrimSpace(out)+"\"\n")
	b.start()
	address := b.says(`msg="bus: listening for subscribers" address=(\S+)`)[1]

	join := func(args ...string) *proc {
		args = append([]string{"--url", "nats://" + address, "--seed", seed}, args...)
		return start(t, "subscriber", exec.Command(program, args...))
	}
	live := join()
	live.says(`^listening`)
	b.send("alice", "lobby", "hello, archive")
	live.says(`^1 parley\.inbound\.sip\.\S+ \S+ sip:alice@127\.0\.0\.1 -> sip:lobby@127\.0\.0\.1: "hello, archive`)
	live.says(`^\d+ parley\.status\.web\.\S+ \S+ (accepted|delivered) web:room/lobby`)
	b.send("bob", "lobby", "and again")
	live.says(`^2 parley\.inbound.*"and again`)

	again := join("--since", "1h")
	again.says(`^1 stored\.parley\.inbound\..*"hello, archive`)
	again.says(`^2 stored\.parley\.inbound\..*"and again`)
	b.send("alice", "lobby", "the third")
	again.says(`^3 .*"the third`)
	second := join("--from-seq", "2")
	second.says(`^3 .*"the third`)
	if n := second.count(`hello, archive`); n != 0 || live.count(`missed`) != 0 {
		t.Errorf("from sequence 2 it reads the first; or the live one missed something:\n%s", live.tail(20))
	}
}

func buildSubscriber(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "subscriber")
	if out, err := exec.Command("go", "build", "-race", "-o", program, "../../examples/subscriber").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

func TestASubscriberOutsideReadsOverTLS(t *testing.T) {
	b := writeBridge(t, `listen      = ""`, `listen = "127.0.0.1:0"`, `cert = ""`, `cert = "cert.pem"`, `key  = ""`, `key = "key.pem"`)
	writeCertificate(t, b.dir)
	out, bad, code := b.cli("", "bus", "key", "archive.seed")
	if code != 0 {
		t.Fatalf("exit code %d, %q, %q", code, out, bad)
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.dir, "bridge.toml", string(text)+"\n[[bus.subscriber]]\nname = \"archive\"\nnkey = \""+strings.TrimSpace(out)+"\"\n")
	b.start()
	address := b.says(`msg="bus: listening for subscribers" address=(\S+) tls=true`)[1]
	program := buildSubscriber(t)
	args := []string{"--url", "nats://" + address, "--seed", filepath.Join(b.dir, "archive.seed")}
	if code := start(t, "subscriber without the certificate", exec.Command(program, args...)).ends(); code != 1 {
		t.Errorf("without the certificate it ends with %d", code)
	}
	live := start(t, "subscriber", exec.Command(program, append(args, "--ca", filepath.Join(b.dir, "cert.pem"))...))
	live.says(`^listening`)
	b.send("alice", "lobby", "hello, archive")
	live.says(`^1 parley\.inbound\..*"hello, archive`)
}

// writeCertificate writes one for 127.0.0.1, signed by itself.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	cert, key := certificate(t, time.Hour)
	write(t, dir, "cert.pem", string(cert))
	write(t, dir, "key.pem", string(key))
}

func TestASeedIsNeverOverwritten(t *testing.T) {
	b := &bridge{t: t, dir: t.TempDir()}
	write(t, b.dir, "archive.seed", "precious")
	out, bad, code := b.cli("", "bus", "key", "archive.seed")
	if code != exitFailed || out != "" || !strings.Contains(bad, "exists already") {
		t.Errorf("exit code %d, %q, %q", code, out, bad)
	}
	if text, err := os.ReadFile(filepath.Join(b.dir, "archive.seed")); err != nil || string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

func TestThePermissionsOfASubscriberArePrinted(t *testing.T) {
	b := &bridge{t: t, dir: t.TempDir()}
	key, _, _ := b.cli("", "bus", "key", "web.seed")
	write(t, b.dir, "bridge.toml", "[bus]\nurl = \"nats://n1.example.com\"\n[[bus.subscriber]]\nname = \"web\"\nnkey = \""+
		strings.TrimSpace(key)+"\"\nsubjects = [\"parley.inbound.web.>\"]\n")
	out, bad, code := b.cli("", "bus", "permissions")
	for _, want := range []string{"nkey: " + strings.TrimSpace(key), `subscribe: { allow: ["parley.inbound.web.>", "_INBOX_web.>"] }`, `"replay.web.CONSUMER.MSG.NEXT.PARLEY_INBOUND.*"`} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q, %q; want %q", code, out, bad, want)
		}
	}
}
