package httpd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func joined(texts ...string) error {
	var all []error
	for _, t := range texts {
		all = append(all, errors.New(t))
	}
	return errors.Join(all...)
}

// seen is what a connector sees of a request.
type seen struct {
	Path, Query, Host string
	Header            http.Header
}

var mirror = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(seen{r.URL.EscapedPath(), r.URL.RawQuery, r.Host, r.Header})
})

func TestForwardingHeadersAreTheDoorsOwn(t *testing.T) {
	address := openWith(t, mirror)
	res := raw(t, address, "GET /c/web/a%2Fb/c?x=1&y=%20 HTTP/1.1\nHost: localhost:99\nOrigin: http://localhost:99\n"+
		"Forwarded: for=192.0.2.1;host=evil\nX-Forwarded-For: 192.0.2.1\nx-forwarded-for: 192.0.2.2\n"+
		"X-Forwarded-Host: evil\nX-Forwarded-Proto: https\nX-Forwarded-Prefix: /c/other\nX-Forwarded-Port: 443\nX-Forwarded-Server: evil\nX-Real-Ip: 192.0.2.1\n"+
		"Connection: close, X-Forwarded-For, X-Forwarded-Prefix, Origin\nX-Kept: yes\n\n")
	var s seen
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	expect(t, "path", s.Path, "/a%2Fb/c")
	expect(t, "query", s.Query, "x=1&y=%20")
	expect(t, "Host", s.Host, "localhost:99")
	for name, want := range map[string]string{
		"Forwarded": "", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost:99",
		"X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/c/web", "X-Forwarded-Port": "",
		"X-Forwarded-Server": "", "X-Real-Ip": "", "X-Kept": "yes",
	} {
		expect(t, name, strings.Join(s.Header[name], "|"), want)
	}
	res = raw(t, address, "POST /c/web/ HTTP/1.1\nHost: localhost\nOrigin: https://evil.example\nAuthorization: Bearer abc\nConnection: close\nContent-Length: 0\n\n")
	s = seen{}
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	expect(t, "Origin", s.Header.Get("Origin"), "https://evil.example")
	expect(t, "a connector's own Authorization", s.Header.Get("Authorization"), "Bearer abc")
}

func TestPathsThatTwoReadersReadDifferentlyAreRefused(t *testing.T) {
	address := openWith(t, mirror)
	for path, want := range map[string]int{
		"/c/web/":                     200,
		"/c/web//x":                   200,
		"/c/web":                      308,
		"/c/web/../../metrics":        400,
		"/c/web/%2e%2e/x":             400,
		"/c/web/a/%2e":                400,
		"/c/web/..%2fx":               400,
		"/c/web/..%5cx":               400,
		"/c/web/%00":                  400,
		"/c/web/a%0d%0aX-Evil:%20yes": 400,
		"/c/nobody/":                  404,
		"/c/":                         404,
		"/c//x":                       404,
		"/c/WEB/":                     404,
		"/c/../c/web/":                404,
		"/c/web%2f/":                  404,
		"/nowhere":                    404,
	} {
		expect(t, path, get(t, address, path).StatusCode, want)
	}
	expect(t, "Location", get(t, address, "/c/web?a=b").Header.Get("Location"), "/c/web/?a=b")
}

func TestOneConnectorIsTheFrontPageAndMoreAreListed(t *testing.T) {
	pages := []string{"web"}
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Pages(func() []string { return pages })
	address, _ := open(t, d)
	res := get(t, address, "/")
	expect(t, "one", fmt.Sprint(res.StatusCode, res.Header.Get("Location")), "302/c/web/")
	pages = []string{"web", "slack"}
	res = get(t, address, "/")
	body := text(t, res)
	expect(t, "two", strings.Contains(body, `href="/c/web/"`) && strings.Contains(body, `href="/c/slack/"`), true)
	expect(t, "CSP", strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'"), true)
}

func TestARequestWaitsForARestartingConnector(t *testing.T) {
	c := newConnectors()
	c.set("web", "")
	asked := make(chan struct{}, 100)
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Connectors(func(name string) (string, bool, <-chan struct{}) {
		defer func() { asked <- struct{}{} }()
		return c.find(name)
	})
	address, _ := open(t, d)
	answer := make(chan string)
	go func() {
		res, err := http.Post("http://"+address+"/c/web/say", "text/plain", strings.NewReader("hello"))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-asked // is it known?
	<-asked // where is it? nowhere yet
	dead := serveUnix(t, nil)
	os.Remove(dead)
	c.set("web", dead) // its socket is gone already
	<-asked
	c.set("web", serveUnix(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "taken: %s", b)
	})))
	expect(t, "answer", <-answer, "taken: hello")
}

func TestAConnectorThatStaysAwayIs503WithRetryAfter(t *testing.T) {
	c := newConnectors()
	c.set("web", "")
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Connectors(c.find)
	expect(t, "the wait", d.wait, 5*time.Second)
	d.wait = 20 * time.Millisecond
	address, _ := open(t, d)
	res := get(t, address, "/c/web/")
	expect(t, "code", res.StatusCode, 503)
	expect(t, "Retry-After", res.Header.Get("Retry-After"), "5")
}

