package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	maxGuests     = 20              // connections at once
	maxRecipients = 100             // RFC 5321, section 4.5.3.1.8
	maxLine       = 64 << 10        // far more than is allowed: broken mail is taken, too
	guestPatience = 5 * time.Minute // RFC 5321, section 4.5.3.2.7
)

// door accepts connections, up to a number, and can shut them all.
type door struct {
	net.Listener
	server *smtp.Server

	mu    sync.Mutex
	conns map[*guest]bool
	shutd bool
}

// guest is one connection.
type guest struct {
	net.Conn
	d *door
}

// Close may be called again.
func (g *guest) Close() error {
	g.d.mu.Lock()
	delete(g.d.conns, g)
	g.d.mu.Unlock()
	return g.Conn.Close()
}

// Accept turns away who comes when it is full, with words that let a mail
// server try again.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := d.admit(conn); g != nil {
			return g, nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("421 4.3.2 too many connections; try again later\r\n"))
		_ = conn.Close()
	}
}

func (d *door) admit(conn net.Conn) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shutd || len(d.conns) >= maxGuests {
		return nil
	}
	g := &guest{conn, d}
	d.conns[g] = true
	return g
}

// shut ends all connections: whoever waits for an answer will ask again.
func (d *door) shut() {
	d.mu.Lock()
	d.shutd = true
	guests := d.conns
	d.conns = map[*guest]bool{}
	d.mu.Unlock()
	_ = d.server.Close()
	_ = d.Listener.Close() // the server does not know it yet, if it has not run
	for g := range guests {
		_ = g.Conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = d.server.Shutdown(ctx)
}

// listen begins to serve until shut.
func (c *connector) listen(ctx context.Context, set listenOn) error {
	l, err := openDoor(set.Address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", set.Address, err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &visit{c: c, ctx: ctx, lmtp: set.Protocol == "lmtp"}, nil
	}))
	s.LMTP = set.Protocol == "lmtp"
	s.Domain = c.names.host
	s.MaxMessageBytes, s.MaxRecipients, s.MaxLineLength = set.MaxSize, maxRecipients, maxLine
	s.ReadTimeout, s.WriteTimeout = guestPatience, time.Minute
	s.EnableSMTPUTF8 = true
	s.ErrorLog = slog.NewLogLogger(c.host.Log().Handler(), slog.LevelDebug)
	if set.Cert != "" {
		cert, err := tls.LoadX509KeyPair(set.Cert, set.Key)
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("listen: %w", err)
		}
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	c.door = &door{Listener: l, server: s, conns: map[*guest]bool{}}
	c.running.Go(func() {
		if err := s.Serve(c.door); err != nil && ctx.Err() == nil {
			c.host.Log().Error("no mail is taken in any more", "address", set.Address, "err", err)
		}
	})
	c.host.Log().Info("taking mail in", "address", l.Addr().String(), "protocol", set.Protocol)
	return nil
}

// openDoor listens on host:port, or on a socket that a dead process may have
// left behind.
func openDoor(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// The mail server is another user; the folder says who may come near.
	if err := os.Chmod(path, 0o666); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// removeDead removes a socket on which nobody listens.
func removeDead(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is there and no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is in use", path)
	}
	return os.Remove(path)
}
