package sipedge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"parley.im/bus/event"
	"parley.im/core/sipedge/internal/dnstest"
)

// A07: a server must show a certificate of the domain that was asked for, not
// of the host that DNS made of it (RFC 5922).
func TestA07ServersCertificates(t *testing.T) {
	for _, c := range []struct {
		name      string
		dns, uris []string
		ip        net.IP
		server    string // of the trunk; "" asks DNS
		says      string // why it is refused
	}{
		{name: "the domain by DNS name", dns: []string{"x.example.com", "PBX.example.com"}},
		{name: "the domain by URI", uris: []string{"sip:pbx.example.com"}},
		{name: "a URI of another, and the DNS name does not count", dns: []string{"pbx.example.com"}, uris: []string{"sip:other.example.com"}, says: "for other.example.com, not for pbx.example.com"},
		{name: "a user's URI", uris: []string{"sip:joe@pbx.example.com"}, says: "not for pbx.example.com"},
		{name: "a wildcard", dns: []string{"*.example.com"}, says: "not for pbx.example.com"},
		{name: "the host that SRV names", dns: []string{"a.example.com"}, says: "not for pbx.example.com"},
		{name: "nothing", says: "not for pbx.example.com"},
		{name: "an address", ip: net.IPv4(127, 0, 0, 1), server: "sips:127.0.0.1:%s"},
		{name: "an address, but the domain's certificate", dns: []string{"pbx.example.com"}, server: "sips:127.0.0.1:%s"},
		{name: "another's name for an address", dns: []string{"127.0.0.1"}, server: "sips:127.0.0.1:%s", says: "not for 127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ips []net.IP
			if c.ip != nil {
				ips = append(ips, c.ip)
			}
			cert, pool := certFor(t, "", c.dns, c.uris, ips...)
			f := newFar(t, "tls", "", &tls.Config{Certificates: []tls.Certificate{cert}})
			dns := dnstest.New(t, "pbx NAPTR 1 1 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.pbx\n_sips._tcp.pbx SRV 1 1 "+f.port()+" a\na A 127.0.0.1")
			trunk := Trunk{Domains: []string{"pbx.example.com"}, TLS: ClientTLS{CAs: pool}}
			if c.server != "" {
				trunk.Servers = []string{fmt.Sprintf(c.server, f.port())}
			}
			_, s := outward(t, trunk, func(c *Config) { c.Domains, c.DNS = []string{"example.org"}, []string{dns.Address} })
			d := deliver(s, byDNS("o1"))
			if c.says != "" {
				wantRetry(t, await(t, d), c.says)
				f.quiet()
				return
			}
			got := f.next()
			if !strings.HasPrefix(header1(got.text, "Via"), "SIP/2.0/TLS ") {
				t.Error(header1(got.text, "Via"))
			}
			got.reply("200 OK")
			wantState(t, await(t, d), event.Delivered)
		})
	}
}

// A07 S19: no old TLS, no stranger's CA, and nothing in clear.
func TestA07NothingLess(t *testing.T) {
	cert, pool := certFor(t, "", nil, nil, net.IPv4(127, 0, 0, 1))
	_, others := certFor(t, "", nil, nil, net.IPv4(127, 0, 0, 1))
	for _, c := range []struct {
		name    string
		network string
		config  *tls.Config
		cas     *x509.CertPool
	}{
		{"a CA that is not ours", "tls", &tls.Config{Certificates: []tls.Certificate{cert}}, others},
		{"none of the system's CAs", "tls", &tls.Config{Certificates: []tls.Certificate{cert}}, nil},
		{"TLS 1.1", "tls", &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, pool},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFar(t, c.network, "", c.config)
			_, s := outward(t, Trunk{Servers: []string{"sips:" + f.addr}, TLS: ClientTLS{CAs: c.cas}})
			wantRetry(t, await(t, deliver(s, by("o1"))), "unreachable")
			f.quiet()
		})
	}
}

