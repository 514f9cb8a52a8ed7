package sipedge

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.im/bus/event"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// fakeHost keeps what the edge puts.
type fakeHost struct {
	mu         sync.Mutex
	puts       []event.Inbound
	ids        map[string]bool
	saved      map[event.Address][]byte
	putErr     error
	saveErr    error
	refuse     map[event.Address]error
	block      chan struct{} // Put waits for it
	entered    chan struct{} // a Put has begun
	registered chan event.Address
	told       chan event.Report
	media      map[string][]byte
	typing     chan event.Typing
}

func newHost() *fakeHost {
	return &fakeHost{
		ids: map[string]bool{}, saved: map[event.Address][]byte{}, refuse: map[event.Address]error{},
		entered: make(chan struct{}, 1000), registered: make(chan event.Address, 1000), told: make(chan event.Report, 1000), typing: make(chan event.Typing, 1000), media: map[string][]byte{},
	}
}

func (h *fakeHost) Put(ctx context.Context, in event.Inbound) error {
	h.entered <- struct{}{}
	h.mu.Lock()
	block, err := h.block, h.putErr
	h.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ids[in.ID] {
		h.ids[in.ID] = true
		h.puts = append(h.puts, in)
	}
	return nil
}

// waitPut waits until a Put has begun.
func (h *fakeHost) waitPut(t testing.TB) {
	t.Helper()
	select {
	case <-h.entered:
	case <-time.After(patience):
		t.Fatal("nothing is put")
	}
}

func (h *fakeHost) Stored(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[id]
}

func (h *fakeHost) Check(_ context.Context, in event.Inbound) error {
	if err := h.refuse[in.Recipient]; err != nil {
		return err
	}
	if in.MediaType == "video/mp4" {
		return &TypeError{Accept: []string{"text/*", "text/plain"}}
	}
	return nil
}

func (h *fakeHost) Told(_ context.Context, from event.Address, r event.Report) error {
	r.Detail = string(from)
	h.told <- r
	return nil
}

func (h *fakeHost) Body(_ context.Context, c event.Content) (event.Content, error) {
	if c.Ref == "" {
		return c, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	data, ok := h.media[c.Ref]
	if !ok {
		return c, errors.New("no such body")
	}
	return event.Content{MediaType: c.MediaType, Data: data}, nil
}

func (h *fakeHost) Composing(_ context.Context, t event.Typing) error { h.typing <- t; return nil }

func (h *fakeHost) Registered(aor event.Address) { h.registered <- aor }

func (h *fakeHost) Save(_ context.Context, aor event.Address, v []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.saveErr != nil {
		return h.saveErr
	}
	h.saved[aor] = slices.Clone(v)
	return nil
}

func (h *fakeHost) Load(context.Context) (map[event.Address][]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[event.Address][]byte{}
	for a, v := range h.saved {
		all[a] = v
	}
	return all, nil
}

func (h *fakeHost) stored() []event.Inbound {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.puts)
}

// home is where all peers of the tests are.
var home = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func config(h *fakeHost) Config {
	return Config{
		Domains:  []string{"example.com", "127.0.0.1", "localhost"},
		Listen:   []Listener{{"udp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:0"}},
		Accounts: []Account{{User: "alice", Password: "wonderland"}, {User: "bob", Password: "builder"}},
		NonceKey: []byte("a key that all hosts share"),
		Bindings: h,
		Limits:   Limits{Exempt: home},
	}
}

// started is a running edge.
type started struct {
	*Edge
	udp, tcp string
	stop     func()
}

func run(t testing.TB, c Config, h Host) *started {
	t.Helper()
	e, err := New(c, h)
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, e)
}

func launch(t testing.TB, e *Edge) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	s := &started{Edge: e}
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(s.stop)
	select {
	case <-e.Ready():
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	for _, a := range e.Addrs() {
		network, addr, _ := strings.Cut(a, ":")
		if network == "udp" {
			s.udp = addr
		} else {
			s.tcp = addr
		}
	}
	return s
}

// probe is a literal SIP peer on one socket.
type probe struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader // of TCP
	n    int
}

// both runs a test over UDP and over TCP.
func both(t *testing.T, s *started, test func(t *testing.T, p *probe)) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) { test(t, dial(t, s, network)) })
	}
}

func dial(t testing.TB, s *started, network string) *probe {
	t.Helper()
	addr := s.udp
	if network == "tcp" {
		addr = s.tcp
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &probe{t: t, conn: c}
	if network == "tcp" {
		p.r = bufio.NewReader(c)
	}
	return p
}

func (p *probe) network() string { return strings.ToUpper(p.conn.LocalAddr().Network()) }

func (p *probe) local() string { return p.conn.LocalAddr().String() }

// send writes a message given with LF line ends as it is on the wire.
func (p *probe) send(msg string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, msg); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next message, or "" when none comes within d.
func (p *probe) read(d time.Duration) string {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(d))
	if p.r == nil {
		b := make([]byte, 70000)
		n, err := p.conn.Read(b)
		if err != nil {
			return ""
		}
		return string(b[:n])
	}
	var msg strings.Builder
	length := 0
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return ""
		}
		msg.WriteString(line)
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		if line == "\r\n" {
			break
		}
	}
	body := make([]byte, length)
	io.ReadFull(p.r, body)
	return msg.String() + string(body)
}

func (p *probe) mustRead() string {
	p.t.Helper()
	m := p.read(patience)
	if m == "" {
		p.t.Fatal("nothing comes")
	}
	return m
}

// ask sends a request and returns the response.
func (p *probe) ask(msg string) string {
	p.t.Helper()
	p.send(msg)
	return p.mustRead()
}

