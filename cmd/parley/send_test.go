package main

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// answerer is a UDP server that answers every request with status, or not at
// all when status is empty. It returns its address and the first request.
func answerer(t *testing.T, status string) (address string, first <-chan string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 65535); ; {
			n, peer, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			select {
			case got <- string(buf[:n]):
			default:
			}
			if status != "" {
				_, _ = conn.WriteTo([]byte(answer(string(buf[:n]), status)), peer)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String(), got
}

// answer repeats the headers that RFC 3261, section 8.2.6.2, wants back.
func answer(request, status string) string {
	lines := []string{"SIP/2.0 " + status}
	for _, l := range strings.Split(request, "\r\n") {
		if regexp.MustCompile(`^(Via|From|Call-ID|CSeq):`).MatchString(l) {
			lines = append(lines, l)
		}
		if strings.HasPrefix(l, "To:") {
			lines = append(lines, l+";tag=t")
		}
	}
	return strings.Join(lines, "\r\n") + "\r\nContent-Length: 0\r\n\r\n"
}

func TestSendExitsByTheFinalAnswer(t *testing.T) {
	t.Setenv("PARLEY_PASSWORD", "")
	for _, tc := range []struct {
		status string
		code   int
		out    string
		errs   string
	}{
		{"202 Accepted", exitOK, "202 Accepted\n", ""},
		{"200 OK", exitOK, "200 OK\n", ""},
		{"404 No route takes this", exitFailed, "404 No route takes this\n", ""},
		{"401 Unauthorized", exitFailed, "401 Unauthorized\n", "parley: the server wants a password"},
		{"503 Service Unavailable", exitFailed, "503 Service Unavailable\n", ""},
		{"603 \x1b[2JNo", exitFailed, `603 "\x1b[2JNo"` + "\n", ""},
	} {
		server, got := answerer(t, tc.status)
		code, out, errs := command(t, "good\nmorning", "send", "--from", "sip:alice@127.0.0.1", "--server", server,
			"--content-type", "text/markdown", "--config", "none.toml", "sip:lobby@127.0.0.1")
		if code != tc.code || out != tc.out || !strings.HasPrefix(errs, tc.errs) || tc.errs == "" && errs != "" {
			t.Errorf("%q: got code %d, stdout %q, stderr %q; want %d, %q, %q", tc.status, code, out, errs, tc.code, tc.out, tc.errs)
		}
		request := <-got
		for _, want := range []string{"MESSAGE sip:lobby@127.0.0.1 SIP/2.0\r\n", "\r\nContent-Type: text/markdown\r\n", "\r\n\r\ngood\nmorning"} {
			if !strings.Contains(request, want) {
				t.Errorf("%q: the request has no %q:\n%s", tc.status, want, request)
			}
		}
	}
}

func TestSendWithoutAnAnswerExitsWithThree(t *testing.T) {
	silent, got := answerer(t, "")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tc := range []struct{ name, transport, server, timeout string }{
		{"silence", "udp", silent, "50ms"},
		{"nobody listens", "tcp", closed.Addr().String(), "5s"},
	} {
		begun := time.Now()
		code, out, errs := command(t, "", "send", "--from", "sip:alice@127.0.0.1", "--password", "x", "--timeout", tc.timeout,
			"--transport", tc.transport, "--server", tc.server, "sip:lobby@127.0.0.1", "hello")
		if code != exitUnreachable || out != "" || !strings.HasPrefix(errs, "parley: no answer from "+tc.server) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: got code %d, stdout %q, stderr %q", tc.name, code, out, errs)
		}
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("%s: it took %s", tc.name, took)
		}
	}
	<-got
}
