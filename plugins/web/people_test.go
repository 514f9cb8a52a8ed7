package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNameBelongsToSession(t *testing.T) {
	s := newState()
	c := start(t, s, "")
	eve := c.join("Eve")
	thief := c.browser()
	if code, _ := thief.post("/api/join", map[string]string{"name": "eve"}); code != http.StatusConflict {
		t.Errorf("a second eve: %d", code)
	}
	thief.cookie = &http.Cookie{Name: cookieName, Value: strings.Repeat("A", 43)}
	if code, _ := thief.get("/api/state"); code != http.StatusUnauthorized {
		t.Errorf("a made-up token: %d", code)
	}
	for _, key := range s.keys("") {
		if e, _ := s.Get(t.Context(), key); strings.Contains(key+string(e.Value), eve.cookie.Value) {
			t.Errorf("State has the token itself at %s", key)
		}
	}
	if code, _ := eve.post("/api/join", map[string]string{"name": "adam"}); code != http.StatusConflict {
		t.Errorf("eve becomes adam without leaving: %d", code)
	}
	c.Close(t.Context())
	eve.chat = start(t, s, "")
	if code, body := eve.get("/api/session"); code != http.StatusOK || parse[sessionAnswer](t, body).Name != "eve" {
		t.Errorf("after a restart: %d %s", code, body)
	}
}

func TestCookieIsBoundToTheConnector(t *testing.T) {
	eve := start(t, newState(), "").join("eve")
	c := eve.cookie
	if c.Path != "/c/web/" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure {
		t.Errorf("cookie %+v", c)
	}
	q := eve.request("GET", "/api/state", nil)
	q.Header.Set("X-Forwarded-Proto", "https")
	q.Header.Set("X-Forwarded-Prefix", "/c/chat/;evil=1")
	eve.do(q)
	if c := eve.cookie; !c.Secure || c.Path != "/" {
		t.Errorf("cookie %+v", c)
	}
}

func TestLeaverTakesTheirConversationsAlong(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	c.deliver(from(alice, "web:u/eve", "d1", "secret"))
	dm := outsideConv("eve", alice)
	old := *eve
	if code, _ := eve.post("/api/leave", struct{}{}); code != http.StatusOK {
		t.Fatalf("leave: %d", code)
	}
	if code, _ := old.get("/api/state"); code != http.StatusUnauthorized {
		t.Errorf("the old session still works: %d", code)
	}
	next := c.join("eve")
	if v, ok := next.conv(dm); ok {
		t.Errorf("the next eve sees %q", texts(v.Messages))
	}
	_, body := next.get("/api/history?conv=" + dm + "&before=9000000000000000")
	if strings.Contains(body, "secret") {
		t.Errorf("the next eve reads %s", body)
	}
	page := next.listen("0", "")
	for e := range page.events {
		if strings.Contains(e.data, "secret") {
			t.Errorf("the next eve is shown %s", e.data)
		}
		if e.kind == "ready" {
			break
		}
	}
	c.deliver(from(alice, "web:u/eve", "d2", "hi"))
	if v, _ := next.conv(dm); !slices.Equal(texts(v.Messages), []string{"hi"}) {
		t.Errorf("the next eve sees %q", texts(v.Messages))
	}
}

func TestUnusedNameBecomesFree(t *testing.T) {
	s := newState()
	c := start(t, s, "")
	c.join("eve")
	e, _ := s.Get(t.Context(), holderKey("eve"))
	var h holder
	if err := json.Unmarshal(e.Value, &h); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		unused time.Duration
		code   int
	}{{29 * 24 * time.Hour, http.StatusConflict}, {31 * 24 * time.Hour, http.StatusOK}} {
		h.Seen = time.Now().Add(-tc.unused).UnixMilli()
		e, _ := s.Get(t.Context(), holderKey("eve"))
		if _, err := s.Put(t.Context(), e.Key, marshal(h), e.Revision); err != nil {
			t.Fatal(err)
		}
		if code, _ := c.browser().post("/api/join", map[string]string{"name": "eve"}); code != tc.code {
			t.Errorf("unused for %v: %d, want %d", tc.unused, code, tc.code)
		}
	}
}

func TestPassword(t *testing.T) {
	s := newState()
	c := start(t, s, `{"password": "sesame"}`)
	far := c.browser()
	far.from = "192.0.2.7"
	if code, _ := far.get("/api/state"); code != http.StatusUnauthorized {
		t.Errorf("without a session: %d", code)
	}
	join := func(password string) int {
		code, _ := far.post("/api/join", map[string]string{"name": "eve", "password": password})
		return code
	}
	if code := join(""); code != http.StatusForbidden {
		t.Errorf("no password: %d", code)
	}
	if code := join("sesame"); code != http.StatusOK {
		t.Errorf("the password: %d", code)
	}
	for range 20 {
		join("guess")
	}
	if code := join("sesame"); code != http.StatusTooManyRequests {
		t.Errorf("after many guesses: %d", code)
	}
	if code, _ := far.get("/api/state"); code != http.StatusOK {
		t.Errorf("the session: %d", code)
	}
	c.Close(t.Context())
	far.chat = start(t, s, `{"password": "other"}`)
	if code, _ := far.get("/api/state"); code != http.StatusUnauthorized {
		t.Errorf("the session after the password changed: %d", code)
	}
	if code := join("other"); code != http.StatusOK {
		t.Errorf("the same browser with the new password: %d", code)
	}
}

func TestSweepKeepsWhatIsInUse(t *testing.T) {
	s := newState()
	c := start(t, s, "")
	eve := c.join("eve")
	c.Close(t.Context())
	long := time.Now().Add(-60 * 24 * time.Hour)
	put := func(key string, v any) {
		e, _ := s.Get(t.Context(), key)
		if _, err := s.Put(t.Context(), key, marshal(v), e.Revision); err != nil {
			t.Fatal(err)
		}
	}
	put(sessionKey(eve.cookie.Value), session{Name: "eve", Door: seal(eve.cookie.Value, "door "), Made: long.UnixMilli()})
	put(sessionKey("old"), session{Name: "eve", Made: long.UnixMilli()})
	put(claimKey("old"), claim{Conv: "r:lobby", Seq: long.UnixMicro()})
	put(claimKey("new"), claim{Conv: "r:lobby", Seq: time.Now().UnixMicro()})
	if err := c.people.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.store.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.keys("s/"); !slices.Equal(got, []string{sessionKey(eve.cookie.Value)}) {
		t.Errorf("sessions left: %q", got)
	}
	if got := s.keys("id/"); !slices.Equal(got, []string{claimKey("new")}) {
		t.Errorf("claims left: %q", got)
	}
}