// S19: sips: means TLS; a server that speaks only TCP hears of the message
// nothing but a ClientHello.
func TestS19NothingInClear(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 3)
		io.ReadFull(c, b)
		heard <- b
	}()
	_, s := outward(t, Trunk{Servers: []string{"sips:" + l.Addr().String() + ";transport=tcp"}})
	wantRetry(t, await(t, deliver(s, by("o1"))), "unreachable")
	if b := <-heard; b[0] != 22 || b[1] != 3 { // a handshake record of TLS
		t.Errorf("%q came", b)
	}
}

// A trunk may ask for a certificate.
func TestClientCertificateForATrunk(t *testing.T) {
	cert, pool := certFor(t, "", nil, nil, net.IPv4(127, 0, 0, 1))
	mine, mineCA := certFor(t, "", []string{"example.com"}, nil)
	f := newFar(t, "tls", "", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: mineCA})
	_, s := outward(t, Trunk{Servers: []string{"sips:" + f.addr}, TLS: ClientTLS{CAs: pool, Certificate: mine}})
	d := deliver(s, by("o1"))
	f.next().reply("200 OK")
	wantState(t, await(t, d), event.Delivered)

	_, s = outward(t, Trunk{Servers: []string{"sips:" + f.addr}, TLS: ClientTLS{CAs: pool}})
	wantRetry(t, await(t, deliver(s, by("o1"))), "unreachable")
}

// What goes to one server at once goes over one connection, and over another
// when that one is gone. Requests of the far side may come on it, too.
func TestOneConnectionToAServer(t *testing.T) {
	f := newFar(t, "tcp", "", nil)
	h, s := outward(t, Trunk{Servers: []string{f.uri("tcp")}, Peers: home[:1]})
	var all []<-chan delivered
	for i := range 50 {
		d := by(fmt.Sprint("o", i))
		d.Target = event.Address(fmt.Sprintf("sip:%d@pbx.example.net", i))
		all = append(all, deliver(s, d))
	}
	var last heard
	for range all {
		last = f.next()
		last.reply("200 OK")
	}
	for _, c := range all {
		wantState(t, await(t, c), event.Delivered)
	}
	if n := s.flows.open(); n != 1 {
		t.Errorf("%d connections", n)
	}
	p := &probe{t: t, conn: fakeConn{addr: f.addr}}
	m := p.message("sip:bob@example.com", "from the PBX")
	m.from = "<sip:100@pbx.example.net>;tag=x"
	last.write(m.String())
	h.waitPut(t)
	soon(t, func() bool { return len(h.stored()) == 1 })
	if got := h.stored()[0].Sender; got != "sip:100@pbx.example.net" {
		t.Errorf("it is from %s", got)
	}
	last.close()
	soon(t, func() bool { return s.flows.open() == 0 })
	c := deliver(s, by("after"))
	f.next().reply("200 OK")
	wantState(t, await(t, c), event.Delivered)
}

type fakeConn struct {
	net.Conn
	addr string
}

func (c fakeConn) LocalAddr() net.Addr { a, _ := net.ResolveTCPAddr("tcp", c.addr); return a }

// S05: over UDP a request is repeated after 0.5, 1, 2 seconds and so on, until it
// is given up; over TCP never.
func TestS05Retransmissions(t *testing.T) {
	f := newFar(t, "udp", "", nil)
	_, s := outward(t, Trunk{Servers: []string{f.uri("udp")}})
	s.patience = 4500 * time.Millisecond
	began := time.Now()
	c := deliver(s, by("o1"))
	first := f.next()
	for _, least := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond} {
		if again := f.next(); again.text != first.text {
			t.Errorf("not the same:\n%s\n%s", first.text, again.text)
		}
		if after := time.Since(began); after < least-100*time.Millisecond {
			t.Errorf("again after %s already", after)
		}
	}
	wantRetry(t, await(t, c), "unreachable: no final response in time")
	f.quiet()

	f = newFar(t, "tcp", "", nil)
	_, s = outward(t, Trunk{Servers: []string{f.uri("tcp")}})
	s.patience = 1200 * time.Millisecond
	c = deliver(s, by("o1"))
	f.next()
	wantRetry(t, await(t, c), "no final response in time")
	f.quiet()
}
