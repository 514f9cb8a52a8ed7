package client_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/client"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/wire"
)

func TestADeliveryAndItsErrorsCross(t *testing.T) {
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	r, err := p.Deliver(t.Context(), message("hello r2"))
	if err != nil || r.State != event.Delivered || !slices.Equal(r.RemoteIDs, []string{"r1", "r2"}) || r.Anchor != "a1" || r.Losses[0] != "bold" {
		t.Errorf("deliver: got %+v, %v", r, err)
	}
	for _, tc := range []struct {
		text             string
		permanent, retry bool
		reason           event.Reason
		scope            event.Scope
		after            time.Duration
	}{
		{"permanent", true, false, event.ReasonPermanent, 0, 0},
		{"refused", true, false, event.ReasonRefused, 0, 0},
		{"wait", false, true, "", event.ScopeTarget, 90 * time.Second},
		{"woken", false, true, "", event.ScopeConnector, event.UntilWoken},
		{"odd", false, false, "", 0, 0},
	} {
		r, err := p.Deliver(t.Context(), message(tc.text))
		if r.Anchor != "a1" || r.State != "" || len(r.RemoteIDs) > 0 { // beside an error only a thread that stands
			t.Errorf("%s: got %+v", tc.text, r)
		}
		scope, after, retry := event.AsRetry(err)
		if err == nil || event.IsPermanent(err) != tc.permanent || retry != tc.retry || scope != tc.scope || after != tc.after {
			t.Errorf("%s: got %v (permanent %v, retry %v %v %v)", tc.text, err, event.IsPermanent(err), retry, scope, after)
		}
		if tc.permanent && event.ReasonOf(err) != tc.reason {
			t.Errorf("%s: got reason %s, want %s", tc.text, event.ReasonOf(err), tc.reason)
		}
	}
}

// A body that the host keeps for a delivery only is read by a Ref that says so.
func TestABodyOfADeliveryOnlyIsRead(t *testing.T) {
	b := sdktest.NewBackend()
	p := start(t, "scripted", b, nil)
	kept, err := b.Media().Store(t.Context(), "text/plain", strings.NewReader("fetched"))
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{kept.Ref: "7", wire.DeliveryRef + kept.Ref: "7", wire.DeliveryRef + "1": "", wire.DeliveryRef: ""} {
		d := message("")
		d.Content = kept
		d.Ref = ref
		r, err := p.Deliver(t.Context(), d)
		if (err == nil) != (want != "") || err == nil && r.RemoteIDs[0] != want {
			t.Errorf("%s: %q bytes, %v", ref, r.RemoteIDs, err)
		}
	}
}

// A change goes where its message is, so that it may say nothing else; a message
// has to say whom it is for.
func TestWhatComesInSaysWhereItBelongs(t *testing.T) {
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	for what, taken := range map[string]bool{
		"react m1": true, "redact m1": true, "edit m1": true, "react": false, "redact": false, "message m1": false,
	} {
		if _, err := p.Deliver(t.Context(), message("about "+what)); (err == nil) != taken {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFindTellsThreeThingsApart(t *testing.T) {
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	for _, tc := range []struct {
		text          string
		found, failed bool
	}{{"sent", true, false}, {"not", false, false}, {"unknown", false, true}} {
		r, found, err := p.Find(t.Context(), message(tc.text), time.Now())
		if found != tc.found || (err != nil) != tc.failed || found && r.RemoteIDs[0] != "r1" {
			t.Errorf("find %s: got %+v, %v, %v", tc.text, r, found, err)
		}
	}
}

func TestALargeBodyIsReadAsMedia(t *testing.T) {
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	r, err := p.Deliver(t.Context(), message(strings.Repeat("0123456789", 300_000)))
	if err != nil || r.RemoteIDs[0] != "3000000" {
		t.Errorf("deliver 3 MB: got %v, %v", r.RemoteIDs, err)
	}
}

func TestWhatComesInIsStamped(t *testing.T) {
	b := sdktest.NewBackend()
	p := start(t, "scripted", b, nil)
	if _, err := p.Deliver(t.Context(), message("put n1")); err != nil {
		t.Fatal(err)
	}
	in := b.Inbounds()
	if len(in) != 1 || in[0].Origin != "here" || string(in[0].Data) != "said n1" || in[0].Kind != event.KindMessage {
		t.Errorf("put: got %+v", in)
	}
}

func TestOnlyTheEnvironmentThatItNeedsIsPassedOn(t *testing.T) {
	t.Setenv("SLACK_TOKEN", "secret")
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	r, err := p.Deliver(t.Context(), message("env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range r.RemoteIDs {
		if !strings.HasPrefix(name, "PLUGIN_") && !slices.Contains([]string{"PATH", "HOME", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "PARLEY_CONNECTOR", "SSL_CERT_FILE", "SSL_CERT_DIR"}, name) {
			t.Errorf("%s was passed on", name)
		}
	}
}

func TestItRunsInItsFolderAndKnowsItsPlaces(t *testing.T) {
	c := role("scripted")
	c.Dir = t.TempDir()
	p := launch(t, c, nil)
	s := sdk.Settings{Instance: "here", JSON: []byte(`{}`), Places: []event.Address{"test:room", "test:yard"}}
	if err := p.Open(t.Context(), s, sdktest.NewBackend()); err != nil {
		t.Fatal(err)
	}
	r, err := p.Deliver(t.Context(), message("where"))
	if want := []string{c.Dir, "test:room", "test:yard"}; err != nil || !slices.Equal(r.RemoteIDs, want) {
		t.Errorf("got %q (%v), want %q", r.RemoteIDs, err, want)
	}
}

func TestHTTPIsServedOnTheSocket(t *testing.T) {
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", p.HTTPSocket())
	}}}
	resp, err := c.Get("http://door/room")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "page /room" {
		t.Errorf("got %q", body)
	}
}

func TestADeliveryThatBreaksOffHasNoPolicy(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*client.Process)
		text string
	}{
		{"killed", func(p *client.Process) { _ = syscall.Kill(p.PID(), syscall.SIGKILL) }, "hang"},
		{"panic", func(*client.Process) {}, "panic"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			p := start(t, "scripted", sdktest.NewBackend(), j.logger())
			done := make(chan error, 1)
			go func() {
				_, err := p.Deliver(context.Background(), message(tc.text))
				done <- err
			}()
			if tc.text == "hang" {
				if err := p.Ping(t.Context()); err != nil { // the delivery is before it
					t.Fatal(err)
				}
			}
			tc.do(p)
			select {
			case err := <-done:
				_, _, retry := event.AsRetry(err)
				if !errors.Is(err, client.ErrGone) || retry || event.IsPermanent(err) {
					t.Errorf("got %v; want ErrGone without a policy", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the delivery still waits")
			}
			<-p.Done()
			p.Kill()
			if tc.text != "panic" {
				return
			}
			shown := slices.ContainsFunc(j.lines(t), func(m map[string]any) bool {
				return m["level"] == "ERROR" && strings.Contains(fmt.Sprint(m["msg"]), "panic: at the connector")
			})
			if !shown {
				t.Error("the panic is not in the log")
			}
		})
	}
}

