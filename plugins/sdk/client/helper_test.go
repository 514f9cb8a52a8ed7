package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/counting"
	"parley.im/plugins/sdk/wire"
)

// TestMain is a connector, or a host, when the tests have started this program
// as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "be" {
		if be := roles()[os.Args[2]]; be != nil {
			be()
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func roles() map[string]func() {
	return map[string]func(){
		"counting": func() { sdk.Serve(counting.New()) },
		"scripted": func() { sdk.Serve(&scripted{}) },
		"stateful": func() { sdk.Serve(&stateful{}) },
		"babbling": babble,
		"silent":   func() { _, _ = io.Copy(io.Discard, os.Stdin) },
		"dying":    func() { fmt.Fprintln(os.Stderr, "no module named grpc"); os.Exit(3) },
		"mumbling": func() { fmt.Println("hello, I am a plugin"); _, _ = io.Copy(io.Discard, os.Stdin) },
		"futurist": func() { serveRaw(7, &raw{}) },
		"raw":      func() { serveRaw(wire.Version, &raw{}) },
		"parent":   parent,
		"host":     host,
	}
}

func role(name string) client.Command {
	return client.Command{Name: name, Path: os.Args[0], Args: []string{"be", name}}
}

// start starts and opens a role, and ends it with the test.
func start(t *testing.T, name string, b client.Backend, log *slog.Logger) *client.Process {
	t.Helper()
	p := launch(t, role(name), log)
	if err := p.Open(t.Context(), sdk.Settings{Instance: "here", JSON: []byte(`{}`)}, b); err != nil {
		t.Fatal(err)
	}
	return p
}

func launch(t *testing.T, c client.Command, log *slog.Logger) *client.Process {
	t.Helper()
	if c.SocketDir == "" {
		c.SocketDir = shortDir(t)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := client.Start(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// shortDir is a temporary folder whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, _ := os.ReadDir(dir)
		if len(left) > 0 {
			t.Errorf("left in the folder for sockets: %v", left)
		}
		os.RemoveAll(dir)
	})
	return dir
}

func message(text string) event.Delivery {
	return event.Delivery{
		ID: "o-" + text[:min(len(text), 20)], Kind: event.KindMessage, Target: "test:room", From: "sip:ann@example.com", Sender: "sip:ann@example.com",
		Content: event.Content{MediaType: "text/plain", Data: []byte(text)},
	}
}

// scripted does what the text of a delivery says.
type scripted struct {
	host   sdk.Host
	places []string
}

func (s *scripted) Describe() sdk.Description {
	return sdk.Description{
		Network: "test", Version: "1", Schemes: []string{"test"}, Kinds: []event.Kind{event.KindMessage},
		Types: []string{"*/*"}, HTTP: true, Gate: sdk.Gate{Outstanding: 3, Every: time.Second}, MaxBytes: 1000,
	}
}

func (s *scripted) Open(_ context.Context, set sdk.Settings, h sdk.Host) error {
	s.host = h
	for _, p := range set.Places {
		s.places = append(s.places, string(p))
	}
	return h.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "page ", r.URL.Path) }))
}

func (s *scripted) Close(context.Context) error { return nil }

func (s *scripted) Find(_ context.Context, d event.Delivery, _ time.Time) (event.Receipt, bool, error) {
	switch d.ID {
	case "o-sent":
		return event.Receipt{State: event.Accepted, RemoteIDs: []string{"r1"}}, true, nil
	case "o-not":
		return event.Receipt{}, false, nil
	}
	return event.Receipt{}, false, errors.New("the network does not answer")
}

func (s *scripted) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	verb, arg, _ := strings.Cut(string(d.Data), " ")
	ok := event.Receipt{State: event.Delivered, RemoteIDs: []string{"r1", arg}, Anchor: "a1", Losses: []string{"bold"}}
	switch verb {
	case "hang":
		<-ctx.Done()
		return ok, s.put("cancelled", "the delivery was cancelled")
	case "panic":
		panic("at the connector")
	case "permanent":
		return ok, event.Permanent(errors.New("never"))
	case "refused":
		return ok, event.Refused(errors.New("no, thanks"))
	case "wait":
		return ok, event.Retry(event.ScopeTarget, 90*time.Second, errors.New("slower"))
	case "woken":
		return ok, event.Retry(event.ScopeConnector, event.UntilWoken, errors.New("asleep"))
	case "odd":
		return ok, errors.New("something")
	case "put":
		return ok, s.put(arg, "said "+arg)
	case "about":
		kind, about, _ := strings.Cut(arg, " ")
		in := event.Inbound{Envelope: event.Envelope{NativeID: arg, Kind: event.Kind(kind), Sender: "test:u/bob", InReplyTo: about}}
		_, err := s.host.Put(ctx, in)
		return ok, err
	case "env":
		return event.Receipt{State: event.Delivered, RemoteIDs: names(os.Environ())}, nil
	case "where":
		dir, err := os.Getwd()
		return event.Receipt{State: event.Delivered, RemoteIDs: append([]string{dir}, s.places...)}, err
	case "log":
		s.host.Log().Warn("from the connector", "msg", "mine", "connector", "forged", "room", "r1\nforged line")
		return ok, nil
	}
	if d.Ref != "" {
		return s.read(ctx, d.Content)
	}
	return ok, nil
}

