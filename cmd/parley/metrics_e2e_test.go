package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// metrics returns the host's figures.
func (b *bridge) metrics(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at(b.web)+"/metrics", nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return string(text), err
}

// What SIP's sockets refuse is counted, and the connections that are there.
func TestWhatSocketsRefuseIsInTheMetrics(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	open, err := net.Dial("tcp", at(b.sip))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	junk, err := net.Dial("tcp", at(b.sip))
	if err != nil {
		t.Fatal(err)
	}
	defer junk.Close()
	if _, err := junk.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, junk); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err) // it ends when the host closes it
	}
	want := []string{"parley_sip_connections 1\n", "parley_sip_refused_total{reason=\"malformed\"} 1\n", "parley_sip_refused_total{reason=\"too_many\"} 0\n"}
	var text string
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		text, err = b.metrics(t.Context())
		if err == nil && !slices.ContainsFunc(want, func(line string) bool { return !strings.Contains(text, line) }) {
			return
		}
	}
	t.Errorf("the metrics do not say %q: %v\n%s", want, err, text)
}
