//go:build peers

package sipedge

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// mutants is how many broken packets go over each of UDP and TCP.
const mutants = 50_000

// TestPeersMutants sends what is almost SIP. After each packet the edge answers
// a well-behaved client, nothing panics, and in the end nothing is left behind.
func TestPeersMutants(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := newHost()
	c := config(h)
	c.Limits.Transactions = 20_000
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	s := launch(t, e)
	for i, network := range []string{"udp", "tcp"} {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		seeds := mutable(t, e, dial(t, s, network))
		good := dial(t, s, network)
		wild := &swarm{t: t, network: network, addr: map[string]string{"udp": s.udp, "tcp": s.tcp}[network]}
		for n := range mutants {
			packet := mutate(r, seeds)
			wild.send(packet)
			if res := good.ask(options(good)); code(res) != "200" && code(res) != "503" {
				t.Fatalf("%s, packet %d, %q: got %s", network, n, packet, res)
			}
		}
		wild.close()
	}
	if n := s.Stats(); n.Broken != 0 || n.Transactions > 20_000+64 {
		t.Errorf("counted %+v", n)
	}
	t.Logf("%+v", s.Stats())
	s.stop()
	soon(t, func() bool { return runtime.NumGoroutine() <= before+10 })
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 256<<20 {
		t.Errorf("%d MiB are in use afterwards", m.HeapAlloc>>20)
	}
}

func options(p *probe) string {
	d := p.message("sip:example.com", "")
	d.method, d.cseq = "OPTIONS", "1 OPTIONS"
	return d.String()
}

// mutable are the packets that mutants are made from: the torture messages, and
// requests of somebody who is let in.
func mutable(t *testing.T, e *Edge, p *probe) (all [][]byte) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d torture messages: %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	c := e.guard.challenge(netip.MustParseAddr("127.0.0.1"), false)[0]
	for i := range 30 {
		d := p.message("sip:bob@example.com", "hello")
		if i%3 == 0 {
			d.method, d.uri, d.to, d.cseq = "REGISTER", "sip:example.com", "<sip:alice@example.com>", fmt.Sprintf("%d REGISTER", i+1)
			d.with("Contact: <sip:a@192.0.2.1;x=y>;q=0.5;expires=60", "Path: <sip:p;lr>", "Supported: outbound, path", "Expires: 300")
		} else {
			d.with("Content-Type: message/cpim", "Date: Fri, 02 Jan 2026 03:04:05 GMT", "Expires: 300", "P-Asserted-Identity: \"a\" <sip:a@b>, <tel:+1>", "Privacy: id")
		}
		d.auth = login(c, "alice", "wonderland", d.method, d.uri, i+1)
		all = append(all, []byte(d.String()))
	}
	return all
}

// spice is what parsers choke on.
var spice = []string{
	"\r\n", "\r\n\r\n", "\r", "\n", "\x00", "\xff\xfe", "%0d%0a", "%", "\"", "\\", "<", ">", ",", ";", ":", "[", "]", "=", "/", " ", "\t", "\r\n ",
	"-1", "0", "99999999999999999999", "4294967296", "sip:", "sips:", "tel:", "@", "Content-Length: 5\r\n", "l: 9\r\n", "Via: SIP/2.0/UDP x;rport=1\r\n", "SIP/2.0",
}

// mutate changes a packet in one to eight places.
func mutate(r *rand.Rand, seeds [][]byte) []byte {
	b := bytes.Clone(seeds[r.IntN(len(seeds))])
	for range 1 + r.IntN(8) {
		if len(b) < 2 {
			break
		}
		i := r.IntN(len(b))
		j := min(len(b), i+1+r.IntN(40))
		switch r.IntN(7) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.Uint32())
		case 2:
			b = append(b[:i:i], b[j:]...)
		case 3:
			b = append(b[:j:j], append(bytes.Clone(b[i:j]), b[j:]...)...)
		case 4:
			b = append(b[:i:i], append([]byte(spice[r.IntN(len(spice))]), b[i:]...)...)
		case 5:
			b = b[:i]
		case 6:
			other := seeds[r.IntN(len(seeds))]
			b = append(b[:i:i], other[r.IntN(len(other)):]...)
		}
	}
	return b[:min(len(b), 60_000)]
}

// swarm sends each packet from a socket of its own; the last ones stay open for
// a while.
type swarm struct {
	t             *testing.T
	network, addr string
	open          []net.Conn
}

func (w *swarm) send(packet []byte) {
	if w.network == "udp" && len(w.open) > 0 {
		_, _ = w.open[0].Write(packet)
		return
	}
	c, err := net.Dial(w.network, w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.Write(packet)
	if w.open = append(w.open, c); len(w.open) > 64 {
		w.open[0].Close()
		w.open = w.open[1:]
	}
}

func (w *swarm) close() {
	for _, c := range w.open {
		c.Close()
	}
}
