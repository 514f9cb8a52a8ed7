package mailtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options say what a Relay offers.
type Options struct {
	Dir        string   // where its certificate is written
	TLS        string   // "implicit", "starttls" or "none"
	User       string   // with Password, it must be given; no user means no login
	Password   string   //
	Mechanisms []string // of AUTH; nil means PLAIN and LOGIN
	UTF8       bool     // SMTPUTF8 (RFC 6531)
	DSN        bool     // RFC 3461
	MaxSize    int64
}

// Mail is one that a Relay has taken.
type Mail struct {
	From string // envelope sender
	To   []string
	Opts []string // what each recipient asked to be reported
	Data []byte
	TLS  bool
	User string // who had logged in
}

// The steps of a transaction at which a Relay can be told to answer something
// else.
const (
	Connect = "connect"
	Auth    = "auth"
	From    = "mail"
	Rcpt    = "rcpt"
	Dot     = "dot" // after the mail
)

// Relay is a submission server that keeps what it is given. Its methods may be
// called from several goroutines.
type Relay struct {
	Address string // host:port
	CA      string // file of its certificate

	o      Options
	server *smtp.Server
	listen net.Listener
	done   sync.WaitGroup

	mu      sync.Mutex
	mails   []Mail
	wrong   []string
	answers map[string][]error
	lose    int
	cut     int
	hold    func(Mail)
	dialled int
	conns   []net.Conn
	changed chan struct{}
}

// NewRelay starts a Relay on a free port of 127.0.0.1.
func NewRelay(o Options) (*Relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{Address: l.Addr().String(), o: o, answers: map[string][]error{}, changed: make(chan struct{})}
	s := smtp.NewServer(smtp.BackendFunc(r.session))
	s.Domain, s.MaxLineLength, s.MaxMessageBytes = "relay.test", 2000, o.MaxSize
	s.EnableSMTPUTF8, s.EnableDSN = o.UTF8, o.DSN
	s.ErrorLog = log.New(io.Discard, "", 0)
	if o.TLS != "none" {
		if s.TLSConfig, r.CA, err = serverTLS(o.Dir); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	r.server, r.listen = s, l
	l = &counted{l, r}
	if o.TLS == "implicit" {
		l = tls.NewListener(l, s.TLSConfig)
	}
	r.done.Go(func() { _ = s.Serve(l) })
	return r, nil
}

// Close ends it and all connections to it.
func (r *Relay) Close() {
	_ = r.server.Close()
	_ = r.listen.Close()
	r.Drop()
	r.done.Wait()
}

// counted remembers connections.
type counted struct {
	net.Listener
	r *Relay
}

func (l *counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.dialled++
	l.r.conns = append(l.r.conns, conn)
	return conn, nil
}

// Dialled returns how many connections there have been.
func (r *Relay) Dialled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dialled
}

// Drop breaks all connections.
func (r *Relay) Drop() {
	r.mu.Lock()
	conns := r.conns
	r.conns = nil
	r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Answer lets the next mail hear a code, an enhanced one and words at a step;
// more calls are for the mails after it.
func (r *Relay) Answer(step string, code int, enhanced [3]int, words string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[step] = append(r.answers[step], &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode(enhanced), Message: words})
}

// LoseAnswers keeps the next n mails and breaks the connection instead of
// saying so.
func (r *Relay) LoseAnswers(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose = n
}

// CutMails breaks the connection in the middle of the next n mails.
func (r *Relay) CutMails(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = n
}

// Hold calls f for each mail when it is kept, before the answer to it.
func (r *Relay) Hold(f func(Mail)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = f
}

// Mails returns what was taken.
func (r *Relay) Mails() []Mail {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mails)
}

// Wrong returns what was not right with the mails, in words.
func (r *Relay) Wrong() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.wrong)
}

// Await waits until n mails were taken and returns them.
func (r *Relay) Await(ctx context.Context, n int) ([]Mail, error) {
	for {
		r.mu.Lock()
		changed, mails := r.changed, slices.Clone(r.mails)
		r.mu.Unlock()
		if len(mails) >= n {
			return mails, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return mails, ctx.Err()
		}
	}
}