func TestADeliveryThatHangsIsCancelled(t *testing.T) {
	b := sdktest.NewBackend()
	p := start(t, "scripted", b, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := p.Deliver(ctx, message("hang"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	cancelled := func() bool { return len(b.Inbounds()) == 1 }
	if err := b.Await(t.Context(), cancelled); err != nil {
		t.Error("the connector never heard that nobody waits")
	}
	if _, err := p.Deliver(t.Context(), message("hello")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// slow is a backend whose Put waits.
type slow struct {
	*sdktest.Backend
	wait chan struct{}

	mu      sync.Mutex
	now     int
	highest int
}

func (s *slow) Put(ctx context.Context, in event.Inbound) (string, error) {
	s.mu.Lock()
	s.now++
	s.highest = max(s.highest, s.now)
	s.mu.Unlock()
	select {
	case <-s.wait:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return s.Backend.Put(ctx, in)
}

func TestASlowPutHoldsUpNoDelivery(t *testing.T) {
	b := &slow{Backend: sdktest.NewBackend(), wait: make(chan struct{})}
	p := start(t, "scripted", b, nil)
	var puts sync.WaitGroup
	for i := range 20 {
		puts.Go(func() {
			if _, err := p.Deliver(t.Context(), message("put "+strconv.Itoa(i))); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := p.Deliver(t.Context(), message("hello")); err != nil {
		t.Error(err)
	}
	close(b.wait)
	puts.Wait()
	if n := len(b.Inbounds()); n != 20 {
		t.Errorf("%d came in; want 20", n)
	}
}

func TestAFloodIsPushedBack(t *testing.T) {
	b := &slow{Backend: sdktest.NewBackend(), wait: make(chan struct{})}
	p := start(t, "raw", b, nil)
	close(b.wait)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// It never takes an answer while it asks: then it is not listened to.
	if _, err := p.Deliver(ctx, message("flood")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deliver: got %v", err)
	}
	if err := p.Ping(ctx); err == nil {
		t.Error("it answers a ping; want it to look hung, so that it is restarted")
	}
	p.Kill()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.Inbounds()); b.highest == 0 || b.highest > 256 || n == 20_000 {
		t.Errorf("%d puts were under way at once, %d in all", b.highest, n)
	}
}

func TestGarbageHurtsNobody(t *testing.T) {
	p := start(t, "raw", sdktest.NewBackend(), nil)
	r, err := p.Deliver(t.Context(), message("garbage"))
	if err != nil || r.State != event.Accepted || !slices.Equal(r.RemoteIDs, []string{"short"}) || r.Anchor != "" {
		t.Errorf("got %+v, %v; want what is within the limits", r, err)
	}
	if _, err := p.Deliver(t.Context(), message("mute")); err == nil || event.IsPermanent(err) {
		t.Errorf("an answer without a receipt: got %v", err)
	}
}

func TestNobodySpeaksForAnotherNetwork(t *testing.T) {
	b := sdktest.NewBackend()
	p := start(t, "raw", b, nil)
	if _, err := p.Deliver(t.Context(), message("forge")); err != nil {
		t.Fatal(err)
	}
	if err := b.Await(t.Context(), func() bool { return len(b.Inbounds()) > 0 }); err != nil {
		t.Fatal(err)
	}
	p.Kill() // and everything it asked has been answered
	if in := b.Inbounds(); len(in) != 1 || in[0].Sender != "test:u/bob" {
		t.Errorf("came in: %+v", in)
	}
}

func TestBabbleIsBoundedAndHurtsNobody(t *testing.T) {
	var j journal
	p := start(t, "babbling", sdktest.NewBackend(), j.logger())
	for range 50 {
		if _, err := p.Deliver(t.Context(), message("hello")); err != nil {
			t.Fatal(err)
		}
	}
	p.Kill()
	lines := j.lines(t)
	dropped := slices.ContainsFunc(lines, func(m map[string]any) bool { return m["dropped"] != nil })
	if len(lines) > 3000 || !dropped {
		t.Errorf("%d lines logged of 12,000; dropped told: %v", len(lines), dropped)
	}
}

func TestTheLogKeepsLevelsAndIsNotForged(t *testing.T) {
	var j journal
	p := start(t, "scripted", sdktest.NewBackend(), j.logger().With("connector", "here"))
	if _, err := p.Deliver(t.Context(), message("log")); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	for _, m := range j.lines(t) {
		if m["msg"] == "from the connector" || m["msg"] == "mine" {
			if m["level"] != "WARN" || m["connector"] != "here" || m["room"] != "r1\nforged line" {
				t.Errorf("got %v", m)
			}
			return
		}
	}
	t.Error("the line is not in the log")
}

func TestWhatCannotBeStartedSaysWhy(t *testing.T) {
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	good := hex.EncodeToString(sum[:])
	pinned, wrong := role("counting"), role("counting")
	pinned.SHA256, wrong.SHA256 = strings.ToUpper(good), strings.Repeat("0", 64)
	missing := role("counting")
	missing.Path = "/nonexistent/connector"
	for _, tc := range []struct {
		name    string
		command client.Command
		want    string
	}{
		{"pinned", pinned, ""},
		{"another binary", wrong, "SHA-256"},
		{"no such file", missing, "no such file"},
		{"ends at once", role("dying"), "no module named grpc"},
		{"prints something else", role("mumbling"), "hello, I am a plugin"},
		{"another protocol", role("futurist"), "incompatible API version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j journal
			tc.command.SocketDir = shortDir(t)
			p, err := client.Start(t.Context(), tc.command, j.logger())
			if err == nil {
				p.Kill()
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v; want %q", err, tc.want)
			}
		})
	}
}

func TestASilentProcessIsGivenUp(t *testing.T) {
	c := role("silent")
	c.SocketDir = shortDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var j journal
	_, err := client.Start(ctx, c, j.logger())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsLeftOfAGroup(t *testing.T) {
	var j journal
	p := start(t, "parent", sdktest.NewBackend(), j.logger())
	p.Kill()
	for _, m := range j.lines(t) {
		var pid int
		if _, err := fmt.Sscanf(fmt.Sprint(m["msg"]), "grandchild %d", &pid); err == nil {
			gone(t, pid)
			return
		}
	}
	t.Error("no grandchild was started")
}

func TestNoOrphanIsLeftWhenTheHostIsKilled(t *testing.T) {
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	h := exec.Command(os.Args[0], "be", "host", dir)
	in, err := h.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the host says %q", line)
	}
	_ = h.Process.Kill()
	_ = h.Wait()
	gone(t, pid)
	if err := client.RemoveStale(dir, "orphan"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// gone waits until no process has this number.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 500 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
}

func TestACloseInGoodOrderIsQuick(t *testing.T) {
	p := start(t, "scripted", sdktest.NewBackend(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := p.Deliver(t.Context(), message("hello")); !errors.Is(err, client.ErrGone) {
		t.Errorf("deliver afterwards: got %v", err)
	}
}

func TestManyDeliveriesAtOnce(t *testing.T) {
	p := start(t, "counting", sdktest.NewBackend(), nil)
	const each, at = 50, 64
	var all sync.WaitGroup
	began := time.Now()
	for range at {
		all.Go(func() {
			for range each {
				if _, err := p.Deliver(t.Context(), message("hello")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("%.0f deliveries/s", each*at/time.Since(began).Seconds())
}

func TestStateAndMediaKeepTheContract(t *testing.T) {
	b := sdktest.NewBackend()
	for i := range 1500 {
		if _, err := b.State().Put(t.Context(), fmt.Sprintf("k%05d", i), make([]byte, 2000), 0); err != nil {
			t.Fatal(err)
		}
	}
	p := launch(t, role("stateful"), nil)
	if err := p.Open(t.Context(), sdk.Settings{Instance: "here"}, b); err != nil {
		t.Error(err)
	}
	if in := b.Inbounds(); len(in) != 1 || in[0].NativeID != "big" || in[0].Ref == "" || in[0].Size != 2_000_000 {
		t.Errorf("came in: %d, want the large body by its ref", len(in))
	}
}
