//go:build peers

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A linphone is a headless linphone-daemon, driven over a unix socket.
type linphone struct {
	*proc
	pipe string
}

// startLinphone starts a softphone that registers user and waits until it has.
// The daemon only takes the name of a pipe, which it makes under /tmp.
func startLinphone(t *testing.T, user, password, transport string, registrar int) *linphone {
	t.Helper()
	dir, p := t.TempDir(), ports(t, 1)
	rc := write(t, dir, "rc", fmt.Sprintf(`[sip]
sip_port=%[5]d
sip_tcp_port=%[5]d
sip_tls_port=0
sip_random_port=0
register_only_when_network_is_up=0
use_ipv6=0
default_proxy=0
[proxy_0]
reg_proxy=<sip:127.0.0.1:%[4]d;transport=%[3]s>
reg_route=<sip:127.0.0.1:%[4]d;transport=%[3]s;lr>
reg_identity=sip:%[1]s@127.0.0.1
reg_expires=300
reg_sendregister=1
publish=0
quality_reporting_enabled=0
cpim_in_basic_chat_rooms_enabled=0
[auth_info_0]
username=%[1]s
passwd=%[2]s
realm=127.0.0.1
domain=127.0.0.1
[video]
enabled=0
capture=0
display=0
[misc]
store_chat_logs=0
uuid=00000000-0000-4000-8000-000000000001
contacts-vcard-list=
[storage]
uri=%[6]s/linphone.db
backend=sqlite3
[lime]
lime_update_threshold=0
`, user, password, transport, registrar, p[0], dir))
	name := fmt.Sprintf("parley-test-%d-%s", os.Getpid(), user)
	l := &linphone{pipe: "/tmp/" + name}
	t.Cleanup(func() { os.Remove(l.pipe) })
	if err := os.MkdirAll(dir+"/.local/share/linphone", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("linphone-daemon", "--pipe", name, "--config", rc, "--log", dir+"/log")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	l.proc = start(t, "linphone "+user, cmd)
	l.until(func() bool { _, err := os.Stat(l.pipe); return err == nil })
	l.until(func() bool { return strings.Contains(l.do("register-status ALL"), "RegistrationOk") })
	return l
}

// until polls what can't be waited for.
func (l *linphone) until(ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("linphone-daemon is not ready")
		}
	}
}

// do gives one command and returns the answer.
func (l *linphone) do(command string) string {
	l.t.Helper()
	c, err := net.Dial("unix", l.pipe)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, command); err != nil {
		return err.Error()
	}
	var answer strings.Builder
	buf := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	for {
		n, err := c.Read(buf)
		answer.Write(buf[:n])
		if strings.Contains(answer.String(), "Status:") {
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		}
		if err != nil {
			return answer.String()
		}
	}
}
