//go:build peers

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A linphone is a headless linphone-daemon, driven over a unix socket.
type linphone struct {
	*proc
	pipe    string
	trace   string // file with its SIP trace
	control net.Conn
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
	l := &linphone{pipe: "/tmp/" + name, trace: dir + "/log"}
	t.Cleanup(func() { os.Remove(l.pipe) })
	if err := os.MkdirAll(dir+"/.local/share/linphone", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("linphone-daemon", "--pipe", name, "--config", rc, "--log", dir+"/log")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	l.proc = start(t, "linphone "+user, cmd)
	l.connect()
	l.until(func() bool { return strings.Contains(l.do("register-status ALL"), "RegistrationOk") })
	return l
}

// until polls what can't be waited for.
func (l *linphone) until(ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("linphone-daemon: never happened what the test waits for")
		}
	}
}

// connect opens the one connection that takes commands: the daemon may drop
// one that comes while it notices the end of another.
func (l *linphone) connect() {
	l.t.Helper()
	l.until(func() (ok bool) {
		c, err := net.Dial("unix", l.pipe)
		l.control = c
		return err == nil
	})
	l.t.Cleanup(func() { l.control.Close() })
}

// do gives one command and returns the answer, which ends when no more comes.
func (l *linphone) do(command string) string {
	l.t.Helper()
	_ = l.control.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintln(l.control, command); err != nil {
		l.t.Fatalf("linphone-daemon takes no command: %v", err)
	}
	var answer strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := l.control.Read(buf)
		answer.Write(buf[:n])
		if strings.Contains(answer.String(), "Status:") {
			_ = l.control.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		}
		if err != nil {
			return answer.String()
		}
	}
}

// message sends a text to an address.
func (l *linphone) message(to, text string) {
	l.t.Helper()
	if answer := l.do("message " + to + " " + text); !strings.Contains(answer, "Status: Ok") {
		l.t.Fatalf("linphone-daemon does not send: %s", answer)
	}
}

// receives waits until a text from an address has come to the phone.
func (l *linphone) receives(from, text string) {
	l.t.Helper()
	l.records(`\nMESSAGE .*\n(?:.+\n)*From: .*` + regexp.QuoteMeta("<"+from+">") + `.*\n(?:.+\n)*\n` + regexp.QuoteMeta(text) + `\n`)
}

// records waits until the phone's SIP trace matches and returns the submatches.
func (l *linphone) records(pattern string) (found []string) {
	l.t.Helper()
	re := regexp.MustCompile(pattern)
	l.until(func() bool {
		trace, err := os.ReadFile(l.trace)
		if err != nil {
			l.t.Fatal(err)
		}
		found = re.FindStringSubmatch(strings.ReplaceAll(string(trace), "\r", ""))
		return found != nil
	})
	return found
}

func TestPeerLinphoneBothWays(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			alice := startLinphone(t, "alice", password("alice"), transport, b.sip)
			alice.message("sip:lobby@127.0.0.1", "hello from linphone")
			if m := ann.sees("hello from linphone", nil); m.From != "sip:alice@127.0.0.1" {
				t.Errorf("the room sees it from %q", m.From)
			}
			ann.say("r:lobby", "hello linphone")
			alice.receives("sip:lobby@127.0.0.1", "hello linphone")
			ann.marked("hello linphone", "delivered")
		})
	}
}

// C09: a phone says by itself what became of a message.
func TestPeerLinphoneNoticesStayOutOfTheChat(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			alice := startLinphone(t, "alice", password("alice"), transport, b.sip)
			ann.say("r:lobby", "tell me about it")
			notice := alice.records(`\nCSeq: \d+ MESSAGE\nCall-ID: (\S+)\n(?:.+\n)*Content-Type: message/imdn\+xml\n`)
			alice.records(`\nSIP/2\.0 202 .*\n(?:.+\n)*Call-ID: ` + regexp.QuoteMeta(notice[1]) + `\n`)
			alice.message("sip:lobby@127.0.0.1", "texts still come")
			ann.sees("texts still come", nil)
			if got := fmt.Sprint(ann.texts("")); got != "[tell me about it texts still come]" {
				t.Errorf("the room has %s", got)
			}
		})
	}
}
