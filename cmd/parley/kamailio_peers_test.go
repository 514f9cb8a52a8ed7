//go:build peers

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A kamailio is a plain proxy in front of Parley, or of another proxy.
type kamailio struct {
	*proc
	port int
}

// startKamailio starts a proxy that sends what phones send to the next hop.
func startKamailio(t *testing.T, next int, transport string) *kamailio {
	t.Helper()
	return runKamailio(t, "proxy.cfg", "@NEXT@", strconv.Itoa(next), "@TRANSPORT@", transport)
}

// runKamailio starts one with a file of testdata, in which what stands between
// at-signs is filled in.
func runKamailio(t testing.TB, file string, fill ...string) *kamailio {
	t.Helper()
	text, err := os.ReadFile(testdata(t, "kamailio/"+file))
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), ports(t, 1)[0]
	for i, f := range fill {
		if f == "@PORT@" {
			port, _ = strconv.Atoi(fill[i+1])
		}
	}
	config := write(t, dir, filepath.Base(file), strings.NewReplacer(append(fill, "@PORT@", strconv.Itoa(port))...).Replace(string(text)))
	cmd := exec.Command("kamailio", "-DD", "-E", "-f", config, "-m", "32", "-M", "4", "-w", dir, "-Y", dir)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	k := &kamailio{start(t, "kamailio", cmd), port}
	k.says(`the (proxy|PBX) is ready`)
	return k
}

func TestPeerKamailioPassesRegistrationsAndMessages(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport+" towards Parley", func(t *testing.T) {
			b := newBridge(t)
			ann := joinChat(t, b.web, "ann")
			proxy := startKamailio(t, b.sip, transport)
			bob := b.phone("bob", "u1")
			bob.bridge = proxy.port
			bob.register()
			bob.send("lobby", "hello through the proxy")
			if m := ann.sees("hello through the proxy", nil); m.From != "sip:bob@127.0.0.1" {
				t.Errorf("the room sees it from %q", m.From)
			}
			proxy.says(`answer 401 to MESSAGE by ` + transport)
			proxy.says(`answer 202 to MESSAGE by ` + transport)
		})
	}
}

func TestPeerKamailioBringsAMessageFromTheChatToAPhoneBehindIt(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport+" towards Parley", func(t *testing.T) {
			b := newBridge(t)
			proxy := startKamailio(t, b.sip, transport)
			bob := b.phone("bob", "u1")
			bob.bridge = proxy.port
			bob.register()
			bob.listen()
			ann := joinChat(t, b.web, "ann")
			ann.say("r:lobby", "hello behind the proxy")
			bob.uas.says(`body=hello behind the proxy$`)
			ann.marked("hello behind the proxy", "delivered")
			contact := `sip:bob@` + at(bob.local)
			proxy.says(`request MESSAGE ` + contact + `\S* from ` + at(b.sip))
		})
	}
}

// T07: the Path that each proxy adds to a REGISTER is the way back to the phone.
func TestPeerKamailioTwiceFindsThePhoneBehindBoth(t *testing.T) {
	b := newBridge(t)
	inner := startKamailio(t, b.sip, "udp")
	outer := startKamailio(t, inner.port, "udp")
	bob := b.phone("bob", "u1")
	bob.bridge = outer.port
	bob.register()
	bob.listen()
	ann := joinChat(t, b.web, "ann")
	ann.say("r:lobby", "hello behind two proxies")
	bob.uas.says(`body=hello behind two proxies$`)
	ann.marked("hello behind two proxies", "delivered")
	inner.says(`request MESSAGE .* with the routes \[<sip:` + at(inner.port) + `;lr>`)
	outer.says(`request MESSAGE .* with the routes \[<sip:` + at(outer.port) + `;lr>`)
}

func TestPeerKamailioTwiceLeavesEveryViaAndRecordRoute(t *testing.T) {
	b := newBridge(t)
	ann := joinChat(t, b.web, "ann")
	inner := startKamailio(t, b.sip, "tcp")
	outer := startKamailio(t, inner.port, "udp")
	alice := b.phone("alice", "u1")
	alice.bridge = outer.port
	alice.register()
	alice.send("lobby", "over two proxies")
	ann.sees("over two proxies", nil)
	inner.says(`request MESSAGE .* route \[.*` + at(outer.port)) // so two routes and three Vias reached Parley
	inner.says(`answer 202 to MESSAGE by tcp`)
	outer.says(`answer 202 to MESSAGE by udp`)
}

// A pbx is a Kamailio where phones register, and a Parley that has it as a
// trunk.
type pbx struct {
	*kamailio
	*bridge
	proxy *kamailio  // before the PBX, if there is one
	carol *sippPhone // registered at the PBX
	ann   *person    // in the web chat
}

