package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/slack/slacktest"
)

// TestMain serves the connector when the suite has started this program as
// one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"serve", "slack"}) {
		sdk.Serve(New())
		return
	}
	os.Exit(m.Run())
}

func TestSlackKeepsTheContractOverSocketMode(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	n := newNetwork(t, s)
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "slack"}, Settings: n.by(bySocket), Target: address(s.Team, n.channel), Network: n,
	})
}

func TestSlackKeepsTheContractOverHTTP(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	n := newNetwork(t, s)
	n.http = true
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "slack"}, Settings: n.by(byHTTP), Target: address(s.Team, n.channel), Network: n,
	})
}

func TestDirectMessagesKeepTheContract(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	n := newNetwork(t, s)
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "slack"}, Settings: n.by(bySocket), Target: address(s.Team, n.bob), Network: n,
	})
}

func newWorkspace(t *testing.T, o slacktest.Options) *slacktest.Server {
	t.Helper()
	s := slacktest.New(o)
	t.Cleanup(s.Close)
	return s
}

func bySocket(s *slacktest.Server) json.RawMessage {
	return settingsJSON(map[string]any{"bot_token": s.BotToken, "app_token": s.AppToken, "api_url": s.APIURL()})
}

func byHTTP(s *slacktest.Server) json.RawMessage {
	return settingsJSON(map[string]any{"bot_token": s.BotToken, "signing_secret": s.SigningSecret, "api_url": s.APIURL()})
}

func settingsJSON(v map[string]any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// network is a channel, and bob's voice in it.
type network struct {
	*sdktest.Line // to the Web API
	s             *slacktest.Server
	channel, bob  string
	http          bool

	mu     sync.Mutex
	events map[string][]byte // by the id of the message
}

func newNetwork(t *testing.T, s *slacktest.Server) *network {
	t.Helper()
	u, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	line, err := sdktest.NewLine(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	return &network{Line: line, s: s, channel: s.Channel("ops"), bob: s.Person("Bob"), events: map[string][]byte{}}
}

// by returns settings with the Web API at the end of the line.
func (n *network) by(settings func(*slacktest.Server) json.RawMessage) json.RawMessage {
	direct, _ := url.Parse(n.s.APIURL()) // it was parsed before
	return bytes.ReplaceAll(settings(n.s), []byte(direct.Host), []byte(n.Address))
}

func (n *network) Arrived(ctx context.Context, part string) (int, error) {
	shown, err := n.Shown(ctx, part)
	return len(shown), err
}

func (n *network) Shown(_ context.Context, part string) (shown []string, err error) {
	for _, m := range n.s.All() {
		if strings.Contains(m.Text, part) {
			shown = append(shown, m.Text)
		}
	}
	return shown, nil
}

func (n *network) Hold() (arrived <-chan struct{}, release func()) {
	stored, release := n.s.Hold()
	came := make(chan struct{}, 1)
	go func() {
		<-stored
		came <- struct{}{}
	}()
	return came, release
}

func (n *network) Limit(after time.Duration) (lift func()) {
	n.s.Limit(after)
	return func() { n.s.Limit(0) }
}

func (n *network) Say(ctx context.Context, door *http.Client, id, text string) error {
	n.mu.Lock()
	body, again := n.events[id]
	if !again {
		_, body = n.s.Event(n.bob, n.channel, text, "")
		n.events[id] = body
	}
	n.mu.Unlock()
	if n.http {
		return n.s.Post(ctx, door, "http://slack/events", body, 0)
	}
	return n.s.Push(ctx, body)
}