// read answers with what it found in the body.
func (s *scripted) read(ctx context.Context, c event.Content) (event.Receipt, error) {
	r, err := s.host.Media().Open(ctx, c)
	if err != nil {
		return event.Receipt{}, err
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	return event.Receipt{State: event.Delivered, RemoteIDs: []string{fmt.Sprint(n)}}, err
}

func (s *scripted) put(id, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.host.Put(ctx, event.Inbound{
		Envelope: event.Envelope{NativeID: id, Sender: "test:u/bob", Recipient: "test:room"},
		Content:  event.Content{MediaType: "text/plain", Data: []byte(text)},
	})
	return err
}

func names(env []string) []string {
	var list []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		list = append(list, name)
	}
	return list
}

// stateful checks in Open that its State is as the contract says.
type stateful struct{ scripted }

func (s *stateful) Open(ctx context.Context, _ sdk.Settings, h sdk.Host) error {
	st := h.State()
	all, err := st.List(ctx, "k", "k00009", 5000)
	if err != nil || len(all) != 1490 || all[0].Key != "k00010" || len(all[0].Value) != 2000 {
		return fmt.Errorf("list: %d entries, %v", len(all), err)
	}
	rev, err := st.Put(ctx, "a", []byte("1"), 0)
	if err != nil {
		return err
	}
	if _, err := st.Put(ctx, "a", []byte("2"), 0); !errors.Is(err, sdk.ErrConflict) {
		return fmt.Errorf("put of what exists: %v", err)
	}
	if e, err := st.Get(ctx, "a"); err != nil || string(e.Value) != "1" || e.Revision != rev {
		return fmt.Errorf("get: %+v, %v", e, err)
	}
	if err := st.Delete(ctx, "a", rev+1); !errors.Is(err, sdk.ErrConflict) {
		return fmt.Errorf("delete of another revision: %v", err)
	}
	if err := st.Delete(ctx, "a", rev); err != nil {
		return err
	}
	if _, err := st.Get(ctx, "a"); !errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("get of what is not there: %v", err)
	}
	if _, err := st.Put(ctx, "b", make([]byte, 65<<10), 0); !event.IsPermanent(err) {
		return fmt.Errorf("put of too much: %v", err)
	}
	return s.media(ctx, h)
}

// media stores a body larger than a frame, and reads it again.
func (s *stateful) media(ctx context.Context, h sdk.Host) error {
	body := bytes.Repeat([]byte("0123456789"), 200_000)
	c, err := h.Media().Store(ctx, "image/png", bytes.NewReader(body))
	if err != nil || c.Size != int64(len(body)) || c.MediaType != "image/png" {
		return fmt.Errorf("store: %+v, %v", c, err)
	}
	r, err := h.Media().Open(ctx, c)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, body) {
		return fmt.Errorf("read %d bytes, %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		return err
	}
	broken := io.MultiReader(bytes.NewReader(body), iotest.ErrReader(errors.New("disk on fire")))
	if c, err := h.Media().Store(ctx, "image/png", broken); err == nil {
		return fmt.Errorf("store of what cannot be read: %+v", c)
	}
	if _, err := h.Media().Open(ctx, event.Content{Ref: "nothing"}); !errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("open of what is not there: %v", err)
	}
	for _, bad := range []event.Address{"sip:alice@example.com", "other:x"} {
		if err := h.Accepts(ctx, event.Inbound{Envelope: event.Envelope{Sender: bad, Recipient: "test:room"}}); !errors.Is(err, sdk.ErrRefused) {
			return fmt.Errorf("accepts from %s: %v", bad, err)
		}
	}
	_, err = h.Put(ctx, event.Inbound{
		Envelope: event.Envelope{NativeID: "big", Sender: "test:u/bob", Recipient: "test:room"},
		Content:  event.Content{MediaType: "text/plain", Data: body},
	})
	if err != nil {
		return fmt.Errorf("put of a large body: %w", err)
	}
	_, err = h.Put(ctx, event.Inbound{
		Envelope: event.Envelope{NativeID: "title", Sender: "test:u/bob", Recipient: "test:room", Title: strings.Repeat("t", 20_000)},
		Content:  event.Content{MediaType: "text/plain", Data: []byte("x")},
	})
	if !event.IsPermanent(err) {
		return fmt.Errorf("put of a huge title: %v", err)
	}
	return nil
}

// babble prints all that could hurt a host which reads it, and works.
func babble() {
	evil := []string{`{"@message": 1}`, `{"@level": [], "@message": {}}`, `{"@timestamp": 7, "@message": "x"}`, `{"@message":`, "\xff\xfe\x00", "[ERROR] "}
	for range 2000 {
		for _, line := range evil {
			fmt.Fprintln(os.Stderr, line)
		}
	}
	fmt.Fprintln(os.Stderr, strings.Repeat("long ", 100_000))
	c := &afterwards{New: counting.New()}
	sdk.Serve(c)
}

