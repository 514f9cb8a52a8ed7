package httpd

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestWithoutAPasswordOnlyLoopbackMayComeIn(t *testing.T) {
	for _, tc := range []struct {
		name     string
		listener bool // loopback
		peer     string
		host     string
		want     int
	}{
		{"by address", true, "127.0.0.1:40000", "127.0.0.1:8025", 0},
		{"by name", true, "127.0.0.1:40000", "localhost:8025", 0},
		{"by name in capitals and without a port", true, "127.0.0.1:40000", "LOCALHOST", 0},
		{"by IPv6", true, "[::1]:40000", "[::1]:8025", 0},
		{"by IPv6 without a port", true, "[::1]:40000", "[::1]", 0},
		{"by IPv4 in IPv6", true, "[::ffff:127.0.0.1]:40000", "127.8.9.1", 0},
		{"a rebound name", true, "127.0.0.1:40000", "evil.example:8025", 403},
		{"a name that begins like ours", true, "127.0.0.1:40000", "localhost.evil.example", 403},
		{"a name that begins like our address", true, "127.0.0.1:40000", "127.0.0.1.evil.example", 403},
		{"a number that is no address", true, "127.0.0.1:40000", "2130706433", 403},
		{"the unspecified address", true, "127.0.0.1:40000", "0.0.0.0:8025", 403},
		{"a zone", true, "[::1]:40000", "[::1%25eth0]:8025", 403},
		{"no Host", true, "127.0.0.1:40000", "", 403},
		{"another machine", true, "192.0.2.7:40000", "127.0.0.1:8025", 403},
		{"a listener for everybody", false, "127.0.0.1:40000", "127.0.0.1:8025", 403},
	} {
		g := newGuard("")
		g.local = tc.listener
		got := g.check(&http.Request{RemoteAddr: tc.peer, Host: tc.host})
		if got.code != tc.want {
			t.Errorf("%s: got %d (%s), want %d", tc.name, got.code, got.text, tc.want)
		}
	}
}

func TestARebindingHostIsRefusedEverywhereInClearWords(t *testing.T) {
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Handle("/metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") }))
	address, _ := open(t, d)
	for _, path := range []string{"/", "/metrics", "/readyz", "/c/web/"} {
		res := raw(t, address, "GET "+path+" HTTP/1.1\nHost: evil.example\nConnection: close\n\n")
		expect(t, path, res.StatusCode, http.StatusForbidden)
		if body := text(t, res); !strings.Contains(body, "http.password") {
			t.Errorf("%s: the refusal does not say what to do: %q", path, body)
		}
	}
	expect(t, "absolute form", raw(t, address, "GET http://evil.example/metrics HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n").StatusCode, http.StatusForbidden)
}

func TestAPublicPathIsTheConnectorsToGuard(t *testing.T) {
	c := newConnectors()
	for _, name := range []string{"chat", "web"} {
		c.set(name, serveUnix(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Header.Get("Authorization"))
		})))
	}
	d := New(Config{Listen: "127.0.0.1:0", Password: "open sesame"})
	d.Connectors(c.find)
	d.Public(func(name string) []string {
		if name == "chat" {
			return []string{"/events", "/_chat/app/"}
		}
		return nil
	})
	address, _ := open(t, d)
	for path, want := range map[string]int{
		"/c/chat/events": 200, "/c/chat/events/x": 200, "/c/chat/_chat/app/v1/x": 200, "/c/chat/_chat%2Fapp/x": 200,
		"/c/chat/": 401, "/c/chat": 401, "/c/chat/eventsx": 401, "/c/chat/_chat/apple": 401, "/c/web/events": 401,
		"/c/chat/events/../admin": 401, "/c/chat/events%2f..%2fadmin": 401, "/c/chat//events": 401, "/events": 401,
	} {
		res := raw(t, address, "GET "+path+" HTTP/1.1\nHost: bridge.example\nConnection: close\nAuthorization: Bearer t0ken\n\n")
		expect(t, path, res.StatusCode, want)
		if body := text(t, res); want == 200 && body != "Bearer t0ken" {
			t.Errorf("%s: the connector was shown %q", path, body)
		}
	}
}

