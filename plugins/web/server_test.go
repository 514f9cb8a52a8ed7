package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parley.im/plugins/sdk"
)

func TestWithoutPasswordOnlyThisMachine(t *testing.T) {
	c := start(t, newState(), "")
	for _, tc := range []struct {
		name, from, host string
		code             int
	}{
		{"this machine", "127.0.0.1", "localhost:8025", 200},
		{"this machine, IPv6", "::1", "[::1]:8025", 200},
		{"another 127 address", "127.8.8.8", "127.0.0.1", 200},
		{"mapped", "::ffff:127.0.0.1", "LOCALHOST", 200},
		{"another machine", "192.0.2.7", "localhost:8025", 403},
		{"another machine that claims to be this one", "127.0.0.1, 192.0.2.7", "localhost", 403},
		{"a foreign name that leads here", "127.0.0.1", "evil.example:8025", 403},
		{"a name that begins like ours", "127.0.0.1", "localhost.evil.example", 403},
		{"not through the door", "", "localhost", 403},
	} {
		for _, path := range []string{"/", "/app.js", "/api/session", "/events?since=0"} {
			b := c.browser()
			b.from = tc.from
			q := b.request("GET", path, nil)
			q.Host = tc.host
			want := tc.code
			if want == 200 && strings.HasPrefix(path, "/events") {
				want = 401
			}
			if code, _ := b.do(q); code != want {
				t.Errorf("%s, %s: %d, want %d", tc.name, path, code, want)
			}
		}
	}
}

func TestForgedRequestsAreRefused(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	for _, tc := range []struct {
		name  string
		forge func(*http.Request)
		code  int
	}{
		{"the page's own", func(*http.Request) {}, 200},
		{"the page's own, without Origin", func(q *http.Request) {
			q.Header.Del("Origin")
			q.Header.Set("Sec-Fetch-Site", "same-origin")
		}, 200},
		{"a foreign origin", func(q *http.Request) { q.Header.Set("Origin", "http://evil.example") }, 403},
		{"another port", func(q *http.Request) { q.Header.Set("Origin", "http://localhost:1") }, 403},
		{"another scheme", func(q *http.Request) { q.Header.Set("Origin", "https://localhost:8025") }, 403},
		{"no origin", func(q *http.Request) { q.Header.Del("Origin") }, 403},
		{"origin null", func(q *http.Request) { q.Header.Set("Origin", "null") }, 403},
		{"a sister site", func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"a form", func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") }, 415},
		{"no token", func(q *http.Request) { q.Header.Del("X-Parley-Token") }, 403},
		{"a wrong token", func(q *http.Request) { q.Header.Set("X-Parley-Token", "x") }, 403},
		{"no cookie", func(q *http.Request) { q.Header.Del("Cookie") }, 401},
		{"GET", func(q *http.Request) { q.Method = "GET" }, 404},
	} {
		q := eve.request("POST", "/api/messages", postRequest{Conv: "r:lobby", Text: "x", Nonce: nonce()})
		tc.forge(q)
		if code, body := eve.do(q); code != tc.code {
			t.Errorf("%s: %d %s, want %d", tc.name, code, body, tc.code)
		}
	}
}

func TestBadPosts(t *testing.T) {
	c := start(t, newState(), "")
	eve := c.join("eve")
	for _, tc := range []struct {
		name, body string
		code       int
	}{
		{"nothing", "", 400},
		{"not JSON", "hello", 400},
		{"an unknown field", `{"conv":"r:lobby","text":"x","nonce":"12345678","html":"x"}`, 400},
		{"two values", `{"conv":"r:lobby","text":"x","nonce":"12345678"} {}`, 400},
		{"empty text", `{"conv":"r:lobby","text":" \n","nonce":"12345678"}`, 400},
		{"no nonce", `{"conv":"r:lobby","text":"x"}`, 400},
		{"too long a text", `{"conv":"r:lobby","text":"` + strings.Repeat("x", maxText+1) + `","nonce":"12345678"}`, 400},
		{"too long a body", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"no such room", `{"conv":"r:attic","text":"x","nonce":"12345678"}`, 404},
		{"a made-up conversation", `{"conv":"x:eve:../../n","text":"x","nonce":"12345678"}`, 404},
	} {
		if code, body := eve.post("/api/messages", tc.body); code != tc.code {
			t.Errorf("%s: %d %s, want %d", tc.name, code, body, tc.code)
		}
	}
}

func TestTooManyPosts(t *testing.T) {
	c := start(t, newState(), "")
	eve, bob := c.join("eve"), c.join("bob")
	code := 0
	for range 40 {
		code, _ = eve.post("/api/messages", postRequest{Conv: "r:lobby", Text: "x", Nonce: nonce()})
	}
	if code != http.StatusTooManyRequests {
		t.Errorf("after forty at once: %d", code)
	}
	bob.say("r:lobby", "not me")
}

func TestLimiterRefills(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimiter(2, 10*time.Second)
	l.now = func() time.Time { return now }
	got := []bool{l.allow("a"), l.allow("a"), l.allow("a"), l.allow("b")}
	now = now.Add(5 * time.Second)
	got = append(got, l.allow("a"), l.allow("a"))
	for i, want := range []bool{true, true, false, true, true, false} {
		if got[i] != want {
			t.Errorf("step %d: %v, want %v", i, got[i], want)
		}
	}
}

func TestStoreDownIsSaid(t *testing.T) {
	s := newState()
	c := start(t, s, "")
	eve := c.join("eve")
	s.crashAt(1, false)
	code, body := eve.post("/api/messages", postRequest{Conv: "r:lobby", Text: "x", Nonce: nonce()})
	if code != http.StatusServiceUnavailable || strings.Contains(body, errDisk.Error()) {
		t.Errorf("%d %s", code, body)
	}
	s.revive()
}

func TestPageIsSelfContained(t *testing.T) {
	c := start(t, newState(), "")
	w := httptest.NewRecorder()
	c.host.handler.ServeHTTP(w, c.browser().request("GET", "/", nil))
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		"Content-Type": "text/html; charset=utf-8",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'") ||
		strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
	files, _ := pageFiles.ReadDir("page")
	for _, f := range files {
		data, _ := pageFiles.ReadFile("page/" + f.Name())
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", "onclick=", "src=\"http", "href=\"http", "url(http"} {
			if strings.Contains(string(data), bad) {
				t.Errorf("%s has %q", f.Name(), bad)
			}
		}
		if code, body := c.browser().get("/" + f.Name()); f.Name() != "index.html" && (code != 200 || body != string(data)) {
			t.Errorf("%s: %d", f.Name(), code)
		}
	}
}

func TestSettings(t *testing.T) {
	if !json.Valid([]byte(schema)) {
		t.Error("the schema is not JSON")
	}
	for _, tc := range []struct {
		table string
		ok    bool
	}{
		{``, true},
		{`{}`, true},
		{`{"rooms": ["a", "b-2"], "title": "T", "history": 50, "sip_domain": "example.com", "password": "p"}`, true},
		{`{"rooms": []}`, false},
		{`{"rooms": ["Lobby"]}`, false},
		{`{"rooms": ["a/b"]}`, false},
		{`{"history": 1}`, false},
		{`{"sip_domain": "a b"}`, false},
		{`{"rooms": 7}`, false},
	} {
		_, err := readSettings(sdk.Settings{JSON: json.RawMessage(tc.table)})
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.table, err)
		}
	}
	set, _ := readSettings(sdk.Settings{})
	if set.Title != "Parley" || set.History != 1000 || !set.hasRoom("lobby") {
		t.Errorf("defaults: %+v", set)
	}
}