// afterwards prints long lines on the standard output while it delivers.
type afterwards struct{ New sdk.Connector }

func (a *afterwards) Describe() sdk.Description { return a.New.Describe() }
func (a *afterwards) Open(ctx context.Context, s sdk.Settings, h sdk.Host) error {
	return a.New.Open(ctx, s, h)
}
func (a *afterwards) Close(ctx context.Context) error { return a.New.Close(ctx) }
func (a *afterwards) Deliver(ctx context.Context, d event.Delivery) (event.Receipt, error) {
	fmt.Println(strings.Repeat("babble ", 20_000))
	fmt.Fprintln(os.Stderr, strings.Repeat("babble ", 20_000))
	return a.New.Deliver(ctx, d)
}

// parent starts a process of its own that would outlive it.
func parent() {
	cmd := exec.Command("sleep", "600")
	cmd.Stderr = os.Stderr // holds the host's pipe open
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "grandchild", cmd.Process.Pid)
	sdk.Serve(counting.New())
}

// host is a host that says who its connector is, and waits.
func host() {
	p, err := client.Start(context.Background(), client.Command{
		Name: "orphan", Path: os.Args[0], Args: []string{"be", "scripted"}, SocketDir: os.Args[3],
	}, slog.New(slog.DiscardHandler))
	if err == nil {
		err = p.Open(context.Background(), sdk.Settings{Instance: "orphan"}, sdktest.NewBackend())
	}
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println(p.PID())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// raw speaks the protocol by hand, and wrongly.
type raw struct {
	wire.UnimplementedConnectorServer
}

func (r *raw) Describe(context.Context, *wire.DescribeRequest) (*wire.Description, error) {
	return &wire.Description{Network: "test", Schemes: []string{"test"}, Kinds: []string{"message"}, Types: []string{"*/*"}}, nil
}

// Control answers every delivery after it has sent the frames that its text
// names.
func (r *raw) Control(s wire.Connector_ControlServer) error {
	for {
		f, err := s.Recv()
		if err != nil {
			return nil
		}
		text := string(f.GetDeliver().GetContent().GetData())
		for _, out := range rawFrames(text) {
			if err := s.Send(out); err != nil {
				return err
			}
		}
		a := &wire.Answer{Result: &wire.Answer_Receipt{Receipt: &wire.Receipt{
			State: "displayed", RemoteIds: append(make([]string, 1000), strings.Repeat("i", 5000), "short"), Anchor: strings.Repeat("a", 5000),
		}}}
		if text == "mute" {
			a = nil
		}
		if f.GetAnswer() != nil {
			continue
		}
		if err := s.Send(&wire.ConnectorFrame{Id: f.Id, Body: &wire.ConnectorFrame_Answer{Answer: a}}); err != nil {
			return err
		}
	}
}

func rawFrames(text string) (list []*wire.ConnectorFrame) {
	switch text {
	case "garbage":
		list = []*wire.ConnectorFrame{
			{}, {Id: 5}, {Id: 9, Body: &wire.ConnectorFrame_Put{}}, {Id: 10, Body: &wire.ConnectorFrame_Accepts{}},
			{Id: 99, Body: &wire.ConnectorFrame_Answer{}}, {Id: 98, Body: &wire.ConnectorFrame_Cancel{}},
			{Id: 11, Body: &wire.ConnectorFrame_MediaOpen{}}, {Id: 12, Body: &wire.ConnectorFrame_MediaStore{}},
			{Id: 13, Body: &wire.ConnectorFrame_StateList{StateList: &wire.StateList{Limit: -5}}},
			{Id: 14, Body: &wire.ConnectorFrame_StatePut{StatePut: &wire.StatePut{Key: strings.Repeat("k", 257)}}},
			{Id: 15, Body: &wire.ConnectorFrame_Report{}}, {Id: 16, Body: &wire.ConnectorFrame_Signal{}},
		}
	case "forge":
		list = append(list, rawPut(1, "sip:alice@example.com"), rawPut(2, "other:u/x"), rawPut(3, "test:u/bob"))
	case "flood":
		for i := range uint64(20_000) {
			list = append(list, rawPut(i+1, "test:u/bob"))
		}
	}
	return list
}

func rawPut(id uint64, sender string) *wire.ConnectorFrame {
	return &wire.ConnectorFrame{Id: id, Body: &wire.ConnectorFrame_Put{Put: &wire.Inbound{
		NativeId: strconv.FormatUint(id, 10), Sender: sender, Recipient: "test:room",
		Content: &wire.Content{MediaType: "text/plain", Data: []byte("x")},
	}}}
}

func serveRaw(version int, s wire.ConnectorServer) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{version: wire.Plugins(s)[wire.Version]},
		GRPCServer:       func(o []grpc.ServerOption) *grpc.Server { return grpc.NewServer(o...) },
	})
}

// journal is a log whose lines can be looked at.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (j *journal) lines(t *testing.T) (list []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		list = append(list, m)
	}
	return list
}
