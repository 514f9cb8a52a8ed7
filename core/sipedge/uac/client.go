// Package uac is a small SIP user: it sends and receives MESSAGEs and
// registers, over UDP or one TCP connection, through one server. The command
// "parley send", tests and benches are its users; it is no phone.
package uac

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"parley.im/core/sipedge/internal/proof"
	"parley.im/core/sipedge/internal/tune"
)

// Config is who a Client is and whom it talks to.
type Config struct {
	Server   string // "host:port"
	Network  string // "udp" or "tcp"; udp if empty
	From     string // its own SIP URI, such as "sip:alice@example.com"
	User     string // for digest; the user of From if empty
	Password string
	// Receive is called for every MESSAGE that comes in, from several
	// goroutines, and returns the status code to answer; 0 stands for 200.
	Receive func(Message) int
}

// Message is a MESSAGE that came in.
type Message struct {
	From        string // URI
	FromName    string // display name, as it stood between the quotes
	CallID      string
	ContentType string
	Body        []byte
}

// Response is the final response to a request.
type Response struct {
	Code   int
	Phrase string
}

// Client is a SIP user. Its methods may be called from several goroutines. It
// does not connect again: after the TCP connection ends every call fails.
type Client struct {
	Config
	ua      *sipgo.UserAgent
	host    string // of From
	server  string // resolved
	local   net.Addr
	close   func()
	serving sync.WaitGroup

	mu     sync.Mutex
	proof  *proof.Answerer
	regID  string
	regSeq uint32
}

// errDial keeps the library from opening a connection beside ours.
var errDial = errors.New("the connection to the server is gone")

// Dial opens the socket or connection; nothing is sent yet. The Client must be
// closed.
func Dial(ctx context.Context, c Config) (*Client, error) {
	tune.Library()
	if c.Network == "" {
		c.Network = "udp"
	}
	var from sip.Uri
	if err := parse(c.From, &from); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if c.User == "" {
		c.User = from.User
	}
	cl := &Client{
		Config: c, host: from.Host, regID: rand.Text(),
		proof: proof.New(proof.Credentials{User: c.User, Password: c.Password}),
	}
	if err := cl.open(ctx); err != nil {
		return nil, err
	}
	return cl, nil
}

// parse refuses what would not be one URI in a request line.
func parse(uri string, u *sip.Uri) error {
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' || r == '"' }) {
		return fmt.Errorf("%q is no URI", uri)
	}
	if err := sip.ParseUri(uri, u); err != nil {
		return fmt.Errorf("%q: %w", uri, err)
	}
	if u.Scheme != "sip" && u.Scheme != "sips" || u.Host == "" {
		return fmt.Errorf("%q is no SIP URI", uri)
	}
	return nil
}

func (c *Client) open(ctx context.Context) error {
	parser := sip.NewParser()
	parser.MaxMessageLength = tune.MaxMessage
	ua, err := sipgo.NewUA(
		sipgo.WithUserAgentParser(parser),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerTerminateOnConnClose()),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerTransports(sip.TransportsConfig{
			TCP: &sip.TransportTCP{WriteTimeout: 10 * time.Second, DialerCreate: noDialer},
		})),
	)
	if err != nil {
		return err
	}
	srv, err := sipgo.NewServer(ua)
	if err != nil {
		return err
	}
	c.ua = ua
	srv.OnNoRoute(c.serve)
	switch c.Network {
	case "udp":
		return c.openUDP(ctx, srv)
	case "tcp":
		return c.openTCP(ctx, srv)
	}
	return fmt.Errorf("network %q: it is udp or tcp", c.Network)
}

// openUDP takes a socket on the address that leads to the server.
func (c *Client) openUDP(ctx context.Context, srv *sipgo.Server) error {
	var d net.Dialer
	way, err := d.DialContext(ctx, "udp", c.Server)
	if err != nil {
		return err
	}
	c.server = way.RemoteAddr().String()
	ip := way.LocalAddr().(*net.UDPAddr).IP
	way.Close()
	conn, err := net.ListenPacket("udp", net.JoinHostPort(ip.String(), "0"))
	if err != nil {
		return err
	}
	s := &socket{PacketConn: conn, start: newStart()}
	c.local, c.close = conn.LocalAddr(), func() { conn.Close() }
	c.serving.Go(func() { srv.ServeUDP(s) })
	<-s.read
	return nil
}

func (c *Client) openTCP(ctx context.Context, srv *sipgo.Server) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.Server)
	if err != nil {
		return err
	}
	c.server, c.local = conn.RemoteAddr().String(), conn.LocalAddr()
	w := &stream{Conn: conn, start: newStart()}
	l := &single{conn: w, end: make(chan struct{})}
	c.close = func() { l.Close(); conn.Close() }
	c.serving.Go(func() { srv.ServeTCP(l) })
	<-w.read
	return nil
}

// Close ends everything. Requests under way fail.
func (c *Client) Close() error {
	c.close()
	err := c.ua.Close()
	c.serving.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // the peer or a reader was quicker
	}
	return err
}

// serve answers what comes in.
func (c *Client) serve(req *sip.Request, tx sip.ServerTransaction) {
	code, phrase := 405, "Method Not Allowed"
	if req.Method == sip.MESSAGE && c.Receive != nil && req.From() != nil && req.CallID() != nil {
		m := Message{From: req.From().Address.String(), FromName: req.From().DisplayName, CallID: req.CallID().Value(), Body: req.Body()}
		if t := req.ContentType(); t != nil {
			m.ContentType = t.Value()
		}
		if code = c.Receive(m); code == 0 {
			code = 200
		}
		phrase = "As Asked"
		if code == 200 {
			phrase = "OK"
		}
	}
	res := sip.NewResponseFromRequest(req, code, phrase, nil)
	for res.RemoveHeader("Record-Route") {
	}
	_ = tx.Respond(res) // without an answer the other side asks again
}