// newPBX joins the two by a transport, through a proxy if so wanted. The PBX is
// that of examples/pbx/kamailio, with other addresses. edits are
// those of the bridge's configuration.
func newPBX(t *testing.T, transport string, proxied bool, edits ...string) *pbx {
	t.Helper()
	x := &pbx{}
	p := ports(t, 3)
	tlsPort, parleyTLS, pbxPort := p[0], p[1], p[2]
	cert, key := certificate(t, time.Hour)
	dir := t.TempDir()
	fill := []string{
		"!pbx.example.com!", "!127.0.0.2!", "!192.0.2.10!", "!127.0.0.2!", "!5060!", fmt.Sprintf("!%d!", pbxPort), "!bridge.example.com!", "!127.0.0.1!",
		"!5061!", fmt.Sprintf("!%d!", tlsPort), "/etc/kamailio/pbx.key", write(t, dir, "pbx.key", string(key)), "/etc/kamailio/pbx.pem", write(t, dir, "pbx.pem", string(cert)),
		"@PORT@", strconv.Itoa(pbxPort), // not in the file
	}
	way := fmt.Sprintf("servers = [\"sip:127.0.0.2:%d;transport=%s\"]", pbxPort, transport)
	if transport == "tls" {
		fill = append(fill, "##!define WITH_TLS", "#!define WITH_TLS")
		way = fmt.Sprintf("servers = [\"sips:127.0.0.2:%d\"]", tlsPort)
	}
	if proxied {
		x.proxy = runKamailio(t, "outbound.cfg", "@NEXT@", strconv.Itoa(pbxPort))
		way = fmt.Sprintf("route = [\"sip:%s;transport=%s;lr\"]", at(x.proxy.port), transport)
	}
	edits = append(edits, overTLS("tls", parleyTLS)...)
	edits = append(edits, `members = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1"]`, `members = ["sip:carol@127.0.0.2"]`,
		"[http] ", fmt.Sprintf(`[[sip.trunk]]
name = "pbx"
peers = ["127.0.0.0/30"]
domains = ["127.0.0.2"]
realm = "127.0.0.2"
user = "parley"
password = "secret"
%s
tls = { ca = %q }
assert = true
[http] `, way, filepath.Join(dir, "pbx.pem")))
	b := writeBridge(t, edits...)
	b.certify(time.Hour)
	next := b.sip
	if transport == "tls" {
		next = parleyTLS
	}
	fill = append(fill, "sip:192.0.2.20:5060;transport=tcp", fmt.Sprintf("sip:127.0.0.1:%d;transport=%s", next, transport))
	x.kamailio, x.bridge = runKamailio(t, "../../../../examples/pbx/kamailio/kamailio.cfg", fill...), b
	b.start()
	x.carol = b.phone("carol", "u1")
	x.carol.password, x.carol.server = "secret", fmt.Sprintf("127.0.0.2:%d", pbxPort)
	x.carol.register()
	x.ann = joinChat(t, b.web, "ann")
	return x
}

// Phones of a PBX and the chat reach each other through a trunk; the PBX asks
// Parley for credentials. M24
func TestPeerKamailioAsATrunk(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			x := newPBX(t, transport, false)
			x.carol.send("lobby", "hello from the PBX")
			if m := x.ann.sees("hello from the PBX", nil); m.From != "sip:carol@127.0.0.2" {
				t.Errorf("the room sees it from %q", m.From)
			}
			x.carol.listen()
			x.ann.say("r:lobby", "hello to the PBX")
			x.carol.uas.says(`body=hello to the PBX$`)
			x.ann.marked("hello to the PBX", "delivered")
			out, bad, code := x.bridge.cli("", "sip", "status", "--config", x.bridge.config)
			if code != 0 || !regexp.MustCompile(`pbx\s+`+transport+`:127\.0\.0\.[12]:\d+\s+up`).MatchString(out) {
				t.Errorf("sip status: exit code %d\n%s%s", code, out, bad)
			}
		})
	}
}

// Parley registers at a PBX as one of its phones: what is sent to that number
// comes to a desk, and its answers go out under the number.
func TestPeerKamailioAsARegistrar(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			x := newPBX(t, transport, false, "[[route]]\nname    = \"lobby\"", `[[sip.registration]]
trunk = "pbx"
aor = "sip:700@127.0.0.2"
to = "sip:help@127.0.0.1"
user = "700"
password = "secret"
[[route]]
name = "help"
mode = "desk"
sip = "sip:help@127.0.0.1"
to = ["web:room/help"]
[[route]]
name    = "lobby"`, `rooms      = ["lobby"]`, `rooms      = ["lobby", "help"]`)
			x.kamailio.says(`registered 700 at `)
			x.carol.send("700", "hello number")
			m := x.ann.sees("hello number", nil)
			if m.From != "sip:carol@127.0.0.2" {
				t.Errorf("the desk sees it from %q", m.From)
			}
			x.carol.listen()
			x.ann.reply(m, "hello caller")
			x.carol.uas.says(`body=hello caller$`)
			x.kamailio.says(`message of 700 to sip:carol@`)
			out, bad, code := x.bridge.cli("", "sip", "status", "--config", x.bridge.config)
			if code != 0 || !regexp.MustCompile(`sip:700@127\.0\.0\.2\s+sip:help@127\.0\.0\.1\s+pbx\s+registered\s+\d+m\d+s`).MatchString(out) {
				t.Errorf("sip status: exit code %d\n%s%s", code, out, bad)
			}
			n := x.kamailio.count("")
			x.bridge.signal(syscall.SIGTERM) // it takes its registration away
			<-x.bridge.done
			x.kamailio.saysAfter(n, `registered 700 at `)
		})
	}
}

// Requests go through the proxy that the trunk's route names.
func TestPeerKamailioAsAnOutboundProxy(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			x := newPBX(t, transport, true)
			x.carol.listen()
			x.ann.say("r:lobby", "hello through the proxy")
			x.carol.uas.says(`body=hello through the proxy$`)
			x.ann.marked("hello through the proxy", "delivered")
			x.proxy.says(`request MESSAGE sip:carol@127.0.0.2 by ` + transport + ` with the routes \[<sip:` + at(x.proxy.port))
		})
	}
}
