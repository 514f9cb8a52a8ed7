//go:build peers

package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
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
	config := write(t, dir, file, strings.NewReplacer(append(fill, "@PORT@", strconv.Itoa(port))...).Replace(string(text)))
	cmd := exec.Command("kamailio", "-DD", "-E", "-f", config, "-m", "32", "-M", "4", "-w", dir, "-Y", dir)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	k := &kamailio{start(t, "kamailio", cmd), port}
	k.says(`the proxy is ready`)
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
