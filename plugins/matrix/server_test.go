package matrix

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"parley.im/plugins/matrix/matrixtest"
	"parley.im/plugins/sdk/sdktest"
)

func TestThePathsOfTheHomeserver(t *testing.T) {
	hs := newHomeserver(t)
	backend := sdktest.NewBackend()
	backend.Refuse("sip:nobody@example.com")
	backend.Refuse("matrix:r/_parley_attic:hs.org")
	b := start(t, hs, backend)
	good := "Bearer " + hs.Token()
	for _, tc := range []struct {
		name, method, path, auth, body string
		status                         int
		code                           string
	}{
		{"a transaction", "PUT", "/_matrix/app/v1/transactions/1", good, `{"events": []}`, 200, ""},
		{"the old path", "PUT", "/transactions/1", good, `{"events": []}`, 200, ""},
		{"no token", "PUT", "/_matrix/app/v1/transactions/1", "", `{}`, 401, "M_MISSING_TOKEN"},
		{"wrong token", "PUT", "/_matrix/app/v1/transactions/1", "Bearer wrong", `{}`, 403, "M_FORBIDDEN"},
		{"the other token", "PUT", "/_matrix/app/v1/transactions/1", "Bearer as-secret", `{}`, 403, "M_FORBIDDEN"},
		{"a password", "PUT", "/_matrix/app/v1/transactions/1", "Basic " + hs.Token(), `{}`, 401, "M_MISSING_TOKEN"},
		{"not JSON", "PUT", "/_matrix/app/v1/transactions/1", good, `{`, 400, "M_NOT_JSON"},
		{"wrong method", "POST", "/_matrix/app/v1/transactions/1", good, `{}`, 405, "M_UNRECOGNIZED"},
		{"unknown path", "GET", "/_matrix/app/v1/nothing", good, "", 404, "M_UNRECOGNIZED"},
		{"no id", "PUT", "/_matrix/app/v1/transactions/", good, "{}", 404, "M_UNRECOGNIZED"},
		{"ping", "POST", "/_matrix/app/v1/ping", good, `{"transaction_id": "x"}`, 200, ""},
		{"ping without a token", "POST", "/_matrix/app/v1/ping", "", `{}`, 401, "M_MISSING_TOKEN"},
		{"a user that can be written to", "GET", "/_matrix/app/v1/users/%40_parley_sip_alice_example.com%3Ahs.org", good, "", 200, ""},
		{"a user that can't", "GET", "/_matrix/app/v1/users/%40_parley_sip_nobody_example.com%3Ahs.org", good, "", 404, "M_NOT_FOUND"},
		{"a user that stands for nobody", "GET", "/users/@_parley_zzz:hs.org", good, "", 404, "M_NOT_FOUND"},
		{"a room that a route names", "GET", "/_matrix/app/v1/rooms/%23_parley_ops%3Ahs.org", good, "", 200, ""},
		{"a room that none names", "GET", "/_matrix/app/v1/rooms/%23_parley_attic%3Ahs.org", good, "", 404, "M_NOT_FOUND"},
		{"a room of others", "GET", "/_matrix/app/v1/rooms/%23ops%3Ahs.org", good, "", 404, "M_NOT_FOUND"},
	} {
		status, code := ask(t, b, tc.method, tc.path, tc.auth, strings.NewReader(tc.body))
		if status != tc.status || code != tc.code {
			t.Errorf("%s: %d %s; want %d %s", tc.name, status, code, tc.status, tc.code)
		}
	}
	if hs.Users() != 2 || hs.Resolve("#_parley_ops:hs.org") == "" {
		t.Errorf("%d users; the room is %q", hs.Users(), hs.Resolve("#_parley_ops:hs.org"))
	}
}

func TestATransactionThatIsTooLargeIsRefused(t *testing.T) {
	b := start(t, newHomeserver(t), sdktest.NewBackend())
	status, code := ask(t, b, "PUT", "/_matrix/app/v1/transactions/1", "Bearer hs-secret", io.LimitReader(spaces{}, maxBody+1))
	if status != http.StatusRequestEntityTooLarge || code != "M_TOO_LARGE" {
		t.Errorf("%d %s", status, code)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func ask(t *testing.T, b *bridge, method, path, auth string, body io.Reader) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, b.door.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		q.Header.Set("Authorization", auth)
	}
	res, err := b.door.Client().Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Code string `json:"errcode"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Errorf("%s %s: no JSON: %v", method, path, err)
	}
	return res.StatusCode, answer.Code
}

func TestTheHomeserverIsWatched(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	hs.Revoke()
	for _, id := range []string{"d1", "d2", "d3"} {
		if _, err := b.Deliver(t.Context(), to("matrix:u/bob:hs.org", "direct", id, "text")); err == nil {
			t.Error("delivered with a token that was revoked")
		}
	}
	b.host.log.await(t, "refuses the token")
	hs.Restore()
	b.deliver(to("matrix:u/bob:hs.org", "direct", "d1", "text"))
	b.host.log.awaitCount(t, "homeserver reached", 2)
	if n := b.host.log.count("refuses the token"); n != 1 {
		t.Errorf("the log says %d times that the token is refused", n)
	}
}

func TestAHomeserverThatKnowsTheBridgeByAnotherNameIsSaid(t *testing.T) {
	hs := newHomeserver(t)
	other := matrixtest.New(t, matrixtest.Options{Domain: "other.org"})
	hs.URL = other.URL
	b := open(t, hs, sdktest.NewBackend())
	b.host.log.await(t, "are domain and registration right?")
}

func FuzzTransaction(f *testing.F) {
	for _, s := range []string{
		`{"events":[{"type":"m.room.message","room_id":"!a:b","event_id":"$1","sender":"@c:d","content":{"msgtype":"m.text","body":"x","m.relates_to":{"rel_type":"m.thread","event_id":"$2"}}}]}`,
		`{"events":[null,7,"x",[],{}],"ephemeral":[{"type":"m.typing","room_id":"!a:b","content":{"user_ids":["@c:d"]}}]}`,
		`{"events":[{"type":"m.room.member","room_id":"!a:b","state_key":"@_parley_sip_x_y:hs.org","content":{"membership":"invite"}}]}`,
		`{"de.sorunome.msc2409.ephemeral":[{"type":"m.receipt","room_id":"!a","content":{"$1":{"m.read":{"@c:d":{"ts":1}}}}}]}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tx, err := readTransaction(data)
		if err != nil {
			return
		}
		for _, h := range append(tx.events, tx.ephemeral...) {
			if h.Type == "" || h.Room == "" {
				t.Fatalf("an event without type or room: %+v", h)
			}
			m, ok := readMessage(h.Content)
			if ok && bytes.ContainsRune([]byte(m.words(h.Type, "Bob")), 0) {
				t.Fatal("a NUL is bridged")
			}
		}
	})
}

func TestAHomeserverThatCanNotReachTheBridgeIsSaidOnce(t *testing.T) {
	hs := newHomeserver(t)
	b := start(t, hs, sdktest.NewBackend())
	b.host.log.await(t, "homeserver reaches the bridge")
	hs.Connect("http://127.0.0.1:1", nil) // nobody listens there
	hs.Revoke()
	b.watch.look()
	b.host.log.await(t, "refuses the token")
	hs.Restore()
	b.host.log.await(t, "homeserver can't reach the bridge")
	hs.Connect(b.door.URL, nil)
	b.host.log.awaitCount(t, "homeserver reaches the bridge", 2)
	if n := b.host.log.count("homeserver can't reach the bridge"); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
}
