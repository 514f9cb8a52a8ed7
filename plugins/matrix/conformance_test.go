package matrix

import (
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
	room := bob.Create(matrixtest.Room{Alias: "ops", Public: true})
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "matrix"}, Settings: settingsOf(hs), Target: "matrix:r/ops:hs.org",
		Network: network{hs, room, bob},
	})
}

func TestDirectMessagesKeepTheContract(t *testing.T) {
	hs := newHomeserver(t)
	bob := hs.Human("bob", "Bob")
	sdktest.Run(t, sdktest.Options{
		Command: []string{os.Args[0], "serve", "matrix"}, Settings: settingsOf(hs), Target: "matrix:u/bob:hs.org",
		Network: network{hs, bob.Create(matrixtest.Room{Invite: []string{hs.Bot()}}), bob},
	})
}

// network is what bob sees, and his voice in a room.
type network struct {
	hs   *matrixtest.Server
	room string
	bob  *matrixtest.Human
}

func (n network) Arrived(_ context.Context, part string) (count int, err error) {
	for _, room := range n.hs.Rooms(n.bob.ID) {
		for _, e := range n.hs.Messages(room) {
			if strings.Contains(e.Text(), part) {
				count++
			}
		}
	}
	return count, nil
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
