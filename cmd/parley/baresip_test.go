package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// A baresip is a headless softphone, driven over its control port.
type baresip struct {
	*proc
	ctrl string
}

// startBaresip starts a softphone that registers user at a registrar's address,
// waits until it has, and writes to peer from then on.
func startBaresip(t *testing.T, user, password, transport string, registrar int, peer string) *baresip {
	t.Helper()
	dir, sip, ctrl := t.TempDir(), pair(t), ports(t, 1)[0]
	write(t, dir, "config", fmt.Sprintf(`poll_method epoll
sip_listen 127.0.0.1:%d
audio_player aufile,/dev/null
audio_source aufile,/dev/null
module_path /usr/lib/baresip/modules
module g711.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app contact.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:%d
`, sip, ctrl))
	write(t, dir, "accounts", fmt.Sprintf("<sip:%s@%s;transport=%s>;auth_pass=%s;outbound=\"sip:127.0.0.1:%d;transport=%[3]s\";regint=120\n",
		user, "127.0.0.1", transport, password, registrar))
	write(t, dir, "contacts", fmt.Sprintf("\"Peer\" <%s>\n", peer))
	b := &baresip{start(t, "baresip "+user, exec.Command("baresip", "-s", "-f", dir)), at(ctrl)}
	b.says(`200 OK.*binding`)
	b.do("contact_next", "")
	return b
}

// pair returns a free port above which there is another one: baresip takes that
// for TLS.
func pair(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := ports(t, 1)[0]
		if l, err := net.Listen("tcp", at(port+1)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("there are no two free ports side by side")
	return 0
}

// send sends a text to the peer.
func (b *baresip) send(text string) { b.t.Helper(); b.do("message", text) }

// receives waits until the phone's SIP trace shows a text from an address: it
// prints no messages of its own.
func (b *baresip) receives(from, text string) {
	b.t.Helper()
	b.says(`^From:.*` + regexp.QuoteMeta("<"+from+">"))
	b.says(`^` + regexp.QuoteMeta(text))
}

// do gives a command over the control port (JSON in a netstring).
func (b *baresip) do(command, params string) {
	b.t.Helper()
	c, err := net.DialTimeout("tcp", b.ctrl, patience)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	j, err := json.Marshal(map[string]string{"command": command, "params": params, "token": "t"})
	if err != nil {
		b.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "%d:%s,", len(j), j); err != nil {
		b.t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		b.t.Fatalf("baresip does not answer %s: %v", command, err)
	}
}
