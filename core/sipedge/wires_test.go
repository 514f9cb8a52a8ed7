package sipedge

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// certificate makes a certificate for loopback that is its own CA.
func certificate(t testing.TB, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	return certFor(t, name, nil, nil, net.IPv4(127, 0, 0, 1), net.IPv6loopback)
}

// certFor makes one for what is given, likewise.
func certFor(t testing.TB, name string, dns, uris []string, ips ...net.IP) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: dns, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		x.URIs = append(x.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if x, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(x)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: x}, pool
}

// networks are all that can be listened on.
var networks = []string{"udp", "tcp", "tls", "ws", "wss"}

// everywhere configures a listener of each network on a loopback host.
func everywhere(t testing.TB, h *fakeHost, host string) (Config, *tls.Config) {
	t.Helper()
	cert, roots := certificate(t, "first")
	c := config(h)
	c.Listen, c.TLS = nil, TLS{Certificate: cert}
	for _, n := range networks {
		c.Listen = append(c.Listen, Listener{n, net.JoinHostPort(host, "0")})
	}
	return c, &tls.Config{RootCAs: roots}
}

// at returns the address of a listener.
func (s *started) at(t testing.TB, network string) string {
	t.Helper()
	for _, a := range s.Addrs() {
		if addr, ok := strings.CutPrefix(a, network+":"); ok {
			return addr
		}
	}
	t.Fatalf("nothing listens on %s", network)
	return ""
}

// as is a connection with a local address to be named in Via and Contact.
type as struct {
	net.Conn
	network, addr string
}

func (a as) LocalAddr() net.Addr { return a }
func (a as) Network() string     { return a.network }
func (a as) String() string      { return a.addr }

// phone connects a probe over any network.
func phone(t testing.TB, s *started, network string, trust *tls.Config) *probe {
	t.Helper()
	return phoneAt(t, network, s.at(t, network), trust)
}

func phoneAt(t testing.TB, network, addr string, trust *tls.Config) *probe {
	t.Helper()
	if network == "ws" || network == "wss" {
		c, _, err := dialWS(t, network+"://"+addr, trust, nil, "sip")
		if err != nil {
			t.Fatal(err)
		}
		return wsProbe(t, c, network)
	}
	transport := network
	if network == "tls" {
		transport = "tcp"
	}
	conn, err := net.Dial(transport, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	local := conn.LocalAddr().String()
	if network == "tls" {
		c := trust.Clone()
		c.ServerName = "127.0.0.1"
		conn = tls.Client(conn, c)
	}
	p := &probe{t: t, conn: as{conn, network, local}}
	if network != "udp" {
		p.r = bufio.NewReader(conn)
	}
	return p
}

func wsProbe(t testing.TB, c *websocket.Conn, network string) *probe {
	conn := websocket.NetConn(t.Context(), c, websocket.MessageText)
	return &probe{t: t, conn: as{conn, network, "df7jal23ls0d.invalid"}, r: bufio.NewReader(conn)}
}

// dialWS opens a WebSocket.
func dialWS(t testing.TB, url string, trust *tls.Config, header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header, Subprotocols: protocols})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
		c.SetReadLimit(1 << 20)
	}
	return c, res, err
}

// closed waits for the far end to close.
func (p *probe) closed() {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	var b [1 << 10]byte
	for {
		n, err := p.r.Read(b[:])
		if err == nil {
			p.t.Logf("before the end comes %q", b[:n])
			continue
		}
		if e, ok := err.(net.Error); ok && e.Timeout() {
			p.t.Fatal("the connection is not closed")
		}
		return
	}
}

