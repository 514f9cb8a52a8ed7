package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/core"
	"parley.im/core/config"
	"parley.im/core/httpd"
)

// lines is a writer that tells of every line.
type lines struct {
	mu   sync.Mutex
	rest []byte
	all  chan string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.all <- string(line)
		l.rest = rest
	}
}

func TestTailShowsARunningHostsEvents(t *testing.T) {
	dir := shortDir(t)
	path := write(t, dir, "bridge.toml", "[bus]\ndata = \".\"\n")
	if code, _, errs := command(t, "", "tail", "--config", path); code != exitFailed || !strings.HasPrefix(errs, "parley: no running host at ") {
		t.Errorf("without a host: got code %d, %q", code, errs)
	}

	ctx, cancel := context.WithCancel(t.Context())
	e := event.Inbound{ID: "abcdefghijklmnop", Time: time.Now(), Lane: "l",
		Envelope: event.Envelope{Kind: event.KindMessage, Sender: "sip:alice@a", Recipient: "sip:lobby@a", Origin: "sip"},
		Content:  event.Content{MediaType: "text/plain", Data: []byte("secret talk")}}
	source := func(ctx context.Context, ready func(), f func(uint64, event.Event)) error {
		ready()
		f(7, e)
		<-ctx.Done()
		return nil
	}
	host := httpd.NewOperator(filepath.Join(dir, "parley.sock"), source, nil)
	ended := make(chan error, 1)
	go func() { ended <- host.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for {
		err := httpd.NewClient(filepath.Join(dir, "parley.sock")).Tail(ctx, httpd.Filter{}, nil, func([]byte) error { return errSeen })
		if errors.Is(err, errSeen) {
			break
		} else if !errors.Is(err, httpd.ErrNoHost) {
			t.Fatal(err)
		}
	}

	human := firstLine(t, "--config", path)
	if !strings.HasSuffix(human, " inbound   abcdefghij sip:alice@a → sip:lobby@a by=sip") {
		t.Errorf("got %q", human)
	}
	var structured map[string]any
	if err := json.Unmarshal([]byte(firstLine(t, "--config", path, "--json", "--connector", "sip", "--id", "abc")), &structured); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"specversion": "1.0", "sequence": "7", "data": "secret talk"} {
		if structured[name] != want {
			t.Errorf("%s: got %v, want %v", name, structured[name], want)
		}
	}
}

var errSeen = errors.New("seen")

// firstLine returns the first line that a tail prints, and ends it.
func firstLine(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lines{all: make(chan string, 8)}
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() { done <- execute(ctx, append([]string{"tail"}, args...), nil, out, &errs) }()
	select {
	case line := <-out.all:
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("tail ended with %d: %s", code, errs.String())
		}
		return line
	case code := <-done:
		t.Fatalf("tail ended with %d: %s", code, errs.String())
		return ""
	}
}

func TestTheWelcomeSaysWhereEverythingIsAndWhatToTry(t *testing.T) {
	c, problems := config.Load("../../bridge.toml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var out bytes.Buffer
	welcome(&out, core.Summary{
		SIP: []string{"udp:127.0.0.1:5070", "tcp:127.0.0.1:5070"}, HTTP: "127.0.0.1:8025", Connectors: []string{"web"},
		Accounts: []string{"sip:alice@127.0.0.1", "sip:bob@127.0.0.1"}, Data: "data",
	}, c, "/tmp/go-build1/exe/parley")
	want := `Parley is running; Ctrl-C stops it.
  SIP     udp:127.0.0.1:5070, tcp:127.0.0.1:5070
  HTTP    http://127.0.0.1:8025/
  chat    http://127.0.0.1:8025/c/web/
  data    data
Try:
  go run ./cmd/parley send --config ../../bridge.toml --from sip:alice@127.0.0.1 --server 127.0.0.1:5070 sip:lobby@127.0.0.1 "hello"
  go run ./cmd/parley tail --config ../../bridge.toml
  a softphone: account sip:alice@127.0.0.1, server 127.0.0.1:5070, password as in ../../bridge.toml
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
