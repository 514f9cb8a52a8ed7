package mailtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// MailboxOptions say what a Mailbox offers.
type MailboxOptions struct {
	Dir        string
	TLS        string // "implicit", "starttls" or "none"
	User       string
	Password   string
	NoIdle     bool // only with TLS "none"
	NoKeywords bool
}

// Mailbox is an IMAP server with one user and their INBOX. Its methods may be
// called from several goroutines.
type Mailbox struct {
	Address string
	CA      string

	o      MailboxOptions
	server *imapserver.Server
	listen net.Listener
	user   *imapmemserver.User
	done   sync.WaitGroup

	mu      sync.Mutex
	flags   map[imap.UID][]string
	dialled int
	conns   []net.Conn
	changed chan struct{}
}

// NewMailbox starts a Mailbox on a free port of 127.0.0.1.
func NewMailbox(o MailboxOptions) (*Mailbox, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &Mailbox{Address: l.Addr().String(), o: o, flags: map[imap.UID][]string{}, changed: make(chan struct{})}
	m.listen = l
	m.user = imapmemserver.NewUser(o.User, o.Password)
	if err := m.user.Create("INBOX", nil); err != nil {
		return nil, err
	}
	opts := &imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &reader{imapmemserver.NewUserSession(m.user), m}, nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}},
		InsecureAuth: o.TLS == "none",
		Logger:       log.New(io.Discard, "", 0),
	}
	if o.TLS != "none" {
		if opts.TLSConfig, m.CA, err = serverTLS(o.Dir); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	l = &watched{l, m}
	if o.TLS == "implicit" {
		l = tls.NewListener(l, opts.TLSConfig)
	}
	m.server = imapserver.New(opts)
	m.done.Go(func() { _ = m.server.Serve(l) })
	return m, nil
}

// Close ends it and all connections to it.
func (m *Mailbox) Close() {
	_ = m.server.Close()
	_ = m.listen.Close()
	m.Drop()
	m.done.Wait()
}

type watched struct {
	net.Listener
	m *Mailbox
}

func (l *watched) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.dialled++
	l.m.conns = append(l.m.conns, conn)
	l.m.tell()
	if l.m.o.NoIdle {
		return &withoutIdle{conn}, nil
	}
	return conn, nil
}

// withoutIdle misspells a capability.
type withoutIdle struct{ net.Conn }

func (c *withoutIdle) Write(p []byte) (int, error) {
	return c.Conn.Write(bytes.ReplaceAll(p, []byte(" IDLE"), []byte(" XDLE")))
}

// Drop breaks all connections.
func (m *Mailbox) Drop() {
	m.mu.Lock()
	conns := m.conns
	m.conns = nil
	m.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Dialled returns how many connections there have been.
func (m *Mailbox) Dialled() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dialled
}

// tell wakes Await. m.mu is held.
func (m *Mailbox) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Arrive puts a mail into the mailbox and returns its uid.
func (m *Mailbox) Arrive(mail string, marks ...string) (uid uint32, err error) {
	var flags []imap.Flag
	for _, f := range marks {
		flags = append(flags, imap.Flag(f))
	}
	data, err := m.user.Append("INBOX", literal{bytes.NewReader([]byte(mail))}, &imap.AppendOptions{Flags: flags})
	if err != nil {
		return 0, err
	}
	return uint32(data.UID), nil
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// Renumber begins the mailbox anew, empty and with another UIDVALIDITY, as a
// server does that was restored from a copy.
func (m *Mailbox) Renumber() error {
	if err := m.user.Delete("INBOX"); err != nil {
		return err
	}
	m.mu.Lock()
	m.flags = map[imap.UID][]string{}
	m.mu.Unlock()
	m.Drop()
	return m.user.Create("INBOX", nil)
}

// Flags returns what clients have marked a mail with.
func (m *Mailbox) Flags(uid uint32) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.flags[imap.UID(uid)])
}

// Await waits until done is true, asking it whenever a client has connected or
// marked something.
func (m *Mailbox) Await(ctx context.Context, done func() bool) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reader is one connection.
type reader struct {
	*imapmemserver.UserSession
	m *Mailbox
}

func (r *reader) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	data, err := r.UserSession.Select(name, o)
	if err == nil && r.m.o.NoKeywords {
		data.PermanentFlags = []imap.Flag{imap.FlagSeen, imap.FlagFlagged, imap.FlagDeleted, imap.FlagAnswered}
	}
	return data, err
}

// Idle looks again and again: the library's own loses what arrives before it
// has begun to listen.
func (r *reader) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := r.Poll(w, true); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-stop:
			return nil
		}
	}
}

func (r *reader) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, o *imap.StoreOptions) error {
	err := r.UserSession.Store(w, set, flags, o)
	uids, ok := set.(imap.UIDSet)
	if err != nil || !ok {
		return err
	}
	list, _ := uids.Nums()
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	for _, uid := range list {
		for _, f := range flags.Flags {
			r.m.flags[uid] = append(r.m.flags[uid], string(f))
		}
	}
	r.m.tell()
	return nil
}
