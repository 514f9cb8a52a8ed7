package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
)

// feed is a source that a test writes into.
type feed struct{ events chan event.Event }

func (f feed) tail(ctx context.Context, ready func(), yield func(uint64, event.Event)) error {
	ready()
	for seq := uint64(1); ; seq++ {
		select {
		case e, ok := <-f.events:
			if !ok {
				return errors.New("the bus is gone")
			}
			yield(seq, e)
		case <-ctx.Done():
			return nil
		}
	}
}

// operate runs an operator API until the test ends.
func operate(t *testing.T, source Source) (path string, stop func() error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "parley.sock")
	o := NewOperator(path, source, nil)
	o.Status = func(context.Context) (any, error) { return map[string]int{"parked": 3}, nil }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	for {
		if _, err := NewClient(path).Status(ctx); err == nil {
			return path, stop
		} else if !errors.Is(err, ErrNoHost) {
			t.Fatal(err)
		}
	}
}

func inbound(id, body string) event.Inbound {
	return event.Inbound{
		ID: id, Time: time.Unix(1_800_000_000, 0), Lane: "l",
		Envelope: event.Envelope{Kind: event.KindMessage, Sender: "sip:alice@example.com", SenderName: "Al \"ice\"\r\n%41", Recipient: "sip:lobby@example.com", Origin: "sip"},
		Content:  event.Content{MediaType: "text/plain;charset=utf-8", Data: []byte(body)},
	}
}

func TestTailShowsEventsAsCloudEvents(t *testing.T) {
	f := feed{make(chan event.Event)}
	path, _ := operate(t, f.tail)
	var lines []map[string]any
	stop := errors.New("enough")
	go func() {
		f.events <- inbound("abc", "grüß dich")
		f.events <- event.Inbound{ID: "bin", Envelope: event.Envelope{Origin: "web"}, Content: event.Content{MediaType: "image/png", Data: []byte{0xff, 0}}}
		f.events <- event.Inbound{ID: "json", Envelope: event.Envelope{Origin: "web"}, Content: event.Content{MediaType: "application/json", Data: []byte(`{"a":1}`)}}
	}()
	err := NewClient(path).Tail(t.Context(), Filter{Body: true}, nil, func(line []byte) error {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		if lines = append(lines, m); len(lines) == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"specversion": "1.0", "id": "abc", "type": event.TypeInbound, "source": "/parley/sip", "sequence": "1",
		"sendername": "Al \"ice\"\r\n%41", "datacontenttype": "text/plain;charset=utf-8", "data": "grüß dich",
	} {
		expect(t, name, lines[0][name], want)
	}
	expect(t, "binary", lines[1]["data_base64"], "/wA=")
	expect(t, "json", lines[2]["data"].(map[string]any)["a"], 1.0)
}

func TestTailFilters(t *testing.T) {
	in := inbound("abcdef", "secret")
	out := event.Outbound{ID: "out1", Inbound: "abcdef", Connector: "web", Lane: "l", Target: "web:room/lobby"}
	failed := out.Status(event.Failed, time.Unix(1_800_000_000, 0))
	dead := event.Dead{DeadID: "dead1", Outbound: out}
	typing := event.Typing{Connector: "web", Lane: "l", Active: true}
	all := []event.Event{in, out, failed, dead, typing}
	for _, tc := range []struct {
		name string
		f    Filter
		want string
	}{
		{"everything", Filter{}, "inbound outbound failed dead typing"},
		{"a stream", Filter{Stream: "status"}, "failed"},
		{"signals", Filter{Stream: "signal"}, "typing"},
		{"a type", Filter{Type: "outbound"}, "outbound"},
		{"a state", Filter{State: "failed"}, "failed"},
		{"a state that none has", Filter{State: "displayed"}, ""},
		{"a connector", Filter{Connector: "sip"}, "inbound"},
		{"the beginning of an id, wherever it stands", Filter{ID: "abc"}, "inbound outbound failed dead"},
		{"the id of an outbound", Filter{ID: "out1"}, "outbound failed dead"},
		{"two at once", Filter{ID: "out1", Type: "dead"}, "dead"},
	} {
		var got []string
		for _, e := range all {
			if tc.f.match(e) {
				got = append(got, ShortType(e.Type()))
			}
		}
		expect(t, tc.name, strings.Join(got, " "), tc.want)
		back, err := filterOf(tc.f.query())
		expect(t, tc.name+", asked over the wire", back, tc.f)
		expect(t, tc.name+", understood", err, nil)
	}
	for _, f := range []Filter{{Stream: "x"}, {Type: "message"}, {State: "inbound"}} {
		if f.Check() == nil {
			t.Errorf("%+v is taken", f)
		}
	}
	line, err := structured(1, in, false)
	if err != nil || strings.Contains(string(line), "secret") {
		t.Errorf("the body is shown unasked: %s %v", line, err)
	}
}

func TestAReaderWhoLagsIsDroppedAndTold(t *testing.T) {
	dropped := make(chan struct{})
	path, _ := operate(t, func(ctx context.Context, ready func(), yield func(uint64, event.Event)) error {
		ready()
		defer close(dropped)
		big := inbound("abc", strings.Repeat("x", 10<<10))
		for ctx.Err() == nil {
			yield(1, big)
		}
		return nil
	})
	err := NewClient(path).Tail(t.Context(), Filter{Body: true}, nil, func([]byte) error {
		<-dropped // this reader stops reading until it is too late
		return nil
	})
	if err == nil || err.Error() != errSlow.Error() {
		t.Errorf("got %v, want %v", err, errSlow)
	}
}

func TestATailTellsWhyItEnded(t *testing.T) {
	f := feed{make(chan event.Event)}
	path, _ := operate(t, f.tail)
	end := func(path string, during func()) string {
		ready := make(chan struct{})
		result := make(chan error, 1)
		go func() {
			result <- NewClient(path).Tail(t.Context(), Filter{}, func() { close(ready) }, func([]byte) error { return nil })
		}()
		<-ready
		during()
		return (<-result).Error()
	}
	expect(t, "unknown filter", NewClient(path).Tail(t.Context(), Filter{Type: "x"}, nil, nil) != nil, true)
	expect(t, "bus gone", end(path, func() { close(f.events) }), "the bus is gone")
	path, stop := operate(t, feed{nil}.tail)
	begun := time.Now()
	expect(t, "host stops", end(path, func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}), "the host is stopping")
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	if err := NewClient(path).Tail(t.Context(), Filter{}, nil, nil); !errors.Is(err, ErrNoHost) {
		t.Errorf("afterwards: got %v, want %v", err, ErrNoHost)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestTheSocketIsPrivateAndOneHostsOnly(t *testing.T) {
	path, _ := operate(t, feed{nil}.tail)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "mode", info.Mode().Perm(), os.FileMode(0o600))
	if err := NewOperator(path, feed{nil}.tail, nil).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another host answers") {
		t.Errorf("a second host: got %v", err)
	}
	status, err := NewClient(path).Status(t.Context())
	expect(t, "status", strings.TrimSpace(string(status)), `{"parked":3}`)
	expect(t, "status error", err, nil)
}

func TestASocketLeftByADeadHostIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.sock")
	l, err := listenPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // as kill -9 does: the file stays
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	l, err = listenPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestALongPathIsReachedFromTheWorkingFolderOrRefused(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(deep, "parley.sock")
	if _, err := listenPrivate(path); err == nil || !strings.Contains(err.Error(), "shorter bus.data") {
		t.Errorf("got %v, want advice", err)
	}
	t.Chdir(deep)
	l, err := listenPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
