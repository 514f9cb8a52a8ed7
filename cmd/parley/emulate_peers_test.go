//go:build peers

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley.im/plugins/slack/slacktest"
)

// slackPrograms installs a Slack that is none of ours, Slack's own clients and
// the Node that they need, once for each version. Nothing of it runs a script
// when it is installed.
func slackPrograms(t *testing.T) string {
	t.Helper()
	from := []string{testdata(t, "peers/slack/package.json"), testdata(t, "peers/slack/package-lock.json")}
	return cached(t, "slack", func(dir string) error {
		if err := npm(dir, from...); err != nil {
			return err
		}
		return os.Chmod(nodeIn(t, filepath.Join(dir, "node_modules")), 0o755)
	}, from...)
}

// nodeIn is the Node that was installed for this machine. Not every npm links
// it among the programs.
func nodeIn(t *testing.T, modules string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(modules, "node-linux-*/bin/node"))
	if err != nil || len(found) != 1 {
		t.Fatalf("npm has installed %d of Node: %v", len(found), err)
	}
	return found[0]
}

// node is a script of ours, run with what is installed.
func node(t *testing.T, name string, args ...string) *jsonProc {
	t.Helper()
	modules := filepath.Join(slackPrograms(t), "node_modules")
	cmd := exec.Command(nodeIn(t, modules), append([]string{testdata(t, "peers/slack/"+name)}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return &jsonProc{proc: start(t, name, cmd)}
}

// A jsonProc is a program that takes and prints one JSON object a line.
type jsonProc struct {
	*proc
	calls int
}

// do gives a command.
func (p *jsonProc) do(command any) {
	p.t.Helper()
	j, err := json.Marshal(command)
	if err == nil {
		_, err = fmt.Fprintf(p.in, "%s\n", j)
	}
	if err != nil {
		p.t.Fatalf("%s takes no command: %v", p.name, err)
	}
}

// each calls f with every object printed so far, until it returns true.
func (p *jsonProc) each(f func(line []byte) bool) {
	p.mu.Lock()
	printed := slices.Clone(p.lines)
	p.mu.Unlock()
	for _, line := range printed {
		if f([]byte(line)) {
			return
		}
	}
}

// until waits until f is true of an object that was printed.
func (p *jsonProc) until(what string, f func(line []byte) bool) {
	p.t.Helper()
	for timeout := time.After(patience); ; {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		found := false
		p.each(func(line []byte) bool { found = f(line); return found })
		if found {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			p.t.Fatalf("%s has ended, and never %s", p.name, what)
		case <-timeout:
			p.t.Fatalf("%s: never %s", p.name, what)
		}
	}
}

// call calls a method of Slack's Web API by Slack's own client.
func (p *jsonProc) call(token, method string, args map[string]any, result any) error {
	p.t.Helper()
	p.calls++
	p.do(map[string]any{"id": p.calls, "token": token, "method": method, "args": args})
	type answer struct {
		ID     int
		Result json.RawMessage
		Error  string
	}
	var got answer
	p.until("answers "+method, func(line []byte) bool {
		got = answer{}
		return json.Unmarshal(line, &got) == nil && got.ID == p.calls
	})
	switch {
	case got.Error != "":
		return fmt.Errorf("%s: %s", method, got.Error)
	case result != nil:
		return json.Unmarshal(got.Result, result)
	}
	return nil
}

// A slackPost is a message in Slack.
type slackPost struct {
	Channel  string
	TS       string
	ThreadTS string `json:"thread_ts"`
	User     string
	Name     string `json:"username"`
	Text     string
	AppID    string `json:"app_id"`
}

// An emulated is a workspace of emulate with our front before it.
type emulated struct {
	t              *testing.T
	front, sdk     *jsonProc
	url            string // of the Web API
	team, bot      string
	channels       map[string]string // ids by names
	people         map[string]string
	serverOfOthers *proc
}

func startEmulate(t *testing.T) *emulated {
	t.Helper()
	modules, dir, port := filepath.Join(slackPrograms(t), "node_modules"), t.TempDir(), ports(t, 1)[0]
	cmd := exec.Command(nodeIn(t, modules), filepath.Join(modules, "emulate/dist/index.js"), "start",
		"--service", "slack", "--port", fmt.Sprint(port), "--seed", testdata(t, "peers/slack/workspace.yaml"))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
	e := &emulated{t: t, serverOfOthers: start(t, "emulate", cmd), channels: map[string]string{}, people: map[string]string{}}
	e.serverOfOthers.says(`Ready`)
	e.front = node(t, "front.js", fmt.Sprint(port))
	var at struct {
		Listening  int
		Team, User string
	}
	e.front.until("listens", func(line []byte) bool { return json.Unmarshal(line, &at) == nil && at.Listening != 0 })
	e.url, e.team, e.bot = fmt.Sprintf("http://127.0.0.1:%d/api/", at.Listening), at.Team, at.User
	e.sdk = node(t, "sdk.js", e.url)
	e.learn()
	return e
}

// learn asks for the ids of channels and people.
func (e *emulated) learn() {
	e.t.Helper()
	type named struct{ ID, Name string }
	var channels struct{ Channels []named }
	var people struct{ Members []named }
	e.must(e.sdk.call("xoxp-sue", "conversations.list", nil, &channels))
	e.must(e.sdk.call("xoxp-sue", "users.list", nil, &people))
	for _, c := range channels.Channels {
		e.channels[c.Name] = c.ID
	}
	for _, p := range people.Members {
		e.people[p.Name] = p.ID
	}
}

func (e *emulated) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// say has a person say something, in a thread if one is given, and returns its
// timestamp.
func (e *emulated) say(person, channel, text, thread string) string {
	e.t.Helper()
	args := map[string]any{"channel": channel, "text": text}
	if thread != "" {
		args["thread_ts"] = thread
	}
	var r struct{ TS string }
	e.must(e.sdk.call("xoxp-"+person, "chat.postMessage", args, &r))
	return r.TS
}

// direct is the channel in which a person and the app talk.
func (e *emulated) direct(person string) string {
	e.t.Helper()
	var r struct{ Channel struct{ ID string } }
	e.must(e.sdk.call("xoxp-"+person, "conversations.open", map[string]any{"users": e.bot}, &r))
	return r.Channel.ID
}

// sees waits for a text in a channel and returns the post.
func (e *emulated) sees(channel, text string) (found slackPost) {
	e.t.Helper()
	e.front.until(fmt.Sprintf("shows %q in %s", text, channel), func(line []byte) bool {
		var l struct{ Posted slackPost }
		if json.Unmarshal(line, &l) != nil || l.Posted.Channel != channel || !strings.Contains(l.Posted.Text, text) {
			return false
		}
		found = l.Posted
		return true
	})
	return found
}

// history is what a channel has, with its threads, as a person reads it there.
func (e *emulated) history(person, channel string) (list []slackPost) {
	e.t.Helper()
	var tops struct{ Messages []slackPost }
	e.must(e.sdk.call("xoxp-"+person, "conversations.history", map[string]any{"channel": channel}, &tops))
	slices.Reverse(tops.Messages)
	for _, top := range tops.Messages {
		var thread struct{ Messages []slackPost }
		e.must(e.sdk.call("xoxp-"+person, "conversations.replies", map[string]any{"channel": channel, "ts": top.TS}, &thread))
		list = append(list, thread.Messages...)
	}
	return list
}

func TestPeerSlackEmulatorWithSlacksOwnClients(t *testing.T) {
	e := startEmulate(t)
	talksLikeSlack(t, e.sdk, slackWorld{bot: "xoxb-parley", app: "xapp-parley", channel: e.channels["ops"],
		say: func(text string) { e.say("sue", e.channels["ops"], text, "") }, author: e.people["sue"]})
	e.front.do(map[string]any{"do": "disconnect"})
	e.front.until("is connected again", func(line []byte) bool {
		return strings.Contains(string(line), `"connected"`) && e.front.count(`"connected"`) > 1
	})
	e.say("sue", e.channels["ops"], "after a renewal", "")
	e.sdk.says(`"event":.*"after a renewal"`)
	var names []string
	for _, p := range e.history("tom", e.channels["ops"]) {
		names = append(names, p.Text)
	}
	if got := fmt.Sprint(names); got != "[hello from sue hello from outside in its thread not acknowledged at first after a renewal]" {
		t.Errorf("the channel has %s", got)
	}
}

// Slack's own clients find in our workspace of tests what they find at Slack.
func TestPeerSlacksOwnClientsAtTheWorkspaceOfOurTests(t *testing.T) {
	s := slacktest.New(slacktest.Options{Pace: true})
	t.Cleanup(s.Close)
	sue, channel := s.Person("Sue"), s.Channel("ops")
	sdk := node(t, "sdk.js", s.APIURL())
	talksLikeSlack(t, sdk, slackWorld{bot: s.BotToken, app: s.AppToken, channel: channel, author: sue,
		say: func(text string) { s.Say(sue, channel, text, "") }})
	s.Refresh()
	if err := s.Await(t.Context(), func() bool { return s.Connections() == 0 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Await(t.Context(), func() bool { return s.Connections() == 1 }); err != nil {
		t.Fatal(err)
	}
	s.Say(sue, channel, "after a renewal", "")
	sdk.says(`"event":.*"after a renewal"`)
}

// A slackWorld is a workspace with an app in it, and somebody who speaks.
type slackWorld struct {
	bot, app        string // tokens
	channel, author string
	say             func(text string)
}

// talksLikeSlack goes through what the bridge needs of Slack, with Slack's own
// clients.
func talksLikeSlack(t *testing.T, sdk *jsonProc, w slackWorld) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	type post struct {
		Text, TS, Username string
		ThreadTS           string `json:"thread_ts"`
		Metadata           struct {
			Type    string         `json:"event_type"`
			Payload map[string]any `json:"event_payload"`
		}
	}
	var me struct {
		User string `json:"user_id"`
		Team string `json:"team_id"`
	}
	must(sdk.call(w.bot, "auth.test", nil, &me))
	if !strings.HasPrefix(me.User, "U") || !strings.HasPrefix(me.Team, "T") {
		t.Errorf("auth.test says %+v", me)
	}
	if err := sdk.call("xoxb-wrong", "auth.test", nil, nil); err == nil || !strings.HasSuffix(err.Error(), "_auth") && !strings.HasSuffix(err.Error(), "_authed") {
		t.Errorf("a wrong token: %v", err)
	}
	sdk.do(map[string]any{"listen": w.app})
	sdk.says(`"listening":true`)
	w.say("hello from sue")
	heard := sdk.says(`"event":(\{.*"hello from sue".*\}),`)
	var event struct{ Type, User, Channel, Text string }
	must(json.Unmarshal([]byte(heard[1]), &event))
	if event.Type != "message" || event.User != w.author || event.Channel != w.channel {
		t.Errorf("the event is %+v", event)
	}

	var first, second post
	marked := map[string]any{"event_type": "test_post", "event_payload": map[string]any{"id": "42"}}
	must(sdk.call(w.bot, "chat.postMessage", map[string]any{"channel": w.channel, "text": "hello from outside", "username": "Alice", "metadata": marked}, &first))
	must(sdk.call(w.bot, "chat.postMessage", map[string]any{"channel": w.channel, "text": "in its thread", "thread_ts": first.TS}, &second))
	if d := seconds(t, second.TS) - seconds(t, first.TS); d < 0.9 { // the client has waited as long as it was told
		t.Errorf("two posts within %.2f s", d)
	}
	var top, thread struct{ Messages []post }
	must(sdk.call(w.bot, "conversations.history", map[string]any{"channel": w.channel, "include_all_metadata": true, "limit": 1}, &top))
	if m := top.Messages[0]; m.TS != first.TS || m.Username != "Alice" || m.Metadata.Type != "test_post" || m.Metadata.Payload["id"] != "42" {
		t.Errorf("the newest message of the channel is %+v", m)
	}
	must(sdk.call(w.bot, "conversations.replies", map[string]any{"channel": w.channel, "ts": first.TS}, &thread))
	if n := len(thread.Messages); n != 2 || thread.Messages[1].TS != second.TS || thread.Messages[1].ThreadTS != first.TS {
		t.Errorf("the thread is %+v", thread.Messages)
	}
	sdk.do(map[string]any{"drop": 1})
	w.say("not acknowledged at first")
	sdk.says(`"event":.*"not acknowledged at first".*"dropped":true`)
	sdk.says(`"event":.*"not acknowledged at first".*"retry":1,"dropped":false`)
	if n := sdk.count(`"event":.*"hello from sue"`); n != 1 {
		t.Errorf("an acknowledged event came %d times", n)
	}
}

// seconds is the moment of a timestamp of Slack's.
func seconds(t *testing.T, ts string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(ts, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
