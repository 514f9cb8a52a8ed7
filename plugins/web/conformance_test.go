package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"

	"parley.im/plugins/sdk"
	"parley.im/plugins/sdk/sdktest"
)

// TestMain serves the connector when the suite has started this program as
// one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"serve", "web"}) {
		sdk.Serve(New())
		return
	}
	os.Exit(m.Run())
}

func TestWebKeepsTheContract(t *testing.T) {
	sdktest.Run(t, sdktest.Options{Command: []string{os.Args[0], "serve", "web"}, Target: "web:room/lobby"})
}

// The suite sees a network from outside its host. What this one shows is in
// the host's own State, so it lends its voice only; crash points are tested
// above, write by write.
func TestWhatIsSaidKeepsTheContract(t *testing.T) {
	ran := false
	for _, c := range sdktest.Checks(sdktest.Options{
		Command: []string{os.Args[0], "serve", "web"}, Target: "web:room/lobby", Network: &voice{},
	}) {
		if c.Name != "what comes in is stored once, also when the host was busy" {
			continue
		}
		ran = true
		if err := c.Run(t.Context()); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	if !ran {
		t.Error("the suite has no such check")
	}
}

// voice is somebody at a page of a running connector.
type voice struct {
	cookie *http.Cookie
	token  string
}

func (v *voice) Arrived(context.Context, string) (int, error) {
	return 0, errors.New("this network shows nothing outside the host")
}

func (v *voice) Say(ctx context.Context, door *http.Client, id, text string) error {
	if v.cookie == nil {
		if err := v.post(ctx, door, "join", map[string]string{"name": "eve"}); err != nil {
			return err
		}
	}
	return v.post(ctx, door, "messages", postRequest{Conv: "r:lobby", Text: text, Nonce: id})
}

func (v *voice) post(ctx context.Context, door *http.Client, what string, body any) error {
	q, err := http.NewRequestWithContext(ctx, "POST", "http://localhost/api/"+what, bytes.NewReader(marshal(body)))
	if err != nil {
		return err
	}
	q.Header.Set("X-Forwarded-For", "127.0.0.1")
	q.Header.Set("X-Forwarded-Prefix", "/c/web")
	q.Header.Set("Origin", "http://localhost")
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("X-Parley-Token", v.token)
	if v.cookie != nil {
		q.AddCookie(v.cookie)
	}
	resp, err := door.Do(q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s %v", what, resp.Status, data, err)
	}
	for _, c := range resp.Cookies() {
		v.cookie = c
	}
	var s sessionAnswer
	if json.Unmarshal(data, &s) == nil && s.Token != "" {
		v.token = s.Token
	}
	return nil
}