// next returns what was to be answered at a step.
func (r *Relay) next(step string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.answers[step]
	if len(list) == 0 {
		return nil
	}
	r.answers[step] = list[1:]
	return list[0]
}

func (r *Relay) session(c *smtp.Conn) (smtp.Session, error) {
	if err := r.next(Connect); err != nil {
		return nil, err
	}
	return &session{r: r, c: c}, nil
}

// session is one connection.
type session struct {
	r    *Relay
	c    *smtp.Conn
	user string
	mail Mail
}

func (s *session) Reset()        { s.mail = Mail{} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string {
	if s.r.o.User == "" {
		return nil
	}
	if s.r.o.Mechanisms != nil {
		return s.r.o.Mechanisms
	}
	return []string{sasl.Plain, sasl.Login}
}

func (s *session) Auth(mech string) (sasl.Server, error) {
	check := func(user, password string) error {
		if err := s.r.next(Auth); err != nil {
			return err
		}
		if user != s.r.o.User || password != s.r.o.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case sasl.Login:
		return &login{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// login is the server's side of LOGIN.
type login struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *login) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch {
	case l.step == 1 && response == nil:
		return []byte("Username:"), false, nil
	case l.step <= 2 && l.user == "":
		l.user, l.step = string(response), 2
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if err := s.r.next(From); err != nil {
		return err
	}
	if s.r.o.User != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	_, secure := s.c.TLSConnectionState()
	s.mail = Mail{From: from, TLS: secure, User: s.user}
	return nil
}

func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	if err := s.r.next(Rcpt); err != nil {
		return err
	}
	s.mail.To = append(s.mail.To, to)
	for _, n := range o.Notify {
		s.mail.Opts = append(s.mail.Opts, string(n))
	}
	return nil
}

func (s *session) Data(body io.Reader) error {
	if s.r.take(&s.r.cut) {
		_, _ = io.CopyN(io.Discard, body, 10)
		return s.c.Conn().Close()
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if err := s.r.next(Dot); err != nil {
		return err
	}
	s.mail.Data = data
	if hold := s.r.keep(s.mail); hold != nil {
		hold(s.mail)
	}
	if s.r.take(&s.r.lose) {
		return s.c.Conn().Close()
	}
	return nil
}

// take counts n down.
func (r *Relay) take(n *int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *n == 0 {
		return false
	}
	*n--
	return true
}

func (r *Relay) keep(m Mail) (hold func(Mail)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mails = append(r.mails, m)
	if err := check(m, r.o.UTF8); err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return r.hold
}

// check is what the strictest of servers asks of a mail (RFC 5322, sections
// 2.1 and 3.6).
func check(m Mail, utf8 bool) error {
	head, body, ok := strings.Cut(string(m.Data), "\r\n\r\n")
	if !ok {
		return errors.New("there is no empty line below the header")
	}
	if strings.Count(string(m.Data), "\n") != strings.Count(string(m.Data), "\r\n") || strings.Count(string(m.Data), "\r") != strings.Count(string(m.Data), "\r\n") {
		return errors.New("a line does not end with CR and LF")
	}
	for line := range strings.SplitSeq(string(m.Data), "\r\n") {
		if len(line) > 998 {
			return fmt.Errorf("a line has %d bytes", len(line))
		}
	}
	for i := range len(m.Data) {
		if c := m.Data[i]; c >= 0x80 && (!utf8 || i > len(head)) || c < ' ' && c != '\r' && c != '\n' && c != '\t' {
			return fmt.Errorf("byte %#x at %d of %d", c, i, len(m.Data))
		}
	}
	_ = body
	return checkHeader(head)
}

func checkHeader(head string) error {
	seen := map[string]int{}
	for line := range strings.SplitSeq(head, "\r\n") {
		if line == "" {
			return errors.New("an empty line in the header")
		}
		if line[0] == ' ' || line[0] == '\t' {
			if strings.TrimSpace(line) == "" {
				return errors.New("a blank line in the header")
			}
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(name, " \t") {
			return fmt.Errorf("header line %q", line)
		}
		seen[strings.ToLower(name)]++
	}
	for _, name := range []string{"from", "date", "message-id", "to", "subject", "mime-version", "content-type"} {
		if seen[name] != 1 {
			return fmt.Errorf("%d fields %s", seen[name], name)
		}
	}
	return nil
}