// A phone registers, sends and is sent to over every transport, at IPv4 and at
// IPv6, and through a browser's address that exists nowhere.
// S19 T01 T09
func TestEveryTransport(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		h := newHost()
		c, trust := everywhere(t, h, host)
		s := run(t, c, h)
		for _, network := range networks {
			t.Run(network+" "+host, func(t *testing.T) {
				p := phone(t, s, network, trust)
				res := p.say(p.message("sip:bob@example.com", "hello"))
				if code(res) != "202" {
					t.Fatalf("got %s", res)
				}
				via := header1(res, "Via")
				if !strings.HasPrefix(via, "SIP/2.0/"+strings.ToUpper(network)+" "+p.local()) || !strings.Contains(via, "received="+host) {
					t.Errorf("Via of the response is %s", via)
				}
				p.online(h)
				done := deliver(s, delivery("o-"+network+host, "hi"))
				req := p.mustRead()
				want := "SIP/2.0/" + strings.ToUpper(network) + " " + s.at(t, network) + ";"
				if got := header1(req, "Via"); !strings.HasPrefix(got, want) {
					t.Errorf("Via is %s; want %s…", got, want)
				}
				if !strings.HasPrefix(req, "MESSAGE sip:bob@"+p.local()) || !strings.HasSuffix(req, "\r\n\r\nhi") {
					t.Errorf("got %s", req)
				}
				p.reply(req, "200 OK")
				if got := await(t, done); got.err != nil {
					t.Error(got.err)
				}
				p.register("bob", "builder", "*", "0")
			})
		}
	}
}

// There may be several listeners of each network, and each serves.
func TestSeveralListenersOfEach(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	for _, n := range networks {
		c.Listen = append(c.Listen, Listener{n, "127.0.0.1:0"}, Listener{n, "[::1]:0"})
	}
	s := run(t, c, h)
	if n := len(s.Addrs()); n != 3*len(networks) {
		t.Fatalf("listens on %q", s.Addrs())
	}
	for _, a := range s.Addrs() {
		network, addr, _ := strings.Cut(a, ":")
		phoneAt(t, network, addr, trust).challenge()
	}
}

// A flow that has ended is gone at once, and never dialled.
func TestDeadFlowIsGone(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	s := run(t, c, h)
	for _, network := range []string{"tcp", "tls", "ws", "wss"} {
		p := phone(t, s, network, trust)
		p.online(h)
		ended := s.flows.only(t)
		p.conn.Close()
		soon(t, func() bool { return ended.dead.Load() })
		if got := await(t, deliver(s, delivery("o-"+network, "x"))); !untilWoken(got.err) {
			t.Errorf("%s: %v", network, got.err)
		}
	}
}

// only returns the one flow that is live.
func (t *flows) only(tt testing.TB) *flow {
	tt.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.live) != 1 {
		tt.Fatalf("%d flows", len(t.live))
	}
	for _, f := range t.live {
		return f
	}
	return nil
}

// soon waits for what happens soon.
func soon(t testing.TB, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !happened(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not happen")
		}
	}
}

// A new certificate is shown from the next handshake on, and the connections
// before it go on. A07
func TestCertificateIsReplaced(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	s := run(t, c, h)
	before := phone(t, s, "tls", trust)
	before.challenge()
	cert, roots := certificate(t, "second")
	if err := s.SetTLS(TLS{Certificate: cert}); err != nil {
		t.Fatal(err)
	}
	before.challenge()
	for _, network := range []string{"tls", "wss"} {
		phone(t, s, network, &tls.Config{RootCAs: roots}).challenge()
	}
	if err := tls.Client(as{Conn: before.raw(t, s)}, &tls.Config{RootCAs: trust.RootCAs, ServerName: "127.0.0.1"}).Handshake(); err == nil {
		t.Error("the first certificate is still shown")
	}
	if s.SetTLS(TLS{}) == nil {
		t.Error("no certificate at all is taken")
	}
}

