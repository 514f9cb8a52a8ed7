package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley.im/plugins/matrix/matrixtest"
)

func TestPluginMatrixRegisterSaysWhatToDoNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matrix.yaml")
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := execute(t.Context(), append([]string{"plugin", "matrix", "register"}, args...), nil, &out, &errs)
		return code, out.String(), errs.String()
	}
	args := []string{"--domain", "hs.org", "--url", "http://127.0.0.1:8025/c/matrix", "--out", path}
	code, out, errs := run(args...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{path, "app_service_config_files", "[plugins.matrix]", `domain       = "hs.org"`, "parley check"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "as_token: ") {
		t.Errorf("the file: %s, %v", data, err)
	}
	if strings.Contains(out, strings.Fields(string(data))[5]) {
		t.Error("a token is printed")
	}
	if code, _, errs := run(args...); code != exitFailed || !strings.Contains(errs, "there already") {
		t.Errorf("a second time: exit code %d: %s", code, errs)
	}
	if code, _, errs := run("--domain", "hs.org"); code != exitUsage || !strings.Contains(errs, "url") {
		t.Errorf("without a URL: exit code %d: %s", code, errs)
	}
}

// matrixBridge is a bridge to a homeserver with bob, a room "ops" and a room
// "support".
func matrixBridge(t *testing.T) (*bridge, *matrixtest.Server, *matrixtest.Human) {
	t.Helper()
	hs := matrixtest.New(t, matrixtest.Options{})
	bob := hs.Human("bob", "Bob")
	for _, alias := range []string{"ops", "support"} {
		bob.Create(matrixtest.Room{Alias: alias, Public: true})
	}
	b := newBridge(t, `[plugins.web]`, fmt.Sprintf(`[plugins.matrix]
homeserver   = %q
domain       = %q
registration = %q

[plugins.web]`, hs.URL, hs.Domain, hs.Registration), "[[route]]\nname = \"web\"", `[[route]]
name = "matrix"
mode = "direct"
sip  = "sip:mx-{user}_{server}@127.0.0.1"
to   = "matrix:u/{user}:{server}"

[[route]]
name    = "ops"
mode    = "room"
sip     = "sip:ops@127.0.0.1"
members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]
to      = ["matrix:r/ops:hs.org", "web:room/lobby"]

[[route]]
name = "support"
mode = "desk"
sip  = "sip:support@127.0.0.1"
to   = ["matrix:r/support:hs.org"]

[[route]]
name = "web"`, "[[route]]\nname    = \"lobby\"\nmode    = \"room\"\nsip     = \"sip:lobby@127.0.0.1\"\nmembers = [\"sip:alice@127.0.0.1\", \"sip:bob@127.0.0.1\"]\nto      = [\"web:room/lobby\"]\n", "")
	hs.Connect(fmt.Sprintf("http://127.0.0.1:%d/c/matrix", b.web), nil)
	return b, hs, bob
}

