package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A literal is a SIP client that sends bytes as they are.
type literal struct {
	t *testing.T
	net.Conn
}

func dialLiteral(t *testing.T, network string, port int) literal {
	t.Helper()
	c, err := net.Dial(network, at(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return literal{t, c}
}

// ask sends a request, again if it must as over UDP, and returns the answer.
func (l literal) ask(request string) string {
	l.t.Helper()
	buf := make([]byte, 4096)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := l.Write([]byte(request)); err != nil {
			l.t.Fatal(err)
		}
		_ = l.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, err := l.Read(buf); err == nil {
			return string(buf[:n])
		}
	}
	l.t.Fatal("no answer")
	return ""
}

// message is a MESSAGE of alice to the lobby.
func (l literal) message(network string, cseq int, text, authorization string) string {
	local := l.LocalAddr().String()
	return strings.Join([]string{
		"MESSAGE sip:lobby@127.0.0.1 SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %s;rport;branch=z9hG4bK-%d-%s", strings.ToUpper(network), local, cseq, network),
		"Max-Forwards: 70",
		"From: <sip:alice@127.0.0.1>;tag=literal",
		"To: <sip:lobby@127.0.0.1>",
		"Call-ID: literal-" + network,
		fmt.Sprintf("CSeq: %d MESSAGE", cseq),
		authorization + "Content-Type: text/plain",
		fmt.Sprintf("Content-Length: %d", len(text)),
		"", text}, "\r\n")
}

// authorize answers the challenge in a response, or with a nonce of its own.
func authorize(nonce string) string {
	h := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	ha1, ha2 := h("alice:127.0.0.1:"+password("alice")), h("MESSAGE:sip:lobby@127.0.0.1")
	response := h(strings.Join([]string{ha1, nonce, "00000001", "cafe", "auth", ha2}, ":"))
	return fmt.Sprintf(`Authorization: Digest username="alice", realm="127.0.0.1", nonce="%s", uri="sip:lobby@127.0.0.1", `+
		`response="%s", algorithm=MD5, cnonce="cafe", nc=00000001, qop=auth`+"\r\n", nonce, response)
}

func TestARetransmissionOverARestartIsOneMessage(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			b := newBridge(t)
			l := dialLiteral(t, network, b.sip)
			challenge := regexp.MustCompile(`nonce="([^"]+)"`).FindStringSubmatch(l.ask(l.message(network, 1, "once", "")))
			if challenge == nil {
				t.Fatal("no challenge")
			}
			signed := l.message(network, 2, "once", authorize(challenge[1]))
			for range 2 { // again while the host runs …
				if got := l.ask(signed); !strings.HasPrefix(got, "SIP/2.0 202 ") {
					t.Fatalf("answered\n%s", got)
				}
			}
			b.crash()
			b.start()
			if network == "tcp" {
				l = literal{t, dialLiteral(t, network, b.sip)}
			}
			if got := l.ask(signed); !strings.HasPrefix(got, "SIP/2.0 202 ") { // … and after a crash
				t.Errorf("the retransmission is answered\n%s", got)
			}
			// With a nonce that nobody here made, too: challenged again, the
			// client would send another message.
			forged := l.message(network, 2, "once", authorize("a-nonce-of-long-ago"))
			if got := l.ask(forged); !strings.HasPrefix(got, "SIP/2.0 202 ") {
				t.Errorf("with an old nonce it is answered\n%s", got)
			}
			if got := l.ask(l.message(network, 3, "new", authorize("a-nonce-of-long-ago"))); !strings.HasPrefix(got, "SIP/2.0 401 ") {
				t.Errorf("a new message with an old nonce is answered\n%s", got)
			}
			b.send("alice", "lobby", "last")
			ann := joinChat(t, b.web, "ann")
			ann.sees("last", nil)
			if got := ann.texts("once"); len(got) != 1 {
				t.Errorf("the room has it %d times", len(got))
			}
		})
	}
}
