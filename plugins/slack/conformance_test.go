package slack

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

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
	n := newNetwork(s)
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "slack"}, Settings: bySocket(s), Target: address(s.Team, n.channel), Network: n,
	})
}

func TestSlackKeepsTheContractOverHTTP(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	n := newNetwork(s)
	n.http = true
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "slack"}, Settings: byHTTP(s), Target: address(s.Team, n.channel), Network: n,
	})
}

func TestDirectMessagesKeepTheContract(t *testing.T) {
	s := newWorkspace(t, slacktest.Options{})
	n := newNetwork(s)
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "slack"}, Settings: bySocket(s), Target: address(s.Team, n.bob), Network: n,
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
	s            *slacktest.Server
	channel, bob string
	http         bool

	mu     sync.Mutex
	events map[string][]byte // by the id of the message
}

func newNetwork(s *slacktest.Server) *network {
	return &network{s: s, channel: s.Channel("ops"), bob: s.Person("Bob"), events: map[string][]byte{}}
}

func (n *network) Arrived(_ context.Context, part string) (count int, err error) {
	for _, m := range n.s.All() {
		if strings.Contains(m.Text, part) {
			count++
		}
	}
	return count, nil
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
