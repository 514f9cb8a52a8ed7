package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	maxLinks    = 4                // connections to the submission server at once
	keepIdle    = 20 * time.Second // how long the last one is kept for the next mail
	patience    = time.Minute      // for one command
	dotPatience = 10 * time.Minute // for the answer to a mail: RFC 5321, section 4.5.3.2.6
)

// relay hands mail to the submission server. Its send may be called from
// several goroutines.
type relay struct {
	set   server
	hello string
	tls   *tls.Config
	log   *slog.Logger
	slots chan struct{}

	command, dot time.Duration

	mu     sync.Mutex
	idle   *link
	closed bool
}

// link is one connection.
type link struct {
	conn   net.Conn
	client *smtp.Client
	expire *time.Timer
}

// quit closes a connection in which something went wrong.
func (l *link) quit() { _ = l.conn.Close() }

// leave closes one that is in order, politely.
func (l *link) leave() {
	l.client.CommandTimeout = time.Second
	_ = l.client.Quit()
	l.quit()
}

func newRelay(set server, hello string, log *slog.Logger) (*relay, error) {
	conf, err := set.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &relay{
		set: set, hello: hello, tls: conf, log: log, slots: make(chan struct{}, maxLinks),
		command: patience, dot: dotPatience,
	}, nil
}

// send hands over one mail. Its errors carry policy: see verdict.
func (r *relay) send(ctx context.Context, m outgoing) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return verdict(stepConnect, ctx.Err())
	}
	if l := r.take(); l != nil {
		if stale, err := r.use(ctx, l, m); !stale {
			return err
		}
	}
	l, err := r.dial(ctx)
	if err != nil {
		err = verdict(stepConnect, err)
		r.log.Error("submission server can't be used", "address", r.set.Address, "message", m.id, "err", err)
		return err
	}
	_, err = r.use(ctx, l, m)
	return err
}

// use sends m over l and keeps l if it is still good. stale tells that the
// server has closed a kept connection, before it had heard of the mail.
func (r *relay) use(ctx context.Context, l *link, m outgoing) (stale bool, err error) {
	stop := context.AfterFunc(ctx, l.quit)
	defer stop()
	kept := l.expire != nil
	at, err := l.transact(m)
	if err == nil && stop() {
		r.keep(l)
		return false, nil
	}
	l.quit()
	if err == nil {
		return false, nil
	}
	var answer *smtp.SMTPError
	if kept && at == stepMail && ctx.Err() == nil && (!errors.As(err, &answer) || answer.Code == 421) {
		return true, nil
	}
	return false, verdict(at, err)
}

// transact is one mail transaction. It returns how far it came.
func (l *link) transact(m outgoing) (step, error) {
	if ok, _ := l.client.Extension("SMTPUTF8"); m.utf8 && !ok {
		return stepRcpt, &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 6, 7}, Message: "the mail server takes no address with letters beyond ASCII"}
	}
	if err := l.client.Mail(m.from, &smtp.MailOptions{Size: m.length(), UTF8: m.utf8}); err != nil {
		return stepMail, err
	}
	opts := &smtp.RcptOptions{}
	if m.delivered {
		opts.Notify = []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifySuccess}
	}
	if err := l.client.Rcpt(m.to, opts); err != nil {
		return stepRcpt, err
	}
	w, err := l.client.Data()
	if err != nil {
		return stepData, err
	}
	if err := l.conn.SetDeadline(time.Now().Add(l.client.SubmissionTimeout)); err != nil {
		return stepBody, err
	}
	if err := m.copyTo(w); err != nil {
		return stepBody, err
	}
	_, err = w.CloseWithResponse()
	return stepDot, err
}

// take returns the idle connection, if there is one.
func (r *relay) take() *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.idle
	r.idle = nil
	if l != nil && !l.expire.Stop() {
		return nil // it is being closed
	}
	return l
}

// keep makes l the idle connection for a while.
func (r *relay) keep(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.idle != nil {
		l.quit()
		return
	}
	l.expire = time.AfterFunc(keepIdle, func() {
		r.forget(l)
		l.leave()
	})
	r.idle = l
}

func (r *relay) forget(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle == l {
		r.idle = nil
	}
}

func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	if l := r.take(); l != nil {
		l.leave()
	}
}

// dial connects, encrypts and logs in, all within the patience for a command.
func (r *relay) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, r.command)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.set.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	client, err := r.greet(ctx, conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &link{conn: conn, client: client}, nil
}

// greet ends with a client that may send. With "starttls" a server that does
// not offer it is not used: somebody between may have taken the offer away.
func (r *relay) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	client, err := r.secure(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w; nothing is sent in clear", err)
	}
	client.CommandTimeout, client.SubmissionTimeout = r.command, r.dot
	if err := client.Hello(r.hello); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return client, r.login(client)
}

func (r *relay) secure(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	switch r.set.TLS {
	case "none":
		return smtp.NewClient(conn), nil
	case "starttls":
		return smtp.NewClientStartTLS(conn, r.tls)
	}
	secure := tls.Client(conn, r.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return smtp.NewClient(secure), nil
}

// login authenticates over TLS with the first of PLAIN and LOGIN that the
// server offers.
func (r *relay) login(client *smtp.Client) error {
	if r.set.User == "" {
		return nil
	}
	if _, ok := client.TLSConnectionState(); !ok {
		return errors.New("no password is sent in clear")
	}
	var how sasl.Client
	switch {
	case client.SupportsAuth(sasl.Plain):
		how = sasl.NewPlainClient("", r.set.User, r.set.Password)
	case client.SupportsAuth(sasl.Login):
		how = sasl.NewLoginClient(r.set.User, r.set.Password)
	default:
		return errors.New("the server offers neither AUTH PLAIN nor LOGIN")
	}
	if err := client.Auth(how); err != nil {
		return fmt.Errorf("login as %s: %w", r.set.User, err)
	}
	return nil
}
