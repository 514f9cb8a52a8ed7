package httpd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// bodyOf is a file's body that tells when it was closed.
type bodyOf struct {
	io.Reader
	closed *bool
}

func (b bodyOf) Close() error { *b.closed = true; return nil }

func TestFilesAreServedToBeSaved(t *testing.T) {
	closed := false
	d := New(Config{Listen: "127.0.0.1:0", Password: "secret"})
	d.Files(func(_ context.Context, token, part string) (File, error) {
		switch token + " " + part {
		case "t 0.1":
			return File{Name: "Plan \"B\" für.html", MediaType: "text/html", Size: 5, Body: bodyOf{strings.NewReader("<b>x>"), &closed}}, nil
		case "old 0":
			return File{}, ErrFileGone
		case "bad 0":
			return File{}, ErrFileRefused
		case "off 0":
			return File{}, errors.New("no disk")
		}
		return File{}, ErrNoFile
	})
	get := func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(method, path, nil)) // nobody gives the password
		return w.Result()
	}
	r := get("GET", "/f/t/0.1/anything%2Felse.png")
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != 200 || string(body) != "<b>x>" || !closed {
		t.Errorf("%d %q, closed: %v", r.StatusCode, body, closed)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html", "Content-Length": "5", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Disposition":     "attachment; filename*=utf-8''Plan%20%22B%22%20f%C3%BCr.html",
		"Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'", "Cache-Control": "no-store",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	closed = false
	if r := get("HEAD", "/f/t/0.1/x"); r.StatusCode != 200 || r.ContentLength != 5 || !closed {
		t.Errorf("HEAD: %d, %d bytes, closed: %v", r.StatusCode, r.ContentLength, closed)
	}
	for path, want := range map[string]int{
		"/f/x/0/a": 404, "/f/old/0/a": 410, "/f/bad/0/a": 403, "/f/off/0/a": 503, "/f/t": 404, "/f/": 404, "/f/t/0.1/../../../metrics": 307, "/metrics": 401,
	} {
		if r := get("GET", path); r.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, want)
		}
	}
	if r := get("POST", "/f/t/0.1/x"); r.StatusCode != 405 {
		t.Errorf("POST: %d", r.StatusCode)
	}
}
