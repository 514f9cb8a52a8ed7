package matrixtest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// call makes a request of the client API and returns the status and errcode.
func call(t *testing.T, s *Server, method, path, token, body string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/_matrix/client/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(q)
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

func TestItRefusesWhatTheSpecificationRefuses(t *testing.T) {
	s := New(t, Options{})
	bob := s.Human("bob", "Bob")
	room := strings.ReplaceAll(bob.Create(Room{Alias: "open", Public: true}), "!", "%21")
	closed := strings.ReplaceAll(bob.Create(Room{}), "!", "%21")
	const good, ghost = "as-secret", "%40_parley_x%3Ahs.org"
	as := "?user_id=" + ghost
	for _, tc := range []struct {
		name, method, path, token, body string
		status                          int
		code                            string
	}{
		{"no token", "GET", "v3/account/whoami", "", "", 401, "M_MISSING_TOKEN"},
		{"another token", "GET", "v3/account/whoami", "wrong", "", 401, "M_UNKNOWN_TOKEN"},
		{"the bot", "GET", "v3/account/whoami", good, "", 200, ""},
		{"somebody else's user", "GET", "v3/account/whoami?user_id=%40bob%3Ahs.org", good, "", 403, "M_FORBIDDEN"},
		{"a ghost that is not registered", "GET", "v3/account/whoami" + as, good, "", 403, "M_FORBIDDEN"},
		{"a name outside the namespace", "POST", "v3/register", good, `{"type":"m.login.application_service","username":"eve"}`, 400, "M_EXCLUSIVE"},
		{"an impossible name", "POST", "v3/register", good, `{"type":"m.login.application_service","username":"_parley_A"}`, 400, "M_INVALID_USERNAME"},
		{"a ghost", "POST", "v3/register", good, `{"type":"m.login.application_service","username":"_parley_x"}`, 200, ""},
		{"the same again", "POST", "v3/register", good, `{"type":"m.login.application_service","username":"_parley_x"}`, 400, "M_USER_IN_USE"},
		{"not JSON", "POST", "v3/createRoom" + as, good, `{`, 400, "M_NOT_JSON"},
		{"no object", "POST", "v3/createRoom" + as, good, `[]`, 400, "M_BAD_JSON"},
		{"an alias outside the namespace", "POST", "v3/createRoom" + as, good, `{"room_alias_name":"x"}`, 400, "M_EXCLUSIVE"},
		{"an alias", "POST", "v3/createRoom" + as, good, `{"room_alias_name":"_parley_r"}`, 200, ""},
		{"an alias twice", "POST", "v3/createRoom" + as, good, `{"room_alias_name":"_parley_r"}`, 400, "M_ROOM_IN_USE"},
		{"no such alias", "GET", "v3/directory/room/%23none%3Ahs.org", good, "", 404, "M_NOT_FOUND"},
		{"speaking outside", "PUT", "v3/rooms/" + room + "/send/m.room.message/1" + as, good, `{"msgtype":"m.text","body":"x"}`, 403, "M_FORBIDDEN"},
		{"a room that lets nobody in", "POST", "v3/join/" + closed + as, good, `{}`, 403, "M_FORBIDDEN"},
		{"an open room", "POST", "v3/join/%23open%3Ahs.org" + as, good, `{}`, 200, ""},
		{"a message without a body", "PUT", "v3/rooms/" + room + "/send/m.room.message/2" + as, good, `{"msgtype":"m.text"}`, 400, "M_BAD_JSON"},
		{"a message too large", "PUT", "v3/rooms/" + room + "/send/m.room.message/3" + as, good, `{"msgtype":"m.text","body":"` + strings.Repeat("x", 65000) + `"}`, 413, "M_TOO_LARGE"},
		{"a message", "PUT", "v3/rooms/" + room + "/send/m.room.message/4" + as, good, `{"msgtype":"m.text","body":"x"}`, 200, ""},
		{"a wrong method", "DELETE", "v3/account/whoami", good, "", 405, "M_UNRECOGNIZED"},
		{"an unknown endpoint", "GET", "v3/nothing", good, "", 404, "M_UNRECOGNIZED"},
	} {
		status, code := call(t, s, tc.method, tc.path, tc.token, tc.body)
		if status != tc.status || code != tc.code {
			t.Errorf("%s: %d %s; want %d %s", tc.name, status, code, tc.status, tc.code)
		}
	}
}

func TestATransactionIDIsOneEventForEachUser(t *testing.T) {
	s := New(t, Options{})
	bob := s.Human("bob", "")
	id := bob.Create(Room{Public: true})
	room := strings.ReplaceAll(id, "!", "%21")
	for _, ghost := range []string{"x", "y"} {
		as := "?user_id=%40_parley_" + ghost + "%3Ahs.org"
		call(t, s, "POST", "v3/register", "as-secret", `{"type":"m.login.application_service","username":"_parley_`+ghost+`"}`)
		call(t, s, "POST", "v3/join/"+room+as, "as-secret", `{}`)
		for range 3 {
			if status, code := call(t, s, "PUT", "v3/rooms/"+room+"/send/m.room.message/1"+as, "as-secret", `{"msgtype":"m.text","body":"x"}`); status != 200 {
				t.Fatalf("%d %s", status, code)
			}
		}
	}
	if n := len(s.Messages(id)); n != 2 {
		t.Errorf("%d messages; want one for each user", n)
	}
	s.Forget()
	call(t, s, "PUT", "v3/rooms/"+room+"/send/m.room.message/1?user_id=%40_parley_x%3Ahs.org", "as-secret", `{"msgtype":"m.text","body":"x"}`)
	if n := len(s.Messages(id)); n != 3 {
		t.Errorf("%d messages after it forgot; want 3", n)
	}
}
