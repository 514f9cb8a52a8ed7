package sdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"parley.im/plugins/sdk/wire"
)

// patience is how long a connector may take to leave its network when the
// host is gone.
const patience = 2 * time.Second

// Serve is the whole main of a connector: it talks to the host that started
// this program until the host is gone or wants it to end, and exits then. A
// panic of c ends the program, and the host starts it again. Whatever c writes
// to the standard output and error goes to the host's log.
func Serve(c Connector) {
	if os.Getenv(wire.CookieKey) != wire.CookieValue {
		fmt.Fprintln(os.Stderr, "this program is a Parley connector; name it in bridge.toml and the host starts it:\n"+
			"[plugins.NAME]\ncommand = [\"…\"]")
		os.Exit(2)
	}
	// The host decides when a connector ends: a signal to the whole service
	// must not break off what the host still drains.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	stderr := os.Stderr
	s := newServer(c, newLogger(stderr))
	var once sync.Once
	leave := func() {
		once.Do(func() {
			s.leave()
			os.Exit(0)
		})
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the host
		leave()
	}()
	go func() {
		<-s.ended
		leave()
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: wire.Plugins(s),
		GRPCServer:       newGRPC,
		Logger: hclog.New(&hclog.LoggerOptions{
			Level: hclog.Warn, Output: stderr, JSONFormat: true,
		}),
	})
	leave()
}

func newGRPC(opts []grpc.ServerOption) *grpc.Server {
	const overhead = 64 << 10
	return grpc.NewServer(append(opts,
		grpc.MaxRecvMsgSize(wire.MaxFrame+overhead), grpc.MaxSendMsgSize(wire.MaxFrame+overhead))...)
}

// leave closes the connector if it is open, within patience.
func (s *server) leave() {
	session := s.current()
	if session == nil {
		return
	}
	session.stop()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan struct{})
	go func() { // not waited for when it hangs: the program ends
		defer close(done)
		if err := session.close(ctx); err != nil {
			s.log.Warn("connector did not close", "err", err)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