func TestAConnectorThatDiesBeforeItsAnswerIs503(t *testing.T) {
	address := openWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	res := get(t, address, "/c/web/")
	expect(t, "code", res.StatusCode, 503)
	expect(t, "Retry-After", res.Header.Get("Retry-After"), "5")
}

func TestEventsAreFlushedAtOnceAndEndWithTheDoor(t *testing.T) {
	more := make(chan string)
	gone := make(chan struct{})
	c := newConnectors()
	c.set("web", serveUnix(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case m := <-more:
				fmt.Fprintf(w, "data: %s\n\n", m)
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})))
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Connectors(c.find)
	address, stop := open(t, d)
	go func() { more <- "one" }()
	res := get(t, address, "/c/web/events")
	lines := bufio.NewScanner(res.Body)
	next := func() string {
		for lines.Scan() {
			if lines.Text() != "" {
				return lines.Text()
			}
		}
		return "end"
	}
	expect(t, "first", next(), "data: one")
	more <- "two"
	expect(t, "second", next(), "data: two")
	begun := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the door took %s to stop", took)
	}
	expect(t, "the stream", next(), "end")
	<-gone
}

func TestWebSocketUpgradesPassAndEndWithTheDoor(t *testing.T) {
	c := newConnectors()
	c.set("web", serveUnix(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		rw.Flush()
		io.Copy(conn, rw)
	})))
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Connectors(c.find)
	address, stop := open(t, d)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /c/web/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "code", res.StatusCode, 101)
	fmt.Fprint(conn, "ping")
	echo := make([]byte, 4)
	if _, err := io.ReadFull(in, echo); err != nil {
		t.Fatal(err)
	}
	expect(t, "echo", string(echo), "ping")
	begun := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the door took %s to stop", took)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the upgraded connection is still open")
	}
}

func TestCookiesStayWithTheirConnector(t *testing.T) {
	address := openWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "good=1; Path=/c/web/; HttpOnly; SameSite=Strict")
		w.Header().Add("Set-Cookie", "wide=1; Path=/; Domain=example.com; HttpOnly")
		w.Header().Add("Set-Cookie", "none=1")
	}))
	got := strings.Join(get(t, address, "/c/web/").Header["Set-Cookie"], "\n")
	expect(t, "cookies", got, "good=1; Path=/c/web/; HttpOnly; SameSite=Strict\nwide=1; Path=/c/web/; HttpOnly\nnone=1; Path=/c/web/")
}

func TestSecurityHeadersHaveDefaultsThatAConnectorReplaces(t *testing.T) {
	address := openWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Referrer-Policy", "same-origin")
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	}))
	h := get(t, address, "/c/web/").Header
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN",
		"Referrer-Policy": "same-origin", "Content-Security-Policy": "default-src 'self'", "Cache-Control": "",
	} {
		expect(t, name, strings.Join(h[name], "|"), want)
	}
}

func TestATooLargeBodyIs413(t *testing.T) {
	address := openWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "POST /c/web/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", maxBody+1)
	go io.Copy(conn, io.LimitReader(zeros{}, maxBody+1))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "code", res.StatusCode, 413)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestMoreConnectionsThanTheLimitAreClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	two := limit(l, 2)
	defer two.Close()
	accepted := make(chan net.Conn, 3)
	go func() {
		for {
			c, err := two.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	defer (<-accepted).Close()
	if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("the third connection: got %v, want it closed", err)
	}
	first.Close()
	first.Close()
	dial()
	(<-accepted).Close()
}

func isReset(err error) bool {
	return err != nil && strings.Contains(err.Error(), "reset")
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/c/web/", "/c/web", "/c/web/%2e%2e/x", "/c//", "/c/web/a%2fb?x", "/c/web/\\..\\x", "/x", "/c/%77eb/", "/c/web/%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, rest, ok := splitPath(s)
		if !ok {
			return
		}
		if got := connectorRoot + name + rest; got != s {
			t.Errorf("%q falls apart into %q", s, got)
		}
		if isName(name) && url.PathEscape(name) != name {
			t.Errorf("%q is no plain name", name)
		}
		decoded, ok := cleanPath(rest)
		if !ok {
			return
		}
		// Whatever passes is no other path to a reader that cleans it.
		for _, again := range []string{decoded, strings.ReplaceAll(decoded, `\`, "/")} {
			if strings.Contains("/"+again+"/", "/../") || strings.Contains("/"+again+"/", "/./") || strings.ContainsAny(again, "\r\n\x00") {
				t.Errorf("%q passes as %q", s, again)
			}
		}
	})
}

// A connector that does not read what it refuses closes the connection while
// the door still writes.
func TestAnAnswerBeforeTheBodyWasReadIsTheAnswer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 100))
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig!")
			_ = conn.(*net.UnixConn).CloseWrite()
			_, _ = conn.Read(make([]byte, 100))
			conn.Close()
		}
	}()
	c := newConnectors()
	c.set("web", socket)
	d := New(Config{Listen: "127.0.0.1:0"})
	d.Connectors(c.find)
	address, _ := open(t, d)
	for range 20 {
		res, err := http.Post("http://"+address+"/c/web/x", "text/plain", strings.NewReader(strings.Repeat("x", 4<<20)))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "the answer", res.StatusCode, http.StatusRequestEntityTooLarge)
		if body := text(t, res); body != "big!" {
			t.Errorf("the answer is %q", body)
		}
		res.Body.Close()
	}
}