// code returns the status code of a response.
func code(res string) string {
	f := strings.Fields(res)
	if len(f) < 2 {
		return "none"
	}
	return f[1]
}

// header returns the values of a header in a message.
func header(msg, name string) []string {
	head, _, _ := strings.Cut(msg, "\r\n\r\n")
	var all []string
	for _, line := range strings.Split(head, "\r\n")[1:] {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			all = append(all, strings.TrimSpace(v))
		}
	}
	return all
}

func header1(msg, name string) string {
	if v := header(msg, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// draft is a request that tests change before it goes out.
type draft struct {
	method, uri, via, from, to, callID, cseq, hops string
	more                                           []string
	body                                           string
	auth                                           string
}

// message drafts a MESSAGE from alice, a new one each time.
func (p *probe) message(to, body string) *draft {
	p.n++
	return &draft{
		method: "MESSAGE", uri: to, from: "<sip:alice@example.com>;tag=f1", to: "<" + to + ">",
		callID: fmt.Sprintf("%d-%s", p.n, p.local()), cseq: fmt.Sprintf("%d MESSAGE", p.n), hops: "70", body: body,
		via: fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%d.%d;rport", p.network(), p.local(), p.n, time.Now().UnixNano()),
	}
}

func (d *draft) with(headers ...string) *draft {
	d.more = append(d.more, headers...)
	return d
}

func (d *draft) String() string {
	var b strings.Builder
	b.WriteString(d.method + " " + d.uri + " SIP/2.0\r\n")
	for _, h := range [][2]string{{"Via", d.via}, {"From", d.from}, {"To", d.to}, {"Call-ID", d.callID}, {"CSeq", d.cseq}, {"Max-Forwards", d.hops}} {
		if h[1] != "" {
			b.WriteString(h[0] + ": " + h[1] + "\r\n")
		}
	}
	for _, h := range d.more {
		b.WriteString(h + "\r\n")
	}
	if d.auth != "" {
		b.WriteString("Authorization: " + d.auth + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(d.body), d.body)
	return b.String()
}

var param = regexp.MustCompile(`(\w+)="?([^",]*)`)

// login answers a challenge, by hand so that the test depends on no library.
func login(challenge, user, password, method, uri string, nc int) string {
	return loginWith(challenge, user, password, method, uri, "c0ffee", nc)
}

func loginWith(challenge, user, password, method, uri, cnonce string, nc int) string {
	m := map[string]string{}
	for _, kv := range param.FindAllStringSubmatch(strings.TrimPrefix(challenge, "Digest "), -1) {
		m[kv[1]] = kv[2]
	}
	alg := "MD5"
	if strings.Contains(challenge, "SHA-256") {
		alg = "SHA-256"
	}
	sum := func(s string) string {
		if alg == "MD5" {
			h := md5.Sum([]byte(s))
			return hex.EncodeToString(h[:])
		}
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])
	}
	a1, a2 := sum(user+":"+m["realm"]+":"+password), sum(method+":"+uri)
	response := sum(fmt.Sprintf("%s:%s:%08x:%s:auth:%s", a1, m["nonce"], nc, cnonce, a2))
	return fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", algorithm=%s, qop=auth, nc=%08x, cnonce="%s", response="%s"`,
		user, m["realm"], m["nonce"], uri, alg, nc, cnonce, response)
}

// challenge fetches one.
func (p *probe) challenge() string {
	p.t.Helper()
	res := p.ask(p.message("sip:bob@example.com", "x").String())
	if code(res) != "401" {
		p.t.Fatalf("got %s; want a challenge", res)
	}
	return header(res, "WWW-Authenticate")[0]
}

// say sends a draft as alice and returns the response.
func (p *probe) say(d *draft) string {
	p.t.Helper()
	d.auth = login(p.challenge(), "alice", "wonderland", d.method, d.uri, 1)
	return p.ask(d.String())
}

// register registers a user's phone at the probe's address and returns the
// response.
func (p *probe) register(user, password, contact, expires string, more ...string) string {
	p.t.Helper()
	d := p.message("sip:example.com", "")
	d.method, d.cseq = "REGISTER", fmt.Sprintf("%d REGISTER", p.n)
	d.from, d.to, d.callID = "<sip:"+user+"@example.com>;tag=r", "<sip:"+user+"@example.com>", "reg-"+p.local()
	if contact != "" {
		d.with("Contact: " + contact)
	}
	d.with("Expires: " + expires).with(more...)
	d.auth = login(p.challenge(), user, password, "REGISTER", d.uri, 1)
	return p.ask(d.String())
}

// online registers bob's phone at the probe.
func (p *probe) online(h *fakeHost) {
	p.t.Helper()
	res := p.register("bob", "builder", "<sip:bob@"+p.local()+";transport="+strings.ToLower(p.network())+">", "600")
	if code(res) != "200" {
		p.t.Fatalf("REGISTER: %s", res)
	}
	select {
	case a := <-h.registered:
		if a != "sip:bob@example.com" {
			p.t.Fatalf("registered %s", a)
		}
	case <-time.After(patience):
		p.t.Fatal("nobody is told of the registration")
	}
}

// reply answers a request that came in.
func (p *probe) reply(req string, status string, more ...string) {
	p.t.Helper()
	p.send(answering(req, status, more...))
}

// answering returns the answer to a request.
func answering(req string, status string, more ...string) string {
	var b strings.Builder
	b.WriteString("SIP/2.0 " + status + "\r\n")
	for _, h := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		for _, v := range header(req, h) {
			if h == "To" {
				v += ";tag=t"
			}
			b.WriteString(h + ": " + v + "\r\n")
		}
	}
	for _, h := range more {
		b.WriteString(h + "\r\n")
	}
	return b.String() + "Content-Length: 0\r\n\r\n"
}