func TestAPasswordIsAskedForEverywhereButHealthz(t *testing.T) {
	c := newConnectors()
	c.set("web", serveUnix(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "authorization=%q", r.Header.Get("Authorization"))
	})))
	d := New(Config{Listen: "127.0.0.1:0", Password: "open sesame"})
	d.Connectors(c.find)
	d.Handle("/metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	address, _ := open(t, d)
	ask := func(path, credentials string) *http.Response {
		h := ""
		if credentials != "" {
			h = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\n"
		}
		return raw(t, address, "GET "+path+" HTTP/1.1\nHost: bridge.example\nConnection: close\n"+h+"\n")
	}
	expect(t, "/healthz", ask("/healthz", "").StatusCode, 200)
	for _, path := range []string{"/", "/readyz", "/metrics", "/c/web/", "/c/nobody/"} {
		res := ask(path, "")
		expect(t, path+" without", res.StatusCode, 401)
		expect(t, path+" challenge", strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic "), true)
	}
	expect(t, "wrong", ask("/metrics", "ann:open").StatusCode, 401)
	expect(t, "right", ask("/metrics", "ann:open sesame").StatusCode, 200)
	expect(t, "the password stays at the door", text(t, ask("/c/web/", ":open sesame")), `authorization=""`)

	last := 0
	for range tries {
		last = ask("/metrics", "ann:guess").StatusCode
	}
	expect(t, "too many guesses", last, 429)
	res := ask("/metrics", "ann:open sesame")
	expect(t, "even the right one has to wait then", res.StatusCode, 429)
	expect(t, "and is told so", res.Header.Get("Retry-After") != "", true)
	expect(t, "/healthz while throttled", ask("/healthz", "").StatusCode, 200)
}

func TestThrottle(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	th := newThrottle(func() time.Time { return now })
	peer := peerOf("192.0.2.1:5")
	wrong, right := func() bool { return false }, func() bool { return true }
	for i := range tries {
		if wait, _ := th.try(peer, wrong); wait != 0 {
			t.Fatalf("try %d has to wait %s", i, wait)
		}
	}
	wait, ok := th.try(peer, right)
	expect(t, "wait", wait, tryEvery)
	expect(t, "not even asked", ok, false)
	_, ok = th.try(peerOf("192.0.2.2:5"), right)
	expect(t, "another peer", ok, true)
	now = now.Add(tryEvery)
	_, ok = th.try(peer, right)
	expect(t, "after the wait", ok, true)

	expect(t, "one IPv6 user", peerOf("[2001:db8::1]:5"), peerOf("[2001:db8::2]:6"))
	expect(t, "two IPv6 users", peerOf("[2001:db8:0:1::1]:5") == peerOf("[2001:db8:0:2::1]:5"), false)
	for i := range 3 * maxPeers {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		th.try(netip.PrefixFrom(a, 32), wrong)
	}
	if n := len(th.peers); n > maxPeers {
		t.Errorf("%d peers are remembered, at most %d should be", n, maxPeers)
	}
}

func TestHealth(t *testing.T) {
	var sick error
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Health(func(context.Context) error { return sick }, func(context.Context) error { return sick })
	address, _ := open(t, d)
	expect(t, "ready", text(t, get(t, address, "/readyz")), `{"status":"ok"}`+"\n")
	sick = joined("bus: no space", "web: restarting")
	res := get(t, address, "/readyz")
	expect(t, "code", res.StatusCode, 503)
	expect(t, "reasons", text(t, res), `{"status":"failing","reasons":["bus: no space","web: restarting"]}`+"\n")
	stranger := raw(t, address, "GET /healthz HTTP/1.1\nHost: evil.example\nConnection: close\n\n")
	expect(t, "a stranger's code", stranger.StatusCode, 503)
	expect(t, "a stranger learns no reasons", text(t, stranger), `{"status":"failing"}`+"\n")
}
