//go:build peers && linux

package sipedge

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A nat is a router of the kernel that hides a network of phones behind one
// address, and drops what comes in without a phone having sent something there.
type nat struct {
	t     *testing.T
	inner string // namespace of the phones
	box   string // namespace of the router
	host  string // our address, outside
	outer string // the router's, outside
}

// newNAT makes two namespaces in a row: phones, router, we.
func newNAT(t *testing.T) *nat {
	t.Helper()
	id := fmt.Sprint(os.Getpid() % 100000)
	n := &nat{t: t, inner: "phones" + id, box: "nat" + id, host: "198.51.100.1", outer: "198.51.100.2"}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "wan"+id).Run()
		for _, ns := range []string{n.inner, n.box} {
			_ = exec.Command("ip", "netns", "del", ns).Run()
		}
	})
	if out, err := exec.Command("unshare", "-n", "nft", "add", "table", "ip", "t").CombinedOutput(); err != nil {
		t.Skipf("LEFT OUT: this kernel, or this user, has no network namespaces with NAT: %v\n%s", err, out)
	}
	n.do("ip netns add " + n.inner)
	n.do("ip netns add " + n.box)
	n.do("ip link add wan" + id + " type veth peer name wan netns " + n.box)
	n.do("ip addr add " + n.host + "/24 dev wan" + id)
	n.do("ip link set wan" + id + " up")
	in := "ip netns exec " + n.box + " "
	n.do(in + "ip link add lan type veth peer name lan netns " + n.inner)
	for _, line := range []string{"ip addr add " + n.outer + "/24 dev wan", "ip addr add 10.0.0.1/24 dev lan", "ip link set wan up", "ip link set lan up", "ip link set lo up"} {
		n.do(in + line)
	}
	for _, line := range []string{"ip addr add 10.0.0.2/24 dev lan", "ip link set lan up", "ip link set lo up", "ip route add default via 10.0.0.1"} {
		n.do("ip netns exec " + n.inner + " " + line)
	}
	n.do(in + "sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'")
	for _, line := range []string{
		"add table ip t", "add chain ip t out { type nat hook postrouting priority 100 ; }",
		"add rule ip t out oifname wan masquerade fully-random", // a new mapping is another port
		"add chain ip t in { type filter hook input priority 0 ; policy drop ; }",
	} {
		n.do(in + "nft " + line)
	}
	return n
}

func (n *nat) do(line string) {
	n.t.Helper()
	if out, err := exec.Command("/bin/sh", "-c", strings.ReplaceAll(line, ";", `\;`)).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// forget makes the router forget all mappings, as when they have expired.
func (n *nat) forget() { n.do("ip netns exec " + n.box + " conntrack -F") }

// phone is a socket among the phones, towards the edge.
func (n *nat) phone(s *started, network string) *probe {
	n.t.Helper()
	addr := map[string]string{"udp": s.udp, "tcp": s.tcp}[network]
	type opened struct {
		conn net.Conn
		err  error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		f, err := os.Open("/run/netns/" + n.inner)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		var c net.Conn
		if err == nil {
			c, err = (&net.Dialer{Timeout: patience, FallbackDelay: -1}).Dial(network, addr)
		}
		done <- opened{c, err}
	}()
	got := <-done
	if got.err != nil {
		n.t.Fatal(got.err)
	}
	n.t.Cleanup(func() { got.conn.Close() })
	p := &probe{t: n.t, conn: got.conn}
	if network == "tcp" {
		p.r = bufio.NewReader(got.conn)
	}
	return p
}

// TestPeersBehindNAT has phones with private addresses register and be reached
// through the kernel's own NAT, where no answer and no message finds them but by
// the way their requests came. T01 T02 T06
func TestPeersBehindNAT(t *testing.T) {
	n := newNAT(t)
	h := newHost()
	c := config(h)
	c.Listen = []Listener{{"udp", n.host + ":0"}, {"tcp", n.host + ":0"}}
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	e.patience = 700 * time.Millisecond
	s := launch(t, e)
	source := func(user string) string {
		for _, p := range s.Phones() {
			if strings.HasPrefix(string(p.AOR), "sip:"+user+"@") {
				return p.Source
			}
		}
		return ""
	}
	arrives := func(t *testing.T, p *probe, id string) {
		t.Helper()
		d := deliver(s, delivery(id, "hello "+id))
		req := p.mustRead()
		if !strings.HasSuffix(req, "hello "+id) {
			t.Errorf("got %s", req)
		}
		p.reply(req, "200 OK")
		if got := await(t, d); got.err != nil {
			t.Error(got.err)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			p := n.phone(s, network)
			p.online(h) // its Contact is 10.0.0.2
			if at := source("bob"); !strings.HasPrefix(at, n.outer+":") || at == n.outer+p.local()[strings.LastIndexByte(p.local(), ':'):] {
				t.Errorf("registered from %s; the phone itself is at %s", at, p.local())
			}
			arrives(t, p, network+"1")
			if network == "tcp" {
				p.send("\r\n\r\n")
				if line, err := p.r.ReadString('\n'); err != nil || line != "\r\n" {
					t.Errorf("a keep-alive is answered %q, %v", line, err)
				}
			} else {
				p.send("\r\n\r\n") // is taken, and no answer
			}
			arrives(t, p, network+"2")
			if p.register("bob", "builder", "*", "0"); source("bob") != "" {
				t.Error("still registered")
			}
		})
	}
	t.Run("the mapping is gone", func(t *testing.T) {
		p := n.phone(s, "udp")
		p.online(h)
		before := source("bob")
		n.forget()
		wantAbsent(t, await(t, deliver(s, delivery("gone1", "x"))))
		if m := p.read(50 * time.Millisecond); m != "" {
			t.Errorf("through a mapping that is gone comes %s", m)
		}
		wantAbsent(t, await(t, deliver(s, delivery("gone2", "x")))) // it is not tried again and again
		p.online(h)
		if after := source("bob"); after == before || after == "" {
			t.Errorf("registered from %s, before from %s", after, before)
		}
		arrives(t, p, "gone1")
		p.register("bob", "builder", "*", "0")
	})
	t.Run("the connection is gone", func(t *testing.T) {
		p := n.phone(s, "tcp")
		p.online(h)
		open := s.flows.open()
		p.conn.Close()
		soon(t, func() bool { return s.flows.open() == open-1 })
		wantAbsent(t, await(t, deliver(s, delivery("closed", "x"))))
		if got := s.flows.open(); got != open-1 {
			t.Errorf("%d connections are open, before it was %d", got, open-1)
		}
	})
	t.Run("two behind one address", func(t *testing.T) {
		bob, alice := n.phone(s, "udp"), n.phone(s, "udp")
		bob.online(h)
		if res := alice.register("alice", "wonderland", "<sip:alice@"+alice.local()+">", "600"); code(res) != "200" {
			t.Fatal(res)
		}
		if a, b := source("alice"), source("bob"); a == b {
			t.Errorf("both are at %s", a)
		}
		arrives(t, bob, "two")
		if m := alice.read(50 * time.Millisecond); m != "" {
			t.Errorf("alice gets %s", m)
		}
	})
}

// wantAbsent wants a message to wait for its phone.
func wantAbsent(t *testing.T, got delivered) {
	t.Helper()
	if wantRetry(t, got, ""); got.err == nil {
		t.Error("it was delivered")
	}
}