// shows waits until a room shows a text and returns the event.
func shows(t *testing.T, hs *matrixtest.Server, room, text string) (found matrixtest.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := hs.Await(ctx, func() bool {
		for _, e := range hs.Messages(room) {
			if e.Text() == text {
				found = e
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatalf("the room never showed %q: %v; it shows %v", text, err, hs.Messages(room))
	}
	return found
}

func TestMatrixAndPhonesTalkBothWays(t *testing.T) {
	b, hs, bob := matrixBridge(t)
	alice := b.phone("alice", "u1")
	alice.register()
	alice.listen()
	const ghost = "@_parley_sip_alice_127.0.0.1:hs.org"

	// The phone begins; the answer in that room comes back to it.
	b.send("alice", "mx-bob_hs.org", "hello bob")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var room string
	if err := hs.Await(ctx, func() bool {
		for _, r := range hs.Rooms(ghost) {
			if hs.Membership(r, bob.ID) == "invite" {
				room = r
			}
		}
		return room != ""
	}); err != nil {
		t.Fatal(err)
	}
	shows(t, hs, room, "hello bob")
	bob.Join(room)
	said := bob.Say(room, "hello alice")
	alice.uas.says(`GOT from=.*Bob.*<sip:mx-bob_hs\.org@127\.0\.0\.1>.* body=hello alice$`)
	if err := hs.Await(ctx, func() bool { return hs.ReadBy(room, ghost) == said }); err != nil {
		t.Errorf("bob never saw that the phone has it: %v", err)
	}

	// Bob opens another room with alice; from then on the answers go there.
	other := bob.Create(matrixtest.Room{Invite: []string{ghost}})
	if err := hs.Await(ctx, func() bool { return hs.Membership(other, ghost) == "join" }); err != nil {
		t.Fatal(err)
	}
	bob.Say(other, "let us talk here")
	alice.uas.says(`body=let us talk here$`)
	b.send("alice", "mx-bob_hs.org", "gladly")
	shows(t, hs, other, "gladly")

	// Who dials nobody is told so.
	nobody := bob.Create(matrixtest.Room{Invite: []string{"@_parley_sip_zoe_127.0.0.1:hs.org"}})
	if err := hs.Await(ctx, func() bool { return hs.Membership(nobody, "@_parley_sip_zoe_127.0.0.1:hs.org") == "leave" }); err != nil {
		t.Errorf("an invitation to nobody is not declined: %v", err)
	}
}

func TestMatrixRoomsAndDesks(t *testing.T) {
	b, hs, bob := matrixBridge(t)
	alice := b.phone("alice", "u1")
	alice.register()
	alice.listen()
	ops, support := hs.Resolve("#ops:hs.org"), hs.Resolve("#support:hs.org")
	ann := joinChat(t, b.web, "ann")

	b.send("alice", "ops", "to all of you")
	shows(t, hs, ops, "to all of you")
	ann.sees("to all of you", nil)
	ann.say("r:lobby", "from the page")
	if e := shows(t, hs, ops, "from the page"); e.Sender != "@_parley_web_u=2fann:hs.org" {
		t.Errorf("ann is shown as %s", e.Sender)
	}
	bob.Say(ops, "from matrix")
	alice.uas.says(`GOT from=.*Bob.*<sip:ops@127\.0\.0\.1>.* body=from matrix$`)
	ann.sees("from matrix", nil)

	b.send("alice", "support", "it is broken")
	root := shows(t, hs, support, "it is broken")
	id := b.says(`msg=routed message=(\w+) route=support`)[1]
	b.says(`msg=delivered connector=matrix message=\w+ inbound=` + id) // the thread is known
	said := bob.Answer(support, root.ID, "try again")
	alice.uas.says(`GOT from=.*<sip:support@127\.0\.0\.1>.* body=try again$`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := hs.Await(ctx, func() bool { return hs.ReadBy(support, hs.Bot()) == said }); err != nil {
		t.Fatalf("nobody told bob that the phone has it: %v", err)
	}
	b.crash()
	b.start() // the homeserver repeats what was not taken, the thread is known
	bob.Answer(support, root.ID, "still there?")
	alice.uas.says(`body=still there\?$`)
	b.send("alice", "support", "yes")
	e := shows(t, hs, support, "yes")
	if relates, _ := e.Content["m.relates_to"].(map[string]any); relates["event_id"] != root.ID {
		t.Errorf("alice's answer stands in %v, not in the thread of %s", relates, root.ID)
	}
	bob.Say(support, "whom do you mean")
	if err := hs.Await(ctx, func() bool {
		list := hs.Messages(support)
		last := list[len(list)-1]
		return last.Sender == hs.Bot() && strings.Contains(last.Text(), "thread")
	}); err != nil {
		t.Errorf("nobody told bob to answer in a thread: %v", err)
	}
}

// The host is killed while the homeserver holds back its answer: it has the
// event, and gets the message again.
func TestAHostKilledBeforeTheHomeserverAnsweredGivesOneEvent(t *testing.T) {
	b, hs, _ := matrixBridge(t)
	ops := hs.Resolve("#ops:hs.org")
	b.send("alice", "ops", "warm up")
	shows(t, hs, ops, "warm up")
	held := hs.HoldAnswers()
	b.send("alice", "ops", "precious")
	select {
	case <-held.Stored:
	case <-time.After(patience):
		t.Fatal("the homeserver never got it")
	}
	b.crash()
	hs.Restore()
	b.start()
	b.send("alice", "ops", "after")
	shows(t, hs, ops, "after")
	n := 0
	for _, e := range hs.Messages(ops) {
		if e.Text() == "precious" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the room shows it %d times", n)
	}
}

// The configuration in docs/connectors/matrix.md, added to the shipped one, is
// one that check and route explain understand.
func TestTheMatrixPageShowsAConfigurationThatWorks(t *testing.T) {
	page, err := os.ReadFile("../../docs/connectors/matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```toml\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("the page has no TOML")
	}
	b := writeBridge(t, "[plugins.web]", block[:strings.Index(block, "[[route]]")]+"[plugins.web]",
		"[[route]]\nname = \"web\"", block[strings.Index(block, "[[route]]"):]+"\n[[route]]\nname = \"web\"")
	if out, errs, code := b.cli("", "check", "--config", b.config); code != exitOK {
		t.Fatalf("check: %s%s", out, errs)
	}
	for _, args := range [][]string{
		{"sip:alice@127.0.0.1", "sip:mx-bob_hs.org@127.0.0.1"}, {"sip:alice@127.0.0.1", "sip:ops@127.0.0.1"},
		{"sip:alice@127.0.0.1", "sip:support@127.0.0.1"}, {"matrix:u/bob:hs.org", "sip:alice@127.0.0.1"},
	} {
		out, errs, code := b.cli("", append([]string{"route", "explain", "--config", b.config}, args...)...)
		if code != exitOK || !strings.Contains(out, "matrix") && !strings.Contains(out, "mx-bob_hs.org") {
			t.Errorf("route explain %v: %s%s", args, out, errs)
		}
	}
}

// The homeserver knows no password of the door: the connector asks it for the
// token.
func TestTheHomeserverNeedsNoPasswordOfTheDoor(t *testing.T) {
	hs := matrixtest.New(t, matrixtest.Options{})
	b := newBridge(t, "password = \"\"                         # needed", "password = \"door\"                     # needed",
		"[plugins.web]", fmt.Sprintf("[plugins.matrix]\nhomeserver = %q\ndomain = %q\nregistration = %q\n\n[plugins.web]", hs.URL, hs.Domain, hs.Registration))
	for _, tc := range []struct {
		path, token string
		want        int
	}{
		{"/c/matrix/_matrix/app/v1/ping", "", 401}, {"/c/matrix/_matrix/app/v1/ping", "wrong", 403},
		{"/c/matrix/_matrix/app/v1/ping", hs.Token(), 200}, {"/c/matrix/transactions/x", "", 405},
	} {
		q, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", b.web, tc.path), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if tc.token != "" {
			q.Header.Set("Authorization", "Bearer "+tc.token)
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tc.want {
			t.Errorf("%s with token %q: %s; want %d", tc.path, tc.token, res.Status, tc.want)
		}
	}
}
