package uac

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"parley.im/core/sipedge/internal/tune"
)

// Bare is a SIP server that answers 202 to every MESSAGE and does nothing with
// it: what this machine and the SIP library can do at most.
type Bare struct {
	address string
	close   func() error
	ua      *sipgo.UserAgent
	serving sync.WaitGroup
}

// StartBare listens on "udp" or "tcp" and returns when requests are answered.
// The Bare must be closed.
func StartBare(ctx context.Context, network, address string) (*Bare, error) {
	tune.Library()
	ua, err := sipgo.NewUA()
	if err != nil {
		return nil, err
	}
	srv, err := sipgo.NewServer(ua)
	if err != nil {
		return nil, err
	}
	srv.OnMessage(func(req *sip.Request, tx sip.ServerTransaction) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 202, "Accepted", nil)) // else the client asks again
	})
	b := &Bare{ua: ua}
	if err := b.listen(ctx, srv, network, address); err != nil {
		ua.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bare) listen(ctx context.Context, srv *sipgo.Server, network, address string) error {
	var l net.ListenConfig
	switch network {
	case "udp":
		c, err := l.ListenPacket(ctx, network, address)
		if err != nil {
			return err
		}
		s := &socket{PacketConn: c, start: newStart()}
		b.address, b.close = c.LocalAddr().String(), c.Close
		b.serving.Go(func() { srv.ServeUDP(s) })
		<-s.read
		return nil
	case "tcp":
		c, err := l.Listen(ctx, network, address)
		if err != nil {
			return err
		}
		b.address, b.close = c.Addr().String(), c.Close
		b.serving.Go(func() { srv.ServeTCP(c) })
		return nil
	}
	return fmt.Errorf("network %q: it is udp or tcp", network)
}

// Addr returns what is listened on, "host:port".
func (b *Bare) Addr() string { return b.address }

// Close ends the server and its connections.
func (b *Bare) Close() error {
	err := b.close()
	b.ua.Close()
	b.serving.Wait()
	return err
}