// raw connects to the TLS listener.
func (p *probe) raw(t testing.TB, s *started) net.Conn {
	c, err := net.Dial("tcp", s.at(t, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A07
func TestOldTLSIsRefused(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	s := run(t, c, h)
	old := trust.Clone()
	old.MinVersion, old.MaxVersion, old.ServerName = tls.VersionTLS10, tls.VersionTLS11, "127.0.0.1"
	if _, err := tls.Dial("tcp", s.at(t, "tls"), old); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	soon(t, func() bool { return s.Stats() == Stats{Handshakes: 1} })
}

// Where clients have to show a certificate, one without is refused.
// S19
func TestClientCertificates(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	mine, pool := certificate(t, "client")
	c.TLS.ClientCAs = pool
	s := run(t, c, h)
	known := trust.Clone()
	known.Certificates = []tls.Certificate{mine}
	phone(t, s, "tls", known).challenge()
	phone(t, s, "wss", known).challenge()
	stranger, _ := certificate(t, "client")
	wrong := trust.Clone()
	wrong.Certificates = []tls.Certificate{stranger}
	for _, bad := range []*tls.Config{trust, wrong} {
		phone(t, s, "tls", bad).closed()
		if _, _, err := dialWS(t, "wss://"+s.at(t, "wss"), bad, nil, "sip"); err == nil {
			t.Error("a stranger has a WebSocket")
		}
	}
}

// A handshake that never ends keeps nobody waiting, and is ended.
func TestStalledHandshake(t *testing.T) {
	h := newHost()
	c, trust := everywhere(t, h, "127.0.0.1")
	c.Limits.Handshake = 3 * time.Second
	s := run(t, c, h)
	var stalled []*probe
	for i, network := range []string{"tls", "ws", "wss"} {
		half := "\x16\x03\x01" // of a TLS record
		if network == "ws" {
			half = "GET / HTTP/1.1\r\nHost: x\r\n"
		}
		for _, word := range []string{"", half} {
			conn, err := net.Dial("tcp", s.at(t, network))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprint(conn, word)
			stalled = append(stalled, &probe{t: t, conn: conn, r: bufio.NewReader(conn)})
		}
		phone(t, s, networks[i+2], trust).challenge()
	}
	if got := s.Stats(); got.Handshakes != 0 || got.Open < len(stalled) {
		t.Errorf("others waited for those that stall: %+v", got)
	}
	for _, p := range stalled {
		p.closed()
	}
	soon(t, func() bool { return s.Stats().Handshakes == uint64(len(stalled)) })
}

// T09
func TestWebSocketHandshake(t *testing.T) {
	h := newHost()
	c, _ := everywhere(t, h, "127.0.0.1")
	c.Origins = []string{"*.example.com", "https://other.example.org"}
	s := run(t, c, h)
	url := "ws://" + s.at(t, "ws")
	origin := func(v string) http.Header { return http.Header{"Origin": {v}} }
	for _, tc := range []struct {
		name      string
		header    http.Header
		protocols []string
		want      int
	}{
		{"no browser", nil, []string{"sip"}, 101},
		{"sip among others", nil, []string{"xmpp", "sip"}, 101},
		{"the listener's own page", origin("http://" + s.at(t, "ws")), []string{"sip"}, 101},
		{"a page of an allowed host", origin("https://chat.example.com"), []string{"sip"}, 101},
		{"a page of an allowed scheme and host", origin("https://other.example.org"), []string{"sip"}, 101},
		{"another scheme", origin("http://other.example.org"), []string{"sip"}, 403},
		{"any other page", origin("https://evil.example"), []string{"sip"}, 403},
		{"no subprotocol", nil, nil, 400},
		{"wrong subprotocol", nil, []string{"xmpp", "sips"}, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, res, err := dialWS(t, url, nil, tc.header, tc.protocols...)
			if res == nil || res.StatusCode != tc.want || (err == nil) != (tc.want == 101) {
				t.Fatalf("got %v %v; want %d", res, err, tc.want)
			}
			if err == nil && c.Subprotocol() != "sip" {
				t.Errorf("subprotocol %q", c.Subprotocol())
			}
		})
	}
	if res, err := http.Get("http://" + s.at(t, "ws")); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("a page is got: %v %v", res, err)
	}
	if err := s.SetOrigins([]string{"["}); err == nil {
		t.Error("a bad pattern is taken")
	}
	if err := s.SetOrigins([]string{"evil.example"}); err != nil {
		t.Error(err)
	}
	if _, _, err := dialWS(t, url, nil, origin("https://evil.example"), "sip"); err != nil {
		t.Error(err)
	}
}

// T09 T06
func TestWebSocketMessages(t *testing.T) {
	h := newHost()
	c, _ := everywhere(t, h, "127.0.0.1")
	s := run(t, c, h)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, _, err := dialWS(t, "ws://"+s.at(t, "ws"), nil, nil, "sip")
	if err != nil {
		t.Fatal(err)
	}
	p := &probe{t: t, conn: as{network: "ws", addr: "df7jal23ls0d.invalid"}}
	send := func(kind websocket.MessageType, parts ...string) {
		t.Helper()
		m, err := w.Writer(ctx, kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts { // a frame each
			if _, err := m.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		t.Helper()
		_, b, err := w.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	request := func(body string) string { return p.message("sip:bob@example.com", body).String() }
	whole := request("hello")
	for _, tc := range []struct {
		name  string
		kind  websocket.MessageType
		parts []string
		want  string
	}{
		{"text", websocket.MessageText, []string{request("hello")}, "401"},
		{"binary", websocket.MessageBinary, []string{request("\xff")}, "401"},
		{"in three frames", websocket.MessageText, []string{whole[:9], whole[9:200], whole[200:]}, "401"},
		{"no Content-Length", websocket.MessageText, []string{strings.Replace(request("hello"), "Content-Length: 5\r\n", "", 1)}, "401"},
		{"more than Content-Length", websocket.MessageText, []string{request("hello") + "more"}, "401"},
		{"less than Content-Length", websocket.MessageText, []string{strings.Replace(request("hello"), "Length: 5", "Length: 6", 1)}, "400"},
		{"ping between messages", websocket.MessageText, []string{"\r\n\r\n"}, "\r\n"},
	} {
		send(tc.kind, tc.parts...)
		if got := read(); got != tc.want && code(got) != tc.want {
			t.Errorf("%s: got %s", tc.name, got)
		}
	}
	send(websocket.MessageText, "\r\n") // a pong: no answer
	ponged := make(chan error, 1)
	go func() { ponged <- w.Ping(ctx) }()
	read401 := make(chan string, 1)
	go func() { read401 <- read() }()
	if err := <-ponged; err != nil {
		t.Fatal(err)
	}
	send(websocket.MessageText, request("after the ping"))
	if got := <-read401; code(got) != "401" {
		t.Errorf("after a ping: %s", got)
	}
	if err := w.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("the closing handshake: %v", err)
	}
	soon(t, func() bool { return s.Stats() == Stats{Malformed: 1} })
}

// What is no SIP, or too large, ends a WebSocket with a reason, and so does
// the end of the bridge.
func TestWebSocketIsClosedWithAReason(t *testing.T) {
	h := newHost()
	c, _ := everywhere(t, h, "127.0.0.1")
	s := run(t, c, h)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, tc := range []struct {
		name, msg string
		want      websocket.StatusCode
	}{
		{"no SIP", "{}", websocket.StatusPolicyViolation},
		{"too large", strings.Repeat("x", 300<<10), websocket.StatusMessageTooBig},
		{"the end", "", websocket.StatusGoingAway},
	} {
		w, _, err := dialWS(t, "ws://"+s.at(t, "ws"), nil, nil, "sip")
		if err != nil {
			t.Fatal(err)
		}
		if tc.msg != "" {
			_ = w.Write(ctx, websocket.MessageText, []byte(tc.msg))
		} else {
			p := wsProbe(t, w, "ws")
			p.challenge() // so that it is open there, too
			go s.stop()
		}
		if _, _, err := w.Read(ctx); websocket.CloseStatus(err) != tc.want {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
