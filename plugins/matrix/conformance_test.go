package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

// TestMain serves the connector when the suite has started this program as
// one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"serve", "matrix"}) {
		sdk.Serve(New())
		return
	}
	os.Exit(m.Run())
}

func TestMatrixKeepsTheContract(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	n := newNetwork(t, hs, bob, bob.Create(matrixtest.Room{Alias: "ops", Public: true}))
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "matrix"}, Settings: n.settings(), Target: "matrix:r/ops:hs.org", Once: true, Network: n,
	})
}

func TestDirectMessagesKeepTheContract(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	n := newNetwork(t, hs, bob, bob.Create(matrixtest.Room{Invite: []string{hs.Bot()}}))
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "matrix"}, Settings: n.settings(), Target: "matrix:u/bob:hs.org", Once: true, Network: n,
	})
}

// network is what bob sees, and his voice in a room.
type network struct {
	*sdktest.Line // to the homeserver
	hs            *matrixtest.Server
	room          string
	bob           *matrixtest.Human
}

func newNetwork(t *testing.T, hs *matrixtest.Server, bob *matrixtest.Human, room string) network {
	t.Helper()
	line, err := sdktest.NewLine(strings.TrimPrefix(hs.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	return network{line, hs, room, bob}
}

// settings have the homeserver at the end of the line.
func (n network) settings() json.RawMessage {
	return bytes.ReplaceAll(settingsOf(n.hs), []byte(n.hs.URL), []byte("http://"+n.Address))
}

func (n network) Arrived(ctx context.Context, part string) (int, error) {
	shown, err := n.Shown(ctx, part)
	return len(shown), err
}

func (n network) Shown(_ context.Context, part string) (shown []string, err error) {
	for _, room := range n.hs.Rooms(n.bob.ID) {
		for _, e := range n.hs.Messages(room) {
			if strings.Contains(e.Text(), part) {
				shown = append(shown, e.Text())
			}
		}
	}
	return shown, nil
}

func (n network) Hold() (arrived <-chan struct{}, release func()) {
	h := n.hs.HoldAnswers()
	came := make(chan struct{}, 1)
	go func() {
		<-h.Stored
		came <- struct{}{}
	}()
	return came, n.hs.Restore
}

func (n network) Limit(after time.Duration) (lift func()) {
	n.hs.Limit(1000, after)
	return n.hs.Restore
}

// Say pushes bob's message once, as the homeserver does.
func (n network) Say(ctx context.Context, door *http.Client, id, text string) error {
	body, err := json.Marshal(map[string]any{"events": []any{matrixtest.Event{
		ID: "$" + id, Room: n.room, Type: "m.room.message", Sender: n.bob.ID, Time: time.Now().UnixMilli(),
		Content: map[string]any{"msgtype": "m.text", "body": text},
	}}})
	if err != nil {
		return err
	}
	return n.hs.Push(ctx, door, "http://localhost", matrixtest.Transaction{ID: id, Body: body})
}
