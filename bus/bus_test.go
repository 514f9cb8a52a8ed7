package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parley.im/bus"
	"parley.im/bus/bustest"
)

func open(t *testing.T, c bus.Config) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	b, err := bus.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// again returns a Reopen for logs that were opened with config.
func again(configs map[*bus.Bus]bus.Config) func(t *testing.T, b *bus.Bus) *bus.Bus {
	return func(t *testing.T, b *bus.Bus) *bus.Bus {
		c := configs[b]
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, c)
	}
}

func TestEmbeddedFsync(t *testing.T) {
	configs := map[*bus.Bus]bus.Config{}
	bustest.Run(t, bustest.Setup{
		Open: func(t *testing.T) *bus.Bus {
			c := bus.Config{Dir: t.TempDir()}
			b := open(t, c)
			configs[b] = c
			return b
		},
		Reopen: again(configs),
	})
}

func TestEmbeddedMemory(t *testing.T) {
	bustest.Run(t, bustest.Setup{
		Open: func(t *testing.T) *bus.Bus { return open(t, bus.Config{Durability: bus.Memory}) },
	})
}

func TestExternal(t *testing.T) {
	server := buildServer(t)
	configs := map[*bus.Bus]bus.Config{}
	bustest.Run(t, bustest.Setup{
		Open: func(t *testing.T) *bus.Bus {
			c := bus.Config{URL: startServer(t, server), TrustSync: true, Replicas: 1}
			b := open(t, c)
			configs[b] = c
			return b
		},
		Reopen: again(configs),
	})
}

func buildServer(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats-server")
	out, err := exec.Command("go", "build", "-o", file, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	return file
}

// startServer starts a server of its own as a child process and returns its URL.
func startServer(t *testing.T, program string) string {
	t.Helper()
	_, url := serve(t, program, t.TempDir(), "127.0.0.1:-1")
	return url
}

// serve starts a server on dir; it writes the port it took into a file.
func serve(t *testing.T, program, dir, listen string, more ...string) (*exec.Cmd, string) {
	t.Helper()
	config := filepath.Join(dir, "server.conf")
	text := fmt.Sprintf("listen: %q\nports_file_dir: %q\njetstream { store_dir: %q, sync_interval: always }\n", listen, dir, dir) + strings.Join(more, "\n")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "-c", config)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	url, err := readPorts(filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", cmd.Process.Pid)))
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("nats-server did not start: %v\n%s", err, text)
	}
	return cmd, url
}

// TestServerGone kills the external server. What is published meanwhile is
// refused in time, and afterwards everything goes on without a restart.
func TestServerGone(t *testing.T) {
	program, dir := buildServer(t), t.TempDir()
	cmd, url := serve(t, program, dir, "127.0.0.1:-1")
	b := open(t, bus.Config{URL: url, TrustSync: true, Replicas: 1})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	k, err := b.Consume(ctx, bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := b.Publish(ctx, bustest.Inbound("sip", "l1", 1)); err != nil {
		t.Fatal(err)
	}

	cmd.Process.Kill()
	cmd.Wait()
	short, cancelShort := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancelShort()
	began := time.Now()
	_, err = b.Publish(short, bustest.Inbound("sip", "l1", 2))
	if took := time.Since(began); !errors.Is(err, bus.ErrUnavailable) || took > 2*time.Second {
		t.Errorf("without a server: got %v after %s, want ErrUnavailable in half a second", err, took)
	}
	if err := b.Healthy(short); err == nil {
		t.Error("healthy without a server")
	}

	// By the end of this one the other, whose outcome nobody knows, is given up.
	shorter, cancelShorter := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancelShorter()
	if _, err := b.Publish(shorter, bustest.Inbound("sip", "l1", 2)); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("without a server, again: %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := b.Publish(ctx, bustest.Inbound("sip", "l1", 2))
		waiting <- err
	}()
	serve(t, program, dir, strings.TrimPrefix(url, "nats://"))
	if err := <-waiting; err != nil {
		t.Fatalf("a publish that waited for the server: %v", err)
	}
	for want := uint64(1); want <= 2; {
		m, err := k.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Seq != want && !m.Redelivered {
			t.Fatalf("got %d (again: %v), want %d", m.Seq, m.Redelivered, want)
		}
		if m.Seq == want {
			want++
		}
	}
	if last, err := b.LastSeq(ctx, bus.Inbounds); err != nil || last != 2 {
		t.Errorf("%d events are stored, want 2 (%v)", last, err)
	}
}

func readPorts(file string) (string, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		var url string
		if url, err = natsURL(file); err == nil {
			return url, nil
		}
	}
	return "", err
}

func natsURL(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var ports struct{ Nats []string }
	if err := json.Unmarshal(text, &ports); err != nil {
		return "", err
	}
	if len(ports.Nats) == 0 {
		return "", fmt.Errorf("no port in %s", text)
	}
	return ports.Nats[0], nil
}

// What was on its way to the reader and never came is offered again before
// anything newer, not after AckWait.
func TestAMessageLostOnItsWayKeepsItsPlace(t *testing.T) {
	url := startServer(t, buildServer(t))
	b := open(t, bus.Config{URL: url, TrustSync: true, Replicas: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	k, err := b.Consume(ctx, bus.ConsumeConfig{Name: "route", Stream: bus.Inbounds})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	put := func(n int) {
		t.Helper()
		if _, err := b.Publish(ctx, bustest.Inbound("sip", "l1", n)); err != nil {
			t.Fatal(err)
		}
	}
	next := func() *bus.Message {
		t.Helper()
		m, err := k.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	put(1)
	_ = next().Ack()

	nc, err := nats.Connect(url) // somebody else takes what comes next
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	thief, err := js.Consumer(ctx, string(bus.Inbounds), "route")
	if err != nil {
		t.Fatal(err)
	}
	for stolen, n := false, 2; !stolen; n++ {
		put(n)
		batch, err := thief.Fetch(1, jetstream.FetchMaxWait(50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		for range batch.Messages() {
			stolen = true
		}
		if stolen {
			put(n + 1)
			for want := uint64(2); want <= uint64(n+1); want++ {
				m := next()
				for m.Seq < want { // it may come again
					m = next()
				}
				if m.Seq != want {
					t.Fatalf("after the loss of %d: got %d, want %d", n, m.Seq, want)
				}
				_ = m.Ack()
			}
		}
	}
}
