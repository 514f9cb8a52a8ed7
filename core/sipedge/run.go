package sipedge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// udpBuffer is asked of the system for what comes in bursts, in bytes.
const udpBuffer = 4 << 20

// Run listens and serves until ctx ends, then refuses new requests, gives
// those in work up to two seconds, and closes all sockets and connections. It
// returns nil after an orderly stop. It is called once.
func (e *Edge) Run(ctx context.Context) error {
	if err := e.phones.load(ctx, e.log); err != nil {
		return fmt.Errorf("read the registrations: %w", err)
	}
	ua, srv, err := newUA()
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	e.mu.Lock()
	e.ua, e.life = ua, life
	e.mu.Unlock()
	srv.OnNoRoute(e.serve)

	sockets, err := e.open()
	if err != nil {
		return errors.Join(err, ua.Close())
	}
	sockets = append(sockets, e.dialled)
	var serving sync.WaitGroup
	failed := make(chan error, len(sockets))
	for _, s := range sockets {
		serving.Go(func() { failed <- s.serve(srv) })
	}
	tending, endTending := context.WithCancel(life)
	defer endTending()
	var tended sync.WaitGroup
	tended.Go(func() {
		select {
		case <-e.ready:
			e.tend(tending)
		case <-tending.Done():
		}
	})
	err = e.waitFor(ctx, sockets, failed)
	endTending()
	tended.Wait() // registrations are removed while there are sockets
	e.drain()
	e.mu.Lock()
	end() // under the lock: no attempt begins afterwards
	e.mu.Unlock()
	for _, s := range sockets {
		s.close()
	}
	e.flows.closeAll()
	e.afloat.Wait()
	err = errors.Join(err, ua.Close())
	serving.Wait()
	return err
}

// waitFor tells when all sockets are served, and returns when ctx ends or one
// of them fails.
func (e *Edge) waitFor(ctx context.Context, sockets []socket, failed <-chan error) error {
	for _, s := range sockets {
		select {
		case <-s.began():
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	close(e.ready)
	for _, a := range e.Addrs() {
		e.log.Info("listening", "address", a)
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// drain takes all tokens: new requests are refused from the first one on, and
// when the last is there nothing is in work.
func (e *Edge) drain() {
	late := time.NewTimer(drain)
	defer late.Stop()
	for range cap(e.working) {
		select {
		case e.working <- struct{}{}:
		case <-late.C:
			e.log.Warn("stopping with requests in work")
			return
		}
	}
}

// open opens all sockets, or none.
func (e *Edge) open() ([]socket, error) {
	var all []socket
	for _, l := range e.listen {
		s, addr, err := e.openOne(l)
		if err != nil {
			for _, s := range all {
				s.close()
			}
			return nil, fmt.Errorf("listen on %s %s: %w", l.Network, l.Address, err)
		}
		all = append(all, s)
		e.mu.Lock()
		e.addrs = append(e.addrs, l.Network+":"+addr.String())
		e.mu.Unlock()
	}
	return all, nil
}

func (e *Edge) openOne(l Listener) (socket, net.Addr, error) {
	if l.Network == "udp" {
		c, err := net.ListenPacket("udp", l.Address)
		if err != nil {
			return nil, nil, err
		}
		_ = c.(*net.UDPConn).SetReadBuffer(udpBuffer) // the system may give less
		e.mu.Lock()
		e.udp = append(e.udp, c)
		e.mu.Unlock()
		return newDatagrams(c, e.warden, &e.repeats), c.LocalAddr(), nil
	}
	c, err := net.Listen("tcp", l.Address)
	if err != nil {
		return nil, nil, err
	}
	return newStreams(c, l.Network, e.flows, &e.door), c.Addr(), nil
}
